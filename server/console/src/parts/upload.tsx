import { Button } from 'antd';
import { useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { upload } from '../api/supervision';
import { Failed } from './failed';

/** Bytes that the server takes. */
const BYTES_MAX = 8 * 1024 * 1024;
const ENDINGS = '.xlsx,.xls,.zip';

interface Props {
  done: (preview: Shapes['PreviewPage'], name: string) => void;
}

/** Where an XLSForm is put: by a button, or by dragging its file here. */
export function UploadForm({ done }: Props) {
  const { t } = useTranslation();
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [tooLarge, setTooLarge] = useState(false);
  const send = async (file: File | undefined): Promise<void> => {
    if (!file || busy) return;
    setError(undefined);
    setTooLarge(file.size > BYTES_MAX);
    if (file.size > BYTES_MAX) return;
    setBusy(true);
    try {
      done(await upload(file), file.name);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
      // The same file, mended, is chosen again.
      if (input.current) input.current.value = '';
    }
  };
  const drop = (event: React.DragEvent): void => {
    event.preventDefault();
    setOver(false);
    void send(event.dataTransfer.files[0]);
  };
  return (
    <section className={over ? 'card drop over' : 'card drop'} aria-label={t('forms.upload')}
      onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)} onDrop={drop}>
      <Button type="primary" loading={busy} onClick={() => input.current?.click()}>
        {t('forms.upload')}
      </Button>
      <span className="by">{t('forms.upload_hint')}</span>
      <input ref={input} type="file" hidden accept={ENDINGS} aria-label={t('forms.file')} onChange={(event) => void send(event.target.files?.[0])} />
      {tooLarge && <p className="warn" role="alert">{t('forms.too_large')}</p>}
      {error !== undefined && <Failed error={error} />}
    </section>
  );
}
