// What Node.js makes of the program's modules before it can run them, kept from start to start:
// TypeScript without its types, and compiled code. Preloaded into the process:
//
//   node --require ./src/module-cache.cjs src/main.ts …
//
// Threads inherit the option. Without it all works as well and starts late: the stripper is a
// WebAssembly program that each thread loads for itself, and with it strips the same modules anew.
// Hence JavaScript: the first .ts file would load it.
//
// An entry is taken only if it was made of these very bytes by this version of Node.js, and is
// whole (two digests). So neither an edit, nor two processes that write at once, nor a crash within
// a write can bring other code than src/ has; such an entry is made anew. A cache that cannot be
// written or read is no error: setup and the image fill it for accounts that may only read it.

const { hash } = require('node:crypto')
const { mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const { enableCompileCache, registerHooks, stripTypeScriptTypes } = require('node:module')
const { dirname, join } = require('node:path')
const { fileURLToPath, pathToFileURL } = require('node:url')

const SOURCES = `${pathToFileURL(__dirname).href}/`
const CACHE = join(__dirname, '../node_modules/.cache/tickd')
const DIGEST = 'sha256'

// Node's own switch turns off both halves.
if (!process.env.NODE_DISABLE_COMPILE_CACHE) {
  enableCompileCache(join(CACHE, 'compiled'))
  registerHooks({
    // Our own modules name each other by their files: nothing is to be searched for.
    resolve(specifier, context, nextResolve) {
      const { parentURL = '' } = context
      const isOwn = specifier.startsWith('.') && specifier.endsWith('.ts')
      if (!isOwn || !parentURL.startsWith(SOURCES)) return nextResolve(specifier, context)
      return { url: new URL(specifier, parentURL).href, shortCircuit: true }
    },
    load(url, context, nextLoad) {
      if (!url.startsWith(SOURCES) || !url.endsWith('.ts')) return nextLoad(url, context)
      return { format: 'module', source: stripped(url), shortCircuit: true }
    },
  })
}

/**
 * The module at `url`, below src/, as JavaScript: lines and columns are those of the source.
 *
 * @param {string} url
 */
function stripped(url) {
  const source = readFileSync(fileURLToPath(url), 'utf8')
  const entry = entryPath(url)
  const madeOf = hash(DIGEST, source)
  try {
    const text = readFileSync(entry, 'utf8')
    const code = text.slice(text.indexOf('\n') + 1)
    if (text === entryText(madeOf, code)) return code
  } catch {
    // None, or not for us to read.
  }
  const code = stripTypeScriptTypes(source)
  try {
    mkdirSync(dirname(entry), { recursive: true })
    writeFileSync(entry, entryText(madeOf, code))
  } catch {
    // Read-only, full, of another account: the next start strips it again.
  }
  return code
}

/** @param {string} url */
function entryPath(url) {
  const name = url.slice(SOURCES.length).replaceAll('/', '~')
  return join(CACHE, 'stripped', process.version, `${name}.js`)
}

/**
 * @param {string} madeOf
 * @param {string} code
 */
function entryText(madeOf, code) {
  return `// ${madeOf} ${hash(DIGEST, code)}\n${code}`
}

module.exports = { stripped }
