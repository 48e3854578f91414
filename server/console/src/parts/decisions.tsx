import { App, Button, Checkbox, Form, Input, Modal, Select, Space } from 'antd';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { ApiProblem, answer, api, type Shapes } from '../api/client';
import { useReasons } from '../api/queries';
import { pick, say } from '../i18n';
import { focusOnOpen } from '../logic/focus';
import { fieldLabel, fieldsByPath, withoutRows, type KindForm } from '../logic/values';
import { Failed } from './failed';
import { answerId } from './form-view';
import { DECISIONS } from './timeline';

type Page = Shapes['RecordPage'];
type Decision = (typeof DECISIONS)[number];

/** Characters of a decision's reasons, as the server counts. */
const REASONS_CHARS_MAX = 2_000;
const ONWARD = 'fieldbook.onward';

interface Around {
  page: Page | undefined;
  /** The decision is made: show what is there now. */
  decided: () => Promise<void>;
  /** Goes to the next record of the list. */
  next: (() => void) | undefined;
  /** Asks for the record again: it moved on. */
  refresh: () => void;
}

/** What keeps a record from being approved, in words; none where nothing does. */
export function blocks(page: Page): string[] {
  const found: string[] = [];
  if (!page.may.decide.includes('approve')) found.push(say('decide.not_submitted'));
  const open = page.conflicts.filter((conflict) => conflict.blocks_approval).length;
  if (open > 0) found.push(say('decide.conflicts', { count: open }));
  if (page.problems.length > 0) found.push(say('decide.problems', { count: page.problems.length }));
  if (page.may.approve_blocked_by === 'own_record') found.push(say('decide.own_record'));
  return found;
}

/** Approving, returning and voiding the record as it was read. */
export function useDecisions({ page, decided, next, refresh }: Around) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [asking, setAsking] = useState<'return' | 'void'>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [onward, setOnward] = useState(() => window.localStorage.getItem(ONWARD) !== 'no');
  const decide = async (decision: Decision, reasons = '', fields: string[] = []): Promise<void> => {
    if (!page || busy) return;
    setBusy(true);
    setError(undefined);
    try {
      const params = { path: { id: page.id, decision } };
      await answer(api.POST('/records/{id}/{decision}', { params, body: { heads: page.heads, reasons, fields } }));
      message.success(t(`decided.${decision}`));
      setAsking(undefined);
      await decided();
      if (onward && next) next();
    } catch (failure) {
      setError(failure);
      if (failure instanceof ApiProblem && failure.status === 409) refresh();
    } finally {
      setBusy(false);
    }
  };
  const keepOnward = (wanted: boolean): void => {
    window.localStorage.setItem(ONWARD, wanted ? 'yes' : 'no');
    setOnward(wanted);
  };
  const may = (decision: Decision) => page?.may.decide.includes(decision) ?? false;
  return {
    asking, error, busy, onward, keepOnward, decide,
    close: () => { setAsking(undefined); setError(undefined); },
    approve: page && blocks(page).length === 0 ? () => void decide('approve') : undefined,
    archive: may('archive') ? () => void decide('archive') : undefined,
    reinstate: may('reinstate') ? () => void decide('reinstate') : undefined,
    askReturn: may('return') ? () => { setError(undefined); setAsking('return'); } : undefined,
    askVoid: may('void') ? () => { setError(undefined); setAsking('void'); } : undefined,
  };
}

interface Props {
  page: Page;
  form: KindForm;
  decisions: ReturnType<typeof useDecisions>;
}

/** The decision on the record as it was read. */
export function Decisions({ page, form, decisions }: Props) {
  const { t } = useTranslation();
  const why = page.may.decide.includes('return') ? blocks(page) : [];
  const fields = fieldsByPath(form);
  return (
    <section className="card" aria-labelledby="decide-title">
      <h2 id="decide-title">{t('decide.title')}</h2>
      <div className="decisions">
        <Button type="primary" disabled={!decisions.approve} loading={decisions.busy} onClick={decisions.approve} aria-keyshortcuts="a">
          ✓ {t('decide.approve')}
        </Button>
        <Button disabled={!decisions.askReturn} onClick={decisions.askReturn} aria-keyshortcuts="r">
          ↩ {t('decide.return')}
        </Button>
        <Button disabled={!decisions.askVoid} onClick={decisions.askVoid} danger aria-keyshortcuts="v">
          ✕ {t('decide.void')}
        </Button>
        {decisions.archive && <Button onClick={decisions.archive}>▣ {t('decide.archive')}</Button>}
        {decisions.reinstate && <Button onClick={decisions.reinstate}>↺ {t('decide.reinstate')}</Button>}
      </div>
      {why.length > 0 && page.state !== 'approved' && (
        <ul className="why-not">
          {why.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      )}
      {page.problems.length > 0 && (
        <ul className="why-not mark-problem">
          {page.problems.map((problem) => (
            <li key={`${problem.path} ${problem.message}`}>
              <Button type="link" size="small" onClick={() => document.getElementById(answerId(problem.path))?.scrollIntoView({ block: 'center' })}>
                {fieldLabel(fields.get(withoutRows(problem.path)), problem.label)}
              </Button>
              {problem.message}
            </li>
          ))}
        </ul>
      )}
      <Checkbox checked={decisions.onward} onChange={(event) => decisions.keepOnward(event.target.checked)}>
        {t('decide.onward')}
      </Checkbox>
      {decisions.error !== undefined && !decisions.asking && <Failed error={decisions.error} />}
      {decisions.asking && <Reasons key={decisions.asking} page={page} form={form} decisions={decisions} decision={decisions.asking} />}
    </section>
  );
}

/** The fields that somebody can mend, each with the group that it stands in: several have the same label. */
function fieldOptions(form: KindForm): { value: string; label: string }[] {
  const groups = new Map(form.groups.map((group) => [group.path, pick(group.label, '')]));
  const open = form.fields.filter((field) => !field.calculated && field.field_type !== 'note');
  return open.map((field) => {
    const group = groups.get(field.path.slice(0, Math.max(0, field.path.lastIndexOf('/'))));
    return { value: field.path, label: [fieldLabel(field, field.path), group].filter(Boolean).join(' · ') };
  });
}

/** Buttons that add a reason which the server offers for the kind. */
export function PresetReasons({ kind, decision, add }: { kind: string; decision: 'return' | 'void'; add: (reason: string) => void }) {
  const { t } = useTranslation();
  const offered = useReasons(kind).data?.[decision] ?? [];
  return (
    <Space wrap role="group" aria-label={t('decide.presets')}>
      {offered.map((reason) => (
        <Button key={reason.name} onClick={() => add(pick(reason.label, reason.name))}>
          + {pick(reason.label, reason.name)}
        </Button>
      ))}
    </Space>
  );
}

/** Adds a sentence to what was typed, on a line of its own. */
export const added = (before: string, reason: string): string => (before.trim() === '' ? reason : `${before.trimEnd()}\n${reason}`);

/** Why, and which fields are open again. */
function Reasons({ page, form, decisions, decision }: Props & { decision: 'return' | 'void' }) {
  const { t } = useTranslation();
  const [reasons, setReasons] = useState(() => page.problems.map((problem) => say('named', { name: problem.label }) + problem.message).join('\n'));
  const broken = [...new Set([...page.problems, ...page.conflicts].map((one) => withoutRows(one.path)))];
  const [fields, setFields] = useState(() => (decision === 'return' ? broken : []));
  const options = useMemo(() => fieldOptions(form), [form]);
  return (
    <Modal
      open afterOpenChange={focusOnOpen('reasons')} title={t(`decide.${decision}_title`)} onCancel={decisions.close} width={600} confirmLoading={decisions.busy} closable={{ 'aria-label': t('close') }}
      okText={t(`decide.${decision}`)} okButtonProps={{ disabled: reasons.trim() === '', danger: decision === 'void' }}
      onOk={() => void decisions.decide(decision, reasons.trim(), fields)}
    >
      <Form layout="vertical">
        <Form.Item label={t('decide.reasons')} htmlFor="reasons">
          <Input.TextArea id="reasons" autoFocus rows={4} value={reasons} maxLength={REASONS_CHARS_MAX} onChange={(event) => setReasons(event.target.value)}
            onKeyDown={(event) => { if (event.key === 'Enter' && event.ctrlKey && reasons.trim() !== '') void decisions.decide(decision, reasons.trim(), fields); }} />
        </Form.Item>
        <PresetReasons kind={page.kind} decision={decision} add={(reason) => setReasons((before) => added(before, reason))} />
        {decision === 'return' && (
          <Form.Item label={t('decide.fields')} htmlFor="fields" extra={t('decide.fields_hint')} style={{ marginTop: 12 }}>
            <Select id="fields" aria-label={t('decide.fields')} mode="multiple" allowClear value={fields} onChange={setFields} options={options} showSearch={{ optionFilterProp: 'label' }} />
          </Form.Item>
        )}
      </Form>
      {decisions.error !== undefined && <Failed error={decisions.error} />}
    </Modal>
  );
}
