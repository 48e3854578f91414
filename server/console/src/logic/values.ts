/** Answers as a supervisor reads them. */
import type { Shapes } from '../api/client';
import { enumerated, pick, say } from '../i18n';

export type Field = Shapes['FieldBody'];
export type KindForm = Shapes['KindPage'];
/** An answer as the API gives it. */
export type Answer = unknown;

const FEN_PER_YUAN = 100;

/** Fields of a form by path without rows. */
export function fieldsByPath(form: KindForm | undefined): Map<string, Field> {
  return new Map((form?.fields ?? []).map((field) => [field.path, field]));
}

/** A path without its rows: `members[2dd5…]/name` becomes `members/name`. */
export function withoutRows(path: string): string {
  return path.replace(/\[[^\]]*\]/g, '');
}

/** Money in yuan, from whole fen. */
export function yuan(fen: number): string {
  const text = (Math.abs(fen) / FEN_PER_YUAN).toFixed(2).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
  return say('value.yuan', { amount: (fen < 0 ? '-' : '') + text });
}

/** Whole fen of an amount in yuan as typed, or nothing where it is none. */
export function fen(text: string): number | undefined {
  const found = /^(-?)(\d{1,12})(?:\.(\d{1,2}))?$/.exec(text.replace(/[,，\s]/g, ''));
  if (!found) return undefined;
  const whole = Number(found[2]) * FEN_PER_YUAN + Number((found[3] ?? '').padEnd(2, '0'));
  return found[1] === '-' ? -whole : whole;
}

/** Whether the field's numbers are whole fen. */
export function isMoney(field: Field | undefined): boolean {
  if (!field) return false;
  return field.unit === 'fen' || (['integer', 'calculate'].includes(field.field_type) && /（分）|\(fen\)/.test(Object.values(field.label).join()));
}

/** Label of a field without the unit that its shown value carries. */
export function fieldLabel(field: Field | undefined, path: string): string {
  const label = pick(field?.label, path.split('/').pop() ?? path);
  return isMoney(field) ? label.replace(/（分）|\s*\(fen\)/, '') : label;
}

function choice(form: KindForm | undefined, field: Field, name: string): string {
  const list = field.choices ? form?.choices[field.choices] : undefined;
  return pick(list?.find((known) => known.name === name)?.label, name);
}

/** An answer as text; a masked one as it came, an empty one as a dash. */
export function shown(form: KindForm | undefined, field: Field | undefined, answer: Answer): string {
  if (answer === null || answer === undefined || answer === '') return '—';
  if (Array.isArray(answer)) return enumerated(answer.map((one) => shown(form, field, one))) || '—';
  if (typeof answer === 'object') return JSON.stringify(answer);
  if (field?.choices) return choice(form, field, String(answer));
  if (typeof answer === 'number' && isMoney(field)) return yuan(answer);
  const text = String(answer);
  if (field?.field_type === 'datetime') return text.replace('T', ' ').replace(/(:\d\d)(:\d\d(\.\d+)?)?([+-]\d\d:\d\d|Z)?$/, '$1');
  if (field?.field_type === 'acknowledge' && text === 'OK') return say('value.acknowledged');
  return text;
}

/** The answer at a path without rows, among the values of a record. */
export function answerAt(values: unknown, path: string): Answer {
  let at: unknown = values;
  for (const step of path.split('/')) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<string, unknown>)[step];
  }
  return at;
}

/** A moment as `2026-11-22 08:15`, in the time of Shanghai whatever the machine's zone. */
export function moment(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '—';
  const SHANGHAI_MS = 8 * 3_600_000;
  return new Date(ms + SHANGHAI_MS).toISOString().slice(0, 16).replace('T', ' ');
}
