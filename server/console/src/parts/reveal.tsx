import { App, Button } from 'antd';
import { useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { reveal } from '../api/queries';
import { language } from '../i18n';
import { readingOf } from '../logic/reveal';
import { sentence } from './failed';

type Page = Shapes['RecordPage'];

/** Asks for a masked field, by path without rows. `place` takes the focus of the button, which goes. */
export type Show = (field: string, place: HTMLElement | null) => void;

/**
 * The record with what its reader asked to see; the server logs that. It is kept nowhere but here, and shown only beside
 * the page for which it was asked: else what is read would not be what a decision names.
 */
export function useReveal(page: Page | undefined, refresh: () => void) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [seen, setSeen] = useState<{ reading: string; fields: string[]; page: Page }>();
  const waiting = useRef(new Set<string>());
  const place = useRef<HTMLElement>(null);
  const reading = page && readingOf(page, language());
  const open = seen?.reading === reading ? seen : undefined;
  useEffect(() => {
    // Whoever has gone on meanwhile is left where he is.
    if ((document.activeElement ?? document.body) !== document.body) return;
    place.current?.focus({ preventScroll: true });
    place.current = null;
  }, [seen]);
  const ask = async (id: string, was: string, field: string): Promise<void> => {
    waiting.current.add(field);
    const fields = [...new Set([...(open?.fields ?? []), ...waiting.current])];
    try {
      const answered = await reveal(id, fields);
      if (readingOf(answered, language()) !== was) {
        message.warning(t('record.reveal_moved'));
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
    if (!page || reading === undefined) return;
    place.current = here;
    void ask(page.id, reading, field);
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
