// May a web page connect? A browser sends the page's origin, and nothing else stops a page of
// somebody else from using what this machine or network can reach.

const LOCAL_HOST = /^(localhost|\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\])(:\d{1,5})?$/i

export interface OriginRule {
  readonly origins: readonly string[]
  /** A token is demanded: no page has one by chance. */
  readonly isDemanded: boolean
  /** Whoever can reach it may have it. */
  readonly isInsecure: boolean
}

/** '' is a client that is no browser: allowed, as it could say what it likes. */
export function isOriginAllowed(origin: string, host: string, rule: OriginRule): boolean {
  if (origin === '' || rule.origins.includes('*') || rule.origins.includes(origin)) return true
  const isOwn = origin === `http://${host}` || origin === `https://${host}`
  if (!isOwn) return false
  // A name of somebody's that leads to our address is "own" too (DNS rebinding); an address is not.
  return rule.isDemanded || rule.isInsecure || LOCAL_HOST.test(host)
}
