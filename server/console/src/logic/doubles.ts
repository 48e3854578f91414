/** Proposals of doubles as a supervisor sees them. */
import type { Shapes } from '../api/client';

type Row = Shapes['DoubleRow'];

/** A proposal, and how many others are about the very same records: two files of one family share all its members. */
export interface Proposal extends Row {
  persons: number;
}

/** One proposal for each set of records; the first of those that are about the same ones. */
export function proposalsOf(rows: Row[]): Proposal[] {
  const found = new Map<string, Proposal>();
  for (const row of rows) {
    const ids = row.records.map((record) => record.id).sort();
    // Where there are more than are listed, nobody knows that they are the same.
    const key = row.more + row.elsewhere > 0 ? row.id : `${row.kind} ${ids.join()}`;
    const known = found.get(key);
    if (known) known.persons += 1;
    else found.set(key, { ...row, persons: 1 });
  }
  return [...found.values()];
}
