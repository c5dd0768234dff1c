// Tables of ticks, instruments and positions; the functions that the writer calls.

import { type Column, columnsOf, TABLES } from '../tables.ts'

/** Index ranges of about one transaction's rows: small enough to skip most of a day. */
const BRIN_PAGES_PER_RANGE = 32

export function tablesSql(schema: string): string {
  return [
    `CREATE TABLE ${schema}.instruments (
  id int4 PRIMARY KEY,
  venue text NOT NULL,
  symbol text NOT NULL,
  venue_symbol text NOT NULL,
  added_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (venue, symbol)
)`,
    `CREATE TABLE ${schema}.positions (
  shard int4 PRIMARY KEY,
  seq int8 NOT NULL,
  epoch int8 NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
)`,
    `COMMENT ON TABLE ${schema}.positions IS 'Next sequence to store, by shard'`,
    ...TABLES.flatMap((kind) => tickTable(schema, kind, columnsOf(kind))),
    addPartition(schema),
    advance(schema),
  ].join(';\n')
}

function tickTable(schema: string, kind: string, columns: Column[]): string[] {
  const body = columns
    .map(({ name, type, isNullable }) => `  ${name} ${type}${isNullable ? '' : ' NOT NULL'}`)
    .join(',\n')
  return [
    `CREATE TABLE ${schema}.${kind} (\n${body}\n) PARTITION BY RANGE (ts)`,
    `CREATE INDEX ${kind}_ts ON ${schema}.${kind} USING brin (ts)
  WITH (pages_per_range = ${BRIN_PAGES_PER_RANGE}, autosummarize = on)`,
    `CREATE TABLE ${schema}.${kind}_default PARTITION OF ${schema}.${kind} DEFAULT`,
  ]
}

/**
 * Attaches a table made beforehand, as that takes no lock that a running query on the parent would
 * hold up (CREATE … PARTITION OF does). Rows of the day that already are in the default partition
 * stay there, and so will the rest of that day; so do those of a day whose table was detached.
 */
function addPartition(schema: string): string {
  return `CREATE FUNCTION ${schema}.add_partition(kind text, day date, lock_ms int4)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  name text := kind || '_' || to_char(day, 'YYYYMMDD');
  low text := to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00';
  high text := to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00';
BEGIN
  PERFORM set_config('lock_timeout', lock_ms::text, true);
  PERFORM pg_advisory_xact_lock(hashtextextended('tickd partitions ${schema}', 0));
  IF to_regclass('${schema}.' || name) IS NOT NULL THEN
    PERFORM FROM pg_inherits WHERE inhrelid = to_regclass('${schema}.' || name)
      AND inhparent = to_regclass('${schema}.' || kind);
    RETURN CASE WHEN FOUND THEN 'exists' ELSE 'default' END;
  END IF;
  EXECUTE format('CREATE TABLE ${schema}.%I (LIKE ${schema}.%I INCLUDING ALL)', name, kind);
  EXECUTE format(
    'ALTER TABLE ${schema}.%I ATTACH PARTITION ${schema}.%I FOR VALUES FROM (%L) TO (%L)',
    kind, name, low, high);
  RETURN 'created';
EXCEPTION WHEN check_violation THEN
  RETURN 'default';
END $$`
}

/** The fence of exactly-once: a batch commits only if it begins where the last one ended. */
function advance(schema: string): string {
  return `CREATE PROCEDURE ${schema}.advance(
  of_shard int4, from_seq int8, to_seq int8, in_epoch int8)
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE ${schema}.positions SET seq = to_seq, epoch = in_epoch, updated_at = now()
    WHERE shard = of_shard AND seq = from_seq;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the position of shard % is not %', of_shard, from_seq USING ERRCODE = 'TK001';
  END IF;
END $$`
}
