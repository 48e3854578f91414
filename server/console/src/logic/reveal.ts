/** Masked answers, and what makes a page that shows some of them in clear fit the one on the screen. */
import type { Shapes } from '../api/client';
import { withoutRows, type Answer } from './values';

type RecordPage = Pick<Shapes['RecordPage'], 'id' | 'heads' | 'form_version' | 'state' | 'reviews'>;
type DoublePage = Pick<Shapes['DoublePage'], 'id' | 'heads' | 'form_version' | 'records' | 'more' | 'elsewhere' | 'apart'>;
type QuarantinePage = Pick<Shapes['QuarantinePage'], 'id' | 'here' | 'reason' | 'fields' | 'left_ms' | 'admissible' | 'writes'>;

/**
 * What two pages of a record have in common that differ in nothing but masks. A decision moves no heads, and a new form
 * version neither, yet they change what is compared with what was approved, and which answers there are.
 */
export function readingOf(page: RecordPage): string {
  return JSON.stringify([page.id, page.heads, page.form_version, page.state, page.reviews.length]);
}

/** The same of a proposal of doubles. */
export function readingOfDouble(page: DoublePage): string {
  const records = page.records.map(({ id, state, decidable }) => [id, state, decidable]);
  return JSON.stringify([page.id, page.heads, page.form_version, records, page.more, page.elsewhere, page.apart]);
}

const isEmpty = (answer: Answer): boolean => answer === null || answer === undefined || answer === '';

/**
 * The same of a quarantined change. Its page tells no heads of the record: what stands there now is compared itself, but
 * for fields that are `masked` on one of the two pages.
 */
export function readingOfQuarantined(page: QuarantinePage, masked: readonly string[]): string {
  const writes = page.writes.map(({ path, chosen, value, before }) =>
    masked.includes(withoutRows(path)) ? [path, chosen, isEmpty(value), isEmpty(before)] : [path, chosen, value, before]);
  return JSON.stringify([page.id, page.here, page.reason, page.fields, page.left_ms, page.admissible, writes]);
}

/** The field to be asked for where these answers are shown masked. An answer that is not there has no mask. */
export function maskedField(masked: readonly string[], path: string, answers: readonly Answer[]): string | undefined {
  const field = withoutRows(path);
  return masked.includes(field) && !answers.every(isEmpty) ? field : undefined;
}

/** The place in a save's list at which each of its masked fields is asked for: once, however many rows it has. */
export function maskedPlaces(masked: readonly string[], wrote: readonly { path: string; value: Answer; before: Answer }[]): Map<number, string> {
  const places = new Map<number, string>();
  const seen = new Set<string>();
  for (const [at, one] of wrote.entries()) {
    const field = maskedField(masked, one.path, [one.value, one.before]);
    if (field === undefined || seen.has(field)) continue;
    seen.add(field);
    places.set(at, field);
  }
  return places;
}
