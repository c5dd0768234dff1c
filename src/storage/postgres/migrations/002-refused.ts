// Records that the database refused, and the check that the tables still are what they were.

import { TABLES } from '../tables.ts'

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
    tablesDigest(schema),
    checkTables(schema),
  ].join(';\n')
}

/** The columns of the tables of ticks and their types, as one number to compare. */
function tablesDigest(schema: string): string {
  const tables = TABLES.map((kind) => `'${schema}.${kind}'::regclass`)
  return `CREATE FUNCTION ${schema}.tables_digest() RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT md5(string_agg(concat(attrelid, attname, atttypid), ' ' ORDER BY attrelid, attnum))
  FROM pg_attribute
  WHERE attrelid IN (${tables.join(', ')}) AND attnum > 0 AND NOT attisdropped
$$`
}

/**
 * Looked at within each transaction, with the locks of its COPYs held, as both may have changed
 * since the connection was opened. COPY's binary form says nothing of types: a column of another
 * one may take our bytes for a value that we did not send. And a batch goes straight to its
 * partition: one that was detached would take the rows and hide them.
 */
function checkTables(schema: string): string {
  return `CREATE PROCEDURE ${schema}.check_tables(digest text, leaves regclass[])
LANGUAGE plpgsql AS $$
DECLARE
  leaf regclass;
BEGIN
  IF ${schema}.tables_digest() IS DISTINCT FROM digest THEN
    RAISE EXCEPTION 'a column of the tables of ticks was altered' USING ERRCODE = 'TK002';
  END IF;
  FOREACH leaf IN ARRAY leaves LOOP
    PERFORM FROM pg_inherits WHERE inhrelid = leaf AND NOT inhdetachpending;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'the partition % was detached', leaf USING ERRCODE = 'TK002';
    END IF;
  END LOOP;
END $$`
}
