/** Changes that wait in quarantine. */
import type { Key } from '../i18n';

/** Reasons that the server gives. */
const REASONS = ['after_submission', 'foreign_unit', 'role', 'revoked', 'depends_on_quarantined', 'approved'] as const;

/** The word for why a change was set apart. */
export function reasonKey(reason: string): Key {
  return `quarantine.reason.${REASONS.find((known) => known === reason) ?? 'other'}`;
}

/** What can become of several at once. */
export type Fate = 'admit' | 'leave' | 'take_up';

/** What is offered for those that wait, and for those that were `left`. */
export const fatesOf = (left: boolean): Fate[] => ['admit', left ? 'take_up' : 'leave'];

/** The order in which they are decided: what builds on another came later, and is admitted with it. */
export function oldestFirst<Item extends { id: number }>(items: readonly Item[]): Item[] {
  return [...items].sort((one, other) => one.id - other.id);
}
