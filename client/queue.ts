// What has come and is not taken yet: a queue with one waiting reader.
//
// It has no bound of its own: who puts things in looks at `weight` first.

export class Queue<T> {
  /** Sum of the weights of what is queued. */
  weight = 0
  readonly #items: { item: T; weight: number }[] = []
  readonly #onTaken: () => void
  #at = 0
  #reader: { resolve: (result: IteratorResult<T>) => void; reject: (e: Error) => void } | undefined
  #end: { error: Error | undefined } | undefined

  /** `onTaken`: called after an item has left. */
  constructor(onTaken: () => void) {
    this.#onTaken = onTaken
  }

  push(item: T, weight: number): void {
    if (this.#end !== undefined) return
    const reader = this.#reader
    if (reader !== undefined) {
      this.#reader = undefined
      reader.resolve({ value: item, done: false })
      return
    }
    this.#items.push({ item, weight })
    this.weight += weight
  }

  /** What is queued is still given out; then readers see the end, or the error. */
  end(error: Error | undefined): void {
    this.#end ??= { error }
    const reader = this.#reader
    this.#reader = undefined
    if (reader === undefined) return
    if (error === undefined) reader.resolve({ value: undefined, done: true })
    else reader.reject(error)
  }

  take(): Promise<IteratorResult<T>> {
    const entry = this.#items[this.#at]
    if (entry !== undefined) {
      this.#at++
      if (this.#at === this.#items.length || this.#at >= 1024) {
        this.#items.splice(0, this.#at)
        this.#at = 0
      }
      this.weight -= entry.weight
      this.#onTaken()
      return Promise.resolve({ value: entry.item, done: false })
    }
    if (this.#end?.error !== undefined) return Promise.reject(this.#end.error)
    if (this.#end !== undefined) return Promise.resolve({ value: undefined, done: true })
    if (this.#reader !== undefined) {
      return Promise.reject(new Error('a subscription has one reader at a time'))
    }
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject }
    })
  }
}
