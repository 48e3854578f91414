/** What a list shows, as it stands in the address: a view can be saved and sent. */

export const STATES = ['draft', 'submitted', 'returned', 'approved', 'amended', 'archived', 'voided'] as const;
export type State = (typeof STATES)[number];

/** Orders of a list that the server knows. */
export const SORTS = ['received', 'changed', 'state', 'unit'] as const;
export const SORT_DEFAULT = '-received';

export interface Filters {
  state?: State;
  unit?: string;
  text?: string;
  conflicts?: boolean;
  problems?: boolean;
  sort?: string;
  after?: string;
}

const flag = (text: string | null): boolean | undefined => (text === 'true' ? true : text === 'false' ? false : undefined);
const word = (text: string | null): string | undefined => (text === null || text === '' ? undefined : text);

/** The filters that an address asks for; what is no filter is left out. */
export function filtersOf(search: URLSearchParams): Filters {
  const sort = word(search.get('sort'));
  const state = search.get('state');
  return {
    state: STATES.find((known) => known === state),
    unit: word(search.get('unit')),
    text: word(search.get('text')),
    conflicts: flag(search.get('conflicts')),
    problems: flag(search.get('problems')),
    sort: sort && SORTS.some((known) => known === sort.replace(/^-/, '')) ? sort : undefined,
    after: word(search.get('after')),
  };
}

/** The filters without what is not set. */
export function filterParams(filters: Filters): Filters {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined && value !== ''));
}

/** The address's part for these filters; a changed filter begins at the first page. `others` stay as they are. */
export function searchOf(filters: Filters, others?: URLSearchParams): string {
  const search = new URLSearchParams(others);
  for (const name of ['state', 'unit', 'text', 'conflicts', 'problems', 'sort', 'after']) search.delete(name);
  for (const [name, value] of Object.entries(filterParams(filters))) {
    if (!(name === 'sort' && value === SORT_DEFAULT)) search.set(name, String(value));
  }
  return search.toString();
}
