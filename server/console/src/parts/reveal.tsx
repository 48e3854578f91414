import { App, Button } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { language, say, type Key } from '../i18n';
import { sentence } from './failed';

/** Asks for a masked field, by path without rows. `place` takes the focus of the button, which goes. */
export type Show = (field: string, place: HTMLElement | null) => void;

interface Masked<Page> {
  page: Page | undefined;
  /** What two pages have in common that differ in nothing but masks. */
  reading: (page: Page) => string;
  /** Asks for the page with these fields in clear. */
  ask: (fields: string[]) => Promise<Page>;
  /** Said where the page has moved on since it was read. */
  moved: Key;
  refresh: () => void;
}

/**
 * A page with what its reader asked to see; the server logs that. It is kept nowhere but here, and shown only beside the
 * page for which it was asked: else what is read would not be what is decided on.
 */
export function useReveal<Page>({ page, reading, ask, moved, refresh }: Masked<Page>) {
  const { message } = App.useApp();
  // Labels come with the page.
  const inLanguage = (one: Page): string => `${language()} ${reading(one)}`;
  const [seen, setSeen] = useState<{ reading: string; fields: string[]; page: Page }>();
  const waiting = useRef(new Set<string>());
  const place = useRef<HTMLElement>(null);
  const read = page && inLanguage(page);
  const open = seen?.reading === read ? seen : undefined;
  useEffect(() => {
    // Whoever has gone on meanwhile is left where he is.
    if ((document.activeElement ?? document.body) !== document.body) return;
    place.current?.focus({ preventScroll: true });
    place.current = null;
  }, [seen]);
  const fetch = async (was: string, field: string): Promise<void> => {
    waiting.current.add(field);
    const fields = [...new Set([...(open?.fields ?? []), ...waiting.current])];
    try {
      const answered = await ask(fields);
      if (inLanguage(answered) !== was) {
        message.warning(say(moved));
        refresh();
        return;
      }
      // The answer to an earlier click may come later, and shows less.
      setSeen((before) => (before?.reading === was && before.fields.length > fields.length ? before : { reading: was, fields, page: answered }));
    } catch (error) {
      message.error(sentence(error));
    } finally {
      waiting.current.delete(field);
    }
  };
  const show: Show = (field, here) => {
    if (read === undefined) return;
    place.current = here;
    void fetch(read, field);
  };
  return { page: open?.page ?? page, show };
}

/** Shows what is masked beside it. */
export function RevealButton({ field, label, show }: { field: string; label: string; show: Show }) {
  const { t } = useTranslation();
  return (
    <Button type="link" size="small" aria-label={t('record.reveal_field', { field: label })}
      onClick={(event) => show(field, event.currentTarget.closest<HTMLElement>('[tabindex="-1"]'))}>
      {t('record.reveal')}
    </Button>
  );
}
