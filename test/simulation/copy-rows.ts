// PostgreSQL's binary COPY format, read: the other side of storage/postgres/encode.ts.
//
// Strict, as the server is: a wrong signature, column count or length is an error, not a guess.

const HEADER_BYTES = 19
const TRAILER = -1

/** Columns by name; null columns are absent. Values that exceed 2^53 lose their low bits. */
export type CopyRow = Readonly<Record<string, number>>

export function parseCopyRows(data: Uint8Array, columns: readonly string[]): CopyRow[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  if (Buffer.from(data.subarray(0, 6)).toString('latin1') !== 'PGCOPY') {
    throw new Error('COPY data begins with its signature')
  }
  const rows: CopyRow[] = []
  let at = HEADER_BYTES
  for (;;) {
    const count = view.getInt16(at)
    at += 2
    if (count === TRAILER) break
    if (count !== columns.length) throw new Error(`a row has ${count} columns`)
    const row: Record<string, number> = {}
    for (const column of columns) {
      const size = view.getInt32(at)
      at += 4
      if (size < 0) continue
      row[column] = readNumber(view, at, size)
      at += size
    }
    rows.push(row)
  }
  if (at !== data.length) throw new Error('bytes follow the trailer of COPY')
  return rows
}

function readNumber(view: DataView, at: number, size: number): number {
  switch (size) {
    case 2:
      return view.getInt16(at)
    case 4:
      return view.getInt32(at)
    case 8:
      return view.getInt32(at) * 2 ** 32 + view.getUint32(at + 4)
    default:
      throw new Error(`a column has ${size} bytes`)
  }
}
