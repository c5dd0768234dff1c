// Positions name the journal that the rows came from, and the start of the daemon that wrote the
// last of them: so that another journal, or one that was rolled back, is known for what it is.

export function journalSql(schema: string): string {
  return [
    `ALTER TABLE ${schema}.positions
  ADD COLUMN journal text NOT NULL DEFAULT '', ADD COLUMN start text NOT NULL DEFAULT ''`,
    `COMMENT ON COLUMN ${schema}.positions.journal IS 'Id of the journal; empty = not known'`,
    `COMMENT ON COLUMN ${schema}.positions.start IS
  'Id of the start of the daemon that journalled the last record stored; empty = not known'`,
    advance(schema),
  ].join(';\n')
}

/** The fence of exactly-once, as in 001, which also notes whose records these were. */
function advance(schema: string): string {
  return `CREATE PROCEDURE ${schema}.advance(
  of_shard int4, from_seq int8, to_seq int8, in_epoch int8, of_journal text, of_start text)
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE ${schema}.positions SET seq = to_seq, epoch = in_epoch, journal = of_journal,
    start = of_start, updated_at = now()
    WHERE shard = of_shard AND seq = from_seq;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the position of shard % is not %', of_shard, from_seq USING ERRCODE = 'TK001';
  END IF;
END $$`
}
