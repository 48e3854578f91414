/** The audit log's filters as they stand in the address, and its words. */
import type { Shapes } from '../api/client';
import { enumerated, say, type Key } from '../i18n';

/** What the server logs, by what it is about. */
export const ACTIONS = [
  'login', 'login_refused', 'code_refused', 'recovery_code', 'logout', 'sessions_ended', 'password_changed', 'password_reset', 'second_factor',
  'second_factor_reset', 'unit_added', 'user_added', 'user_transferred', 'user_disabled', 'roles_given', 'roles_taken', 'enrolment', 'revoke', 'setting', 'approve',
  'return', 'void', 'archive', 'reinstate', 'choose', 'edit', 'reveal', 'admit', 'put_away', 'take_up', 'move', 'purge', 'double', 'no_double', 'double_undone', 'publish_form',
  'export', 'restored_confirm', 'root_announced', 'root_took_over', 'certificate_written',
] as const;

type None<T extends never> = T;
/** Does not compile once the server logs what has no words here. */
export type Unnamed = None<Exclude<Shapes['AuditBody']['action'], (typeof ACTIONS)[number]>>;

const ROLES = ['field', 'township', 'county', 'prefecture', 'province', 'finance', 'lawyer', 'health', 'auditor', 'hub'] as const;

/** Which rows. */
export interface LogFilters {
  user?: string;
  action?: string;
  subject?: string;
  /** First and last day, `2026-11-20`, in the time of Shanghai. */
  from?: string;
  to?: string;
  /** Rows below this number. */
  before?: number;
}

const NAMES = ['user', 'action', 'subject', 'from', 'to', 'before'] as const;
const DAY_MS = 86_400_000;
const NUMBER = /^[1-9]\d{0,14}$/;

/** The moment at which a day begins in Shanghai; nothing where it is no day. */
export function dayBegins(day: string | undefined): number | undefined {
  if (!day || !/^\d{4}-\d\d-\d\d$/.test(day)) return undefined;
  const at = Date.parse(`${day}T00:00:00+08:00`);
  return Number.isNaN(at) ? undefined : at;
}

/** The filters that an address asks for; what is no filter is left out. */
export function logFiltersOf(search: URLSearchParams): LogFilters {
  const word = (name: string) => search.get(name)?.trim() || undefined;
  const day = (name: string) => (dayBegins(word(name)) === undefined ? undefined : word(name));
  const before = word('before');
  return {
    user: word('user'), action: word('action'), subject: word('subject'), from: day('from'), to: day('to'),
    before: before && NUMBER.test(before) ? Number(before) : undefined,
  };
}

/** The address's part for these filters. */
export function logSearchOf(filters: LogFilters): string {
  const search = new URLSearchParams();
  for (const name of NAMES) if (filters[name] !== undefined && filters[name] !== '') search.set(name, String(filters[name]));
  return search.toString();
}

/** The filters as the server takes them. */
export function logQuery({ user, action, subject, from, to, before }: LogFilters) {
  const end = dayBegins(to);
  return { user, action, subject, before, since_ms: dayBegins(from), until_ms: end === undefined ? undefined : end + DAY_MS };
}

/** An action in words; as the server named it where it is not known here. */
export function actionText(action: string): string {
  const known = ACTIONS.find((one) => one === action);
  return known ? say(`log.action.${known}`) : action;
}

/** So much of a form's digest tells it from others. */
const DIGEST_CHARS = 12;

const SETTINGS_KNOWN = ['second_factor', 'required', 'optional'] as const;
type Setting = (typeof SETTINGS_KNOWN)[number];
const SETTINGS: readonly string[] = SETTINGS_KNOWN;

/** A record's id, as against those of users and devices, which have no dashes. */
const RECORD_ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;

/** The record that a row is about, where there still is one. */
export function recordOf({ action, subject }: Pick<Shapes['AuditBody'], 'action' | 'subject'>): string | undefined {
  return action !== 'purge' && RECORD_ID.test(subject) ? subject : undefined;
}

/** What a row is about: a name where the server knows one, else the id. */
export function subjectText(row: Pick<Shapes['AuditBody'], 'action' | 'subject' | 'subject_name'>, formTitle: (kind: string) => string): string {
  const { action, subject } = row;
  if (action === 'setting' && SETTINGS.includes(subject)) return say(`log.setting.${subject as Setting}`);
  const form = action === 'publish_form' && /^(\S+) (\S+)$/.exec(subject);
  if (form) return say('forms.title_version', { title: formTitle(form[1] ?? ''), version: form[2] });
  return row.subject_name ?? subject;
}

/** A row's detail: roles and units in words, digests in short, all else as it is. */
export function detailText(row: Pick<Shapes['AuditBody'], 'action' | 'detail'>, unitName: (code: string) => string): string {
  const { action, detail } = row;
  if (['user_added', 'roles_given', 'roles_taken'].includes(action)) return enumerated(detail.split(' ').map((one) => roleText(one, unitName)));
  if (action === 'sessions_ended') return say('log.ended', { count: Number(detail) });
  if (action === 'setting') return SETTINGS.includes(detail) ? say(`log.setting.${detail as Setting}`) : detail;
  if (action === 'publish_form') return `${detail.slice(0, DIGEST_CHARS)}…`;
  const moved = action === 'move' && /^(\S+): ([^]*)$/.exec(detail);
  return moved ? `${unitName(moved[1] ?? '')}: ${moved[2] ?? ''}` : detail;
}

function roleText(role: string, unitName: (code: string) => string): string {
  const found = /^(\w+)@(\w+)$/.exec(role);
  const known = ROLES.find((one) => one === found?.[1]);
  if (!found || !known) return role;
  const key: Key = `role.${known}`;
  return say('log.role_at', { role: say(key), unit: unitName(found[2] ?? '') });
}
