// Records that the database refused, and the check that a partition still is one.

export function refusedSql(schema: string): string {
  return [
    `CREATE TABLE ${schema}.refused (
  seq int8 PRIMARY KEY,
  refused_at timestamptz NOT NULL DEFAULT now(),
  sqlstate text NOT NULL,
  message text NOT NULL,
  tick bytea NOT NULL
)`,
    `COMMENT ON TABLE ${schema}.refused IS
  'Records that a constraint or trigger refused: shard << 48 | sequence, why, the 64-byte record'`,
    checkAttached(schema),
  ].join(';\n')
}

/**
 * A batch goes straight to its partition. One that was detached since would take the rows and hide
 * them: the transaction that wrote to it looks, with its lock held, before it commits.
 */
function checkAttached(schema: string): string {
  return `CREATE PROCEDURE ${schema}.check_attached(leaves regclass[])
LANGUAGE plpgsql AS $$
DECLARE
  leaf regclass;
BEGIN
  FOREACH leaf IN ARRAY leaves LOOP
    PERFORM FROM pg_inherits WHERE inhrelid = leaf AND NOT inhdetachpending;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'the partition % was detached', leaf USING ERRCODE = 'TK002';
    END IF;
  END LOOP;
END $$`
}
