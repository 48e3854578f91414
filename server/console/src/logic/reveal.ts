/** Masked answers, and what makes a page that shows some of them in clear fit the one on the screen. */
import type { Shapes } from '../api/client';
import { withoutRows, type Answer } from './values';

type Page = Pick<Shapes['RecordPage'], 'id' | 'heads' | 'form_version' | 'state' | 'reviews'>;

/**
 * What two pages of a record have in common that differ in nothing but masks. A decision moves no heads, and a new form
 * version neither, yet they change what is compared with what was approved, and which answers there are.
 */
export function readingOf(page: Page, language: string): string {
  return JSON.stringify([page.id, page.heads, page.form_version, page.state, page.reviews.length, language]);
}

const isEmpty = (answer: Answer): boolean => answer === null || answer === undefined || answer === '';

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
