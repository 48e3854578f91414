/** What happened to a record, and what happened since somebody read it. */
import type { Shapes } from '../api/client';

type RecordPage = Shapes['RecordPage'];
type Change = Shapes['ChangePage'];
type Review = Shapes['ReviewPage'];

/** One thing that happened: a save or a decision. */
export type Event = { at: number; change: Change; review?: undefined } | { at: number; review: Review; change?: undefined };

/** Saves and decisions, newest first. A save counts from when the server had it: that is when others could read it. */
export function events(record: Pick<RecordPage, 'history' | 'reviews'>): Event[] {
  const saves = record.history.map((change) => ({ at: change.received_ms ?? change.time_ms, change }));
  const decisions = record.reviews.map((review) => ({ at: review.time_ms, review }));
  return [...saves, ...decisions].sort((one, other) => other.at - one.at);
}

/** What the server has of a record beyond what is on the screen. */
export interface Moved {
  changes: Change[];
  reviews: Review[];
}

/** What happened between the shown record and the latest, or nothing. */
export function movedOn(shownRecord: RecordPage, latest: RecordPage): Moved | undefined {
  const known = new Set(shownRecord.history.map((change) => change.change));
  const changes = latest.history.filter((change) => !known.has(change.change));
  const reviews = latest.reviews.slice(shownRecord.reviews.length);
  const same = changes.length === 0 && reviews.length === 0 && latest.state === shownRecord.state;
  return same ? undefined : { changes, reviews };
}

/** Number of answers that a long save is cut to in the timeline, until it is opened. */
export const WROTE_SHOWN_MAX = 6;
