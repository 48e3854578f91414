/** Everything that the console says: zh-Hans first, English second. Names of fields and choices come from the forms. */
import dayjs from 'dayjs';
import 'dayjs/locale/zh-cn';
import i18next from 'i18next';
import { initReactI18next } from 'react-i18next';

import en from './en.json';
import zh from './zh-Hans.json';

export type Language = 'zh-Hans' | 'en';
/** A word of the catalogue. */
export type Key = keyof typeof zh;

const STORED = 'fieldbook.language';

function first(): Language {
  return window.localStorage.getItem(STORED) === 'en' ? 'en' : 'zh-Hans';
}

void i18next.use(initReactI18next).init({
  resources: { 'zh-Hans': { translation: zh }, en: { translation: en } },
  lng: first(),
  fallbackLng: 'zh-Hans',
  keySeparator: false,
  nsSeparator: false,
  interpolation: { escapeValue: false },
});
apply(first());

function apply(language: Language): void {
  document.documentElement.lang = language;
  dayjs.locale(language === 'en' ? 'en' : 'zh-cn');
}

/** The language of the screen. */
export function language(): Language {
  return i18next.language === 'en' ? 'en' : 'zh-Hans';
}

/** Changes the language of the screen and of what the server says. */
export async function setLanguage(wanted: Language): Promise<void> {
  window.localStorage.setItem(STORED, wanted);
  apply(wanted);
  await i18next.changeLanguage(wanted);
}

/** The sentence for `key` outside of components. */
export function say(key: Key, values: Record<string, unknown> = {}): string {
  return i18next.t(key, values);
}

/** Several things in one line. */
export function enumerated(texts: string[]): string {
  return texts.join(say('joint'));
}

/** A label in the screen's language, else in whichever there is; `otherwise` where there is none. */
export function pick(labels: Record<string, string> | undefined, otherwise: string): string {
  if (!labels) return otherwise;
  return labels[language()] || labels['zh-Hans'] || Object.values(labels).find((label) => label !== '') || otherwise;
}

/** A language's name in the screen's language. */
export function languageName(code: string): string {
  try {
    return new Intl.DisplayNames([language()], { type: 'language' }).of(code) ?? code;
  } catch {
    // A form's author may write what is no language code.
    return code;
  }
}

declare module 'i18next' {
  interface CustomTypeOptions {
    keySeparator: false;
    nsSeparator: false;
    resources: { translation: typeof zh };
  }
}
