import { App, Button, Form, Modal, Table, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { useUnits } from '../api/queries';
import { publish } from '../api/supervision';
import { enumerated, languageName, say } from '../i18n';
import { moment } from '../logic/values';
import { Failed } from './failed';
import { UnitPicker } from './record-filters';

type Previewed = Shapes['PreviewedForm'];
type Difference = Shapes['FormDifference'];

/** Why a form cannot be published, as the server names it. */
const HINDRANCES = ['not_publisher', 'form_version_taken', 'form_area_changed', 'form_unit_narrower', 'form_too_large', 'unit_unknown', 'form_moved'] as const;
const CHANGES = [
  'added', 'removed', 'retyped', 'regrouped', 'label', 'hint', 'choices_added', 'choices_removed', 'choice_labels', 'required', 'relevant', 'constraint',
  'calculation', 'merge', 'sensitivity', 'writers', 'check', 'identity', 'occasion', 'list', 'search', 'unit', 'order', 'title', 'languages',
] as const;
const DIFFERENCES_SHOWN = 20;

/** What the sheets' author should know, with the place in the workbook. */
export function Notes({ title, notes, wrong }: { title: string; notes: Shapes['SheetNote'][]; wrong?: boolean }) {
  const { t } = useTranslation();
  if (notes.length === 0) return null;
  const columns: TableColumnsType<Shapes['SheetNote']> = [
    { key: 'sheet', title: t('forms.sheet'), width: 90, render: (_, note) => note.sheet || '—' },
    { key: 'row', title: t('forms.row'), width: 60, render: (_, note) => note.row ?? '—' },
    { key: 'column', title: t('forms.column'), width: 150, render: (_, note) => note.column ?? '—' },
    { key: 'message', title: t('forms.message'), dataIndex: 'message' },
  ];
  const keyed = notes.map((note, at) => ({ ...note, at }));
  return (
    <section className={wrong ? 'card notes wrong' : 'card notes'} role={wrong ? 'alert' : undefined} aria-label={title}>
      <h2>{title}</h2>
      <Table size="small" rowKey="at" columns={columns} dataSource={keyed} pagination={{ pageSize: 50, hideOnSinglePage: true }} />
    </section>
  );
}

interface Props {
  form: Previewed;
  warnings: Shapes['SheetNote'][];
  published: () => void;
}

/** What an uploaded form is, what changes by it, and its publication. */
export function Preview({ form, warnings, published }: Props) {
  const { t } = useTranslation();
  const [asking, setAsking] = useState(false);
  const hindrance = HINDRANCES.find((known) => known === form.hindrance);
  // Who may not decide for all may for a unit below.
  const open = !form.hindrance || form.hindrance === 'not_publisher';
  const last = form.last_version;
  const version = last ? t('forms.version_after', { version: form.version, last }) : t('forms.version_first', { version: form.version });
  return (
    <>
      <section className="card" aria-labelledby="preview-title">
        <h2 id="preview-title">{t('forms.uploaded')}</h2>
        <dl className="answers">
          <Fact name={t('forms.kind')} value={form.kind} />
          <Fact name={t('forms.version')} value={version} />
          <Fact name={t('forms.fields')} value={String(form.fields)} />
          <Fact name={t('trial.language')} value={enumerated(form.languages.map(languageName))} />
          <Fact name={t('forms.records')} value={String(form.records)} />
          <Fact name={t('forms.kept')} value={moment(form.expires_ms)} />
        </dl>
        {form.hindrance && <p className="warn below">⚠ {hindrance ? t(`forms.hindrance.${hindrance}`) : form.hindrance}</p>}
        <div className="decisions below">
          <Button type="primary" disabled={!open} onClick={() => setAsking(true)}>
            {t('forms.publish')}
          </Button>
        </div>
      </section>
      <Notes title={t('forms.warnings', { count: warnings.length })} notes={warnings} />
      <Differences form={form} />
      {asking && <Publish form={form} close={() => setAsking(false)} published={published} />}
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div className="answer">
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Differences({ form }: { form: Previewed }) {
  const { t } = useTranslation();
  if (form.last_version === null || form.last_version === undefined) return null;
  const word = (change: string) => {
    const known = CHANGES.find((one) => one === change);
    return known ? t(`forms.change.${known}`) : change;
  };
  const columns: TableColumnsType<Difference & { at: number }> = [
    { key: 'change', title: t('forms.change'), width: 100, render: (_, one) => word(one.change) },
    {
      key: 'path', title: t('forms.where'), width: 170,
      render: (_, one) => <>{one.label || t('forms.whole')}{one.path && <div className="by">{one.path}</div>}</>,
    },
    { key: 'sides', title: t('forms.sides'), className: 'sides', render: (_, one) => <Sides difference={one} /> },
    { key: 'effect', title: t('forms.effect'), render: (_, one) => (one.effect ? <span className="warn">{one.effect}</span> : t('forms.no_effect')) },
  ];
  const rows = form.differences.map((one, at) => ({ ...one, at }));
  return (
    <section className="card" aria-labelledby="differences-title">
      <h2 id="differences-title">{t('forms.differences', { version: form.last_version, count: rows.length + form.more_differences })}</h2>
      <Table size="small" rowKey="at" columns={columns} dataSource={rows} locale={{ emptyText: t('forms.same') }}
        pagination={{ pageSize: DIFFERENCES_SHOWN, hideOnSinglePage: true, showSizeChanger: false }} />
      {form.more_differences > 0 && <p className="by">{t('forms.more_differences', { count: form.more_differences })}</p>}
    </section>
  );
}

const TYPES = [
  'text', 'integer', 'decimal', 'date', 'time', 'datetime', 'select_one', 'select_multiple', 'rank', 'geopoint', 'geotrace', 'geoshape', 'blob', 'barcode',
  'acknowledge', 'calculate', 'note', 'meta',
] as const;
/** Changes whose sides are a line for each language: `en: Next visit`. */
const BY_LANGUAGE = ['label', 'hint', 'choice_labels', 'title'];

/** One side of a difference as its reader says it, and not as the sheet does. */
function sideText(change: string, text: string): string {
  const type = TYPES.find((one) => one === text);
  if (type && ['added', 'removed', 'retyped'].includes(change)) return say(`forms.type.${type}`);
  if (change === 'languages') return enumerated(text.split(' ').map(languageName));
  if (!BY_LANGUAGE.includes(change)) return text;
  return text.replace(/^([A-Za-z-]{2,12}): /gm, (_, code: string) => say('named', { name: languageName(code) }));
}

function Sides({ difference }: { difference: Difference }) {
  const [before, after] = [difference.before, difference.after].map((text) => text && sideText(difference.change, text));
  return (
    <>
      {before && <del>{before}</del>}
      {before && after && <span> → </span>}
      {after && <ins>{after}</ins>}
    </>
  );
}

/** Publishing cannot be taken back: how many records it concerns is said first. */
function Publish({ form, close, published }: { form: Previewed; close: () => void; published: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const units = useUnits();
  const [unit, setUnit] = useState(form.unit ?? undefined);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const send = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const done = await publish(form.digest, unit);
      message.success(t('forms.published', { title: form.title, version: done.version }));
      published();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const name = units.data?.find((known) => known.code === unit)?.name ?? unit;
  return (
    <Modal open title={t('forms.publish_title', { title: form.title, version: form.version })} onCancel={close} okText={t('forms.publish')} confirmLoading={busy}
      okButtonProps={{ disabled: !unit }} onOk={() => void send()} closable={{ 'aria-label': t('close') }}>
      <p>{t(form.records > 0 ? 'forms.publish_records' : 'forms.publish_no_records', { count: form.records })}</p>
      <p>{t('forms.publish_text')}</p>
      <Form layout="vertical">
        <Form.Item label={t('forms.publish_unit')}>
          <UnitPicker must value={unit} change={setUnit} />
        </Form.Item>
      </Form>
      {name && <p className="by">{t('forms.publish_below', { unit: name })}</p>}
      {error !== undefined && <Failed error={error} />}
    </Modal>
  );
}
