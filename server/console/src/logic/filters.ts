/** What a list shows, as it stands in the address: a view can be saved and sent. */

export const STATES = ['draft', 'submitted', 'returned', 'approved', 'amended', 'archived', 'voided'] as const;
export type State = (typeof STATES)[number];

export const SORT_DEFAULT = '-received';
/** A column's word or a field's path, and the direction. */
const SORT = /^-?[\w/-]+$/;

/** Every filter's word in the address, as the server knows it. */
const TEXTS = ['state', 'unit', 'text', 'first', 'received', 'changed', 'reviewed', 'author', 'choice', 'refers', 'sort', 'after', 'before'] as const;
const FLAGS = ['unit_alone', 'conflicts', 'problems', 'decidable'] as const;
/** What says where in the list and in which order, and not which records. */
const PLACES: readonly string[] = ['sort', 'after', 'before'];

export type Filters = { [name in (typeof TEXTS)[number]]?: string } & { [name in (typeof FLAGS)[number]]?: boolean };

/** The filters that an address asks for; what is no filter is left out, and what the server does not know it will say. */
export function filtersOf(search: URLSearchParams): Filters {
  const found: Filters = {};
  for (const name of TEXTS) found[name] = search.get(name) || undefined;
  for (const name of FLAGS) found[name] = { true: true, false: false }[search.get(name) ?? ''];
  found.state = found.state?.split(',').filter((state) => STATES.some((known) => known === state)).join() || undefined;
  if (!SORT.test(found.sort ?? '')) found.sort = undefined;
  return filterParams(found);
}

/** The filters without what is not set. */
export function filterParams(filters: Filters): Filters {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined && value !== ''));
}

/** Those that choose records, without place and order. */
export function choosing(filters: Filters): Filters {
  return Object.fromEntries(Object.entries(filterParams(filters)).filter(([name]) => !PLACES.includes(name)));
}

/** The address's part for these filters; a changed filter begins at the first page. `others` stay as they are. */
export function searchOf(filters: Filters, others?: URLSearchParams): string {
  const search = new URLSearchParams(others);
  for (const name of [...FLAGS, ...TEXTS]) {
    const value = filters[name];
    if (value === undefined || value === '' || (name === 'sort' && value === SORT_DEFAULT)) search.delete(name);
    else search.set(name, String(value));
  }
  return search.toString();
}

/** Times that a list can be filtered by. */
export const TIMES = ['received', 'first', 'changed', 'reviewed'] as const;

const SHANGHAI_MS = 8 * 3_600_000;
const day = (text: string, last: boolean): string => {
  if (/^\d{10,}$/.test(text)) return new Date(Number(text) + SHANGHAI_MS).toISOString().slice(0, 10);
  const [year = '', month, date] = text.split('-');
  if (date || !/^\d{4}$/.test(year)) return text;
  if (!last) return `${year}-${month ?? '01'}-01`;
  return new Date(Date.UTC(Number(year), month ? Number(month) : 12, 0)).toISOString().slice(0, 10);
};

/** First and last day of a range as the address has it: `2026`, `2026-05`, `2026-05-31`, milliseconds, or `FROM..TO`. */
export function rangeOf(text: string | undefined): [string, string] {
  if (!text) return ['', ''];
  const [from = '', to = from] = text.includes('..') ? text.split('..') : [text, text];
  return [from && day(from, false), to && day(to, true)];
}

/** A range of days for the address. */
export function rangeText(from: string, to: string): string | undefined {
  return from || to ? `${from}..${to}` : undefined;
}

/** Chosen names by field, of `path=name,path=name`. */
export function choicesOf(text: string | undefined): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const part of (text ?? '').split(',')) {
    const at = part.indexOf('=');
    if (at > 0) (found[part.slice(0, at)] ??= []).push(part.slice(at + 1));
  }
  return found;
}

/** The same with these names of one field. */
export function withChoices(text: string | undefined, path: string, names: string[]): string | undefined {
  const all = { ...choicesOf(text), [path]: names };
  return Object.entries(all).flatMap(([field, chosen]) => chosen.map((name) => `${field}=${name}`)).join() || undefined;
}
