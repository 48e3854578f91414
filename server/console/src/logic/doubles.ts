/** Proposals of doubles as a supervisor sees them. */
import type { Shapes } from '../api/client';
import { say } from '../i18n';
import { answerAt, fieldLabel, shown, type KindForm } from './values';

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

/** A row of a repeat in one line: its answers with their questions. What the form computes and gives no name is left out. */
export function rowText(form: KindForm, repeat: string, row: unknown): string {
  const asked = form.fields.filter((field) => field.repeat === repeat && Object.values(field.label).some((label) => label !== ''));
  const told = asked.flatMap((field) => {
    const answer = answerAt(row, field.path.slice(repeat.length + 1));
    return answer === undefined || answer === null || answer === '' ? [] : [say('named', { name: fieldLabel(field, field.path) }) + shown(form, field, answer)];
  });
  return told.join(' · ') || '—';
}
