import { App, Checkbox, Form, Input, Modal } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import { answer, api, type Shapes } from '../api/client';
import { useRelated } from '../api/queries';
import { Failed } from './failed';
import { UnitPicker } from './record-filters';

/** Characters of the reason. */
const REASON_CHARS_MAX = 200;
/** Records that move along at most. */
const WITH_MAX = 199;

/** A record goes to another unit: its phones get it at their next sync, those of the old unit lose it. */
export function MoveRecord({ page, close, moved }: { page: Shapes['RecordPage']; close: () => void; moved: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [unit, setUnit] = useState<string>();
  const [reason, setReason] = useState('');
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [along, setAlong] = useState(true);
  const naming = (useRelated(page.id).data?.referred_by ?? []).flatMap((kind) => kind.records).filter((row) => row.unit === page.unit);
  const others = naming.slice(0, WITH_MAX).map((row) => row.id);
  const move = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await answer(api.POST('/records/{id}/move', { params: { path: { id: page.id } }, body: { unit: unit ?? '', reason: reason.trim(), with: along ? others : [] } }));
      message.success(t('move.done'));
      close();
      moved();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal open title={t('move.title', { unit: page.unit_name })} onCancel={close} okText={t('move.move')} confirmLoading={busy} closable={{ 'aria-label': t('close') }}
      okButtonProps={{ disabled: !unit || unit === page.unit || reason.trim() === '' }} onOk={() => void move()}>
      <p>{t('move.text')}</p>
      <Form layout="vertical">
        <Form.Item label={t('move.unit')}>
          <UnitPicker must value={unit} change={setUnit} />
        </Form.Item>
        <Form.Item label={t('move.reason')} htmlFor="move-reason">
          <Input id="move-reason" value={reason} maxLength={REASON_CHARS_MAX} onChange={(event) => setReason(event.target.value)} />
        </Form.Item>
        {others.length > 0 && (
          <Checkbox checked={along} onChange={(event) => setAlong(event.target.checked)}>
            {t('move.along', { count: others.length })}
          </Checkbox>
        )}
      </Form>
      {error !== undefined && <Failed error={error} />}
    </Modal>
  );
}
