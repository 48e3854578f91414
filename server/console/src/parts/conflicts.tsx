import { App, Button, Input, Select } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import { answer, api, type Shapes } from '../api/client';
import { maskedField } from '../logic/reveal';
import { fen, fieldLabel, fieldsByPath, isMoney, moment, shown, withoutRows, type Answer, type Field, type KindForm } from '../logic/values';
import { sentence } from './failed';
import { RevealButton, type Show } from './reveal';

type Conflict = Shapes['ConflictPage'];
type Side = Shapes['ValuePage'];
/** One of the sides, by the change that wrote it since its value may be masked; or what somebody types instead. */
type Choice = { change: string } | { value: never };

interface Props {
  page: Shapes['RecordPage'];
  form: KindForm;
  show: Show;
  resolved: () => void;
}

/** Every disagreement with all its values: who wrote which, when, and a click to decide. */
export function Conflicts({ page, form, show, resolved }: Props) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [busy, setBusy] = useState(false);
  if (page.conflicts.length === 0) return null;
  const decide = async (path: string, choice: Choice): Promise<void> => {
    setBusy(true);
    try {
      const body = { heads: page.heads, path, ...choice };
      await answer(api.POST('/records/{id}/resolve', { params: { path: { id: page.id } }, body }));
      message.success(t('conflict.resolved'));
      resolved();
    } catch (error) {
      message.error(sentence(error));
    } finally {
      setBusy(false);
    }
  };
  const fields = fieldsByPath(form);
  return (
    <section className="card" id="conflicts" tabIndex={-1} aria-labelledby="conflicts-title">
      <h2 id="conflicts-title">{t('conflict.title', { count: page.conflicts.length })}</h2>
      {page.conflicts.map((conflict) => (
        <One key={conflict.path} conflict={conflict} field={fields.get(withoutRows(conflict.path))} form={form} masked={page.masked} show={show} busy={busy}
          decide={(choice) => void decide(conflict.path, choice)} />
      ))}
    </section>
  );
}

interface OneProps {
  conflict: Conflict;
  field: Field | undefined;
  form: KindForm;
  masked: string[];
  show: Show;
  busy: boolean;
  decide: (choice: Choice) => void;
}

/** The API's document says no more of a value than that it is JSON. */
const typed = (value: Answer) => value as never;

function One({ conflict, field, form, masked, show, busy, decide }: OneProps) {
  const { t } = useTranslation();
  const label = fieldLabel(field, conflict.path);
  const hidden = maskedField(masked, conflict.path, conflict.values.map((side) => side.value));
  return (
    <div className="conflict" role="group" aria-label={label} tabIndex={-1}>
      <div className="conflict-head">
        <h3>
          {label} {conflict.blocks_approval && <span className="blocks">{t('conflict.blocks')}</span>}
        </h3>
        {hidden !== undefined && <RevealButton field={hidden} label={label} show={show} />}
      </div>
      {conflict.values.map((side) => (
        <div className="side" key={side.change}>
          <span>
            <strong>{side.text ?? shown(form, field, side.value)}</strong>
            <Written by={side} />
          </span>
          <Button disabled={busy} onClick={() => decide({ change: side.change })} aria-label={t('conflict.choose_value', { field: label, value: side.text ?? shown(form, field, side.value) })}>
            {t('conflict.choose')}
          </Button>
        </div>
      ))}
      <Third field={field} form={form} label={label} busy={busy} decide={(value) => decide({ value: typed(value) })} />
    </div>
  );
}

/** Who wrote something, when, on which device; and when the server had it, where that is another time. */
export function Written({ by }: { by: Pick<Side, 'author' | 'device_name' | 'time_ms' | 'received_ms' | 'clock_wrong'> }) {
  const { t } = useTranslation();
  const late = by.received_ms !== null && by.received_ms !== undefined && moment(by.received_ms) !== moment(by.time_ms);
  return (
    <div className="by">
      {by.author || t('author.unknown')} · {moment(by.time_ms)}
      {late && <> · {t('author.received', { time: moment(by.received_ms) })}</>}
      {by.clock_wrong && <span className="warn"> · {t('author.clock_wrong')}</span>}
      <br />
      {by.device_name || t('author.console')}
    </div>
  );
}

/** The typed text as an answer, or nothing where it is none. */
export function typedAnswer(field: Field | undefined, text: string): Answer {
  const trimmed = text.trim();
  if (trimmed === '') return undefined;
  if (isMoney(field)) return fen(trimmed);
  if (field?.field_type === 'integer') return /^-?\d{1,15}$/.test(trimmed) ? Number(trimmed) : undefined;
  return trimmed;
}

interface ThirdProps {
  field: Field | undefined;
  form: KindForm;
  label: string;
  busy: boolean;
  decide: (value: Answer) => void;
}

/** Neither is right: a third value. Whoever writes it is its author, and somebody else has to approve. */
function Third({ field, form, label, busy, decide }: ThirdProps) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState('');
  const value = typedAnswer(field, typed);
  if (!open) {
    return (
      <Button type="link" onClick={() => setOpen(true)}>
        {t('conflict.third')}
      </Button>
    );
  }
  const choices = field?.choices ? form.choices[field.choices] : undefined;
  const name = t('conflict.third_value', { field: label });
  return (
    <>
      <div className="third">
        {choices && field?.field_type === 'select_one' ? (
          <Select aria-label={name} autoFocus value={typed || undefined} onChange={setTyped} showSearch={{ optionFilterProp: 'label' }}
            options={choices.map((choice) => ({ value: choice.name, label: shown(form, field, choice.name) }))} />
        ) : (
          <Input aria-label={name} autoFocus value={typed} onChange={(event) => setTyped(event.target.value)} maxLength={2_000}
            type={field?.field_type === 'date' ? 'date' : 'text'} suffix={isMoney(field) ? t('value.yuan_unit') : undefined}
            onPressEnter={() => value !== undefined && decide(value)} />
        )}
        <Button type="primary" disabled={busy || value === undefined} onClick={() => decide(value)}>
          {t('conflict.write')}
        </Button>
      </div>
      <p className="by">{t('conflict.third_hint')}</p>
    </>
  );
}
