/** The pages of the menu, in its order: the digits lead to them too. */
import type { Key } from '../i18n';

export interface MenuPage {
  path: string;
  label: Key;
  /** The key that leads there. */
  digit: string;
}

const ORDER: [string, Key][] = [
  ['/', 'nav.today'], ['/overview', 'nav.overview'], ['/doubles', 'nav.doubles'], ['/quarantine', 'nav.quarantine'], ['/exchanges', 'nav.exchanges'],
  ['/people', 'nav.people'], ['/devices', 'nav.devices'], ['/forms', 'nav.forms'], ['/audit', 'nav.audit'],
];

/** All but the lists of records, which come with the kinds. */
export const PAGES: MenuPage[] = ORDER.map(([path, label], at) => ({ path, label, digit: String(at + 1) }));

/** What of them a user is shown: the audit log is for few. */
export const pagesOf = (mayReadAudit: boolean): MenuPage[] => PAGES.filter(({ path }) => mayReadAudit || path !== '/audit');

/** Those above the lists of records. */
export const FIRST_PAGES = 2;
