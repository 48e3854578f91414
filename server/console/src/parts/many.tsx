import { App, Button, Form, Input, Modal, Table, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import { answer, api, type Shapes } from '../api/client';
import { queryClient, useKind } from '../api/queries';
import { focusOnOpen } from '../logic/focus';
import { added, PresetReasons } from './decisions';
import { Failed, told } from './failed';
import { rowTitle } from './related';
import { StateTag } from './state-tag';

type Row = Shapes['RecordRow'];
type Result = Shapes['DecidedBody'];
type Decision = 'approve' | 'return' | 'void';

interface Props {
  kind: string;
  picked: Row[];
  clear: () => void;
}

/** One decision on all records that were picked: on each as it was shown, with a result for each. */
export function Many({ kind, picked, clear }: Props) {
  const { t } = useTranslation();
  const [asking, setAsking] = useState<Decision>();
  if (picked.length === 0 && !asking) return null;
  return (
    <>
      <span role="status">{t('many.picked', { count: picked.length })}</span>
      {(['approve', 'return', 'void'] as const).map((decision) => (
        <Button key={decision} type={decision === 'approve' ? 'primary' : 'default'} danger={decision === 'void'} onClick={() => setAsking(decision)}>
          {t(`decide.${decision}`)}…
        </Button>
      ))}
      <Button type="link" onClick={clear}>
        {t('many.clear')}
      </Button>
      {asking && <Ask kind={kind} decision={asking} picked={picked} close={() => { setAsking(undefined); clear(); }} cancel={() => setAsking(undefined)} />}
    </>
  );
}

interface AskProps {
  kind: string;
  decision: Decision;
  picked: Row[];
  /** After a decision: what was picked is done with. */
  close: () => void;
  cancel: () => void;
}

function Ask({ kind, decision, picked, close, cancel }: AskProps) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  // The list behind is fetched again and again: what was picked stays what it was.
  const [rows] = useState(picked);
  const [reasons, setReasons] = useState('');
  const [results, setResults] = useState<Result[]>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const decide = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const records = rows.map(({ id, heads }) => ({ id, heads }));
      const told = await answer(api.POST('/decisions', { body: { decision, reasons: reasons.trim(), fields: [], records } }));
      setResults(told.results);
      message.success(t('many.done', { done: told.decided, of: rows.length }));
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
      await queryClient.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'walk' });
    }
  };
  const sure = decision === 'approve' || reasons.trim() !== '';
  return (
    <Modal
      open afterOpenChange={focusOnOpen('many-reasons')} width={720} title={t(`many.${decision}`, { count: rows.length })} onCancel={results ? close : cancel} closable={{ 'aria-label': t('close') }}
      confirmLoading={busy} okText={results ? t('close') : t(`decide.${decision}`)} okButtonProps={{ disabled: !results && !sure, danger: decision === 'void' && !results }}
      cancelButtonProps={{ style: results && { display: 'none' } }} onOk={results ? close : () => void decide()}
    >
      {!results && decision !== 'approve' && (
        <Form layout="vertical">
          <Form.Item label={t('decide.reasons')} htmlFor="many-reasons">
            <Input.TextArea id="many-reasons" rows={3} maxLength={2_000} value={reasons} onChange={(event) => setReasons(event.target.value)} />
          </Form.Item>
          <PresetReasons kind={kind} decision={decision} add={(reason) => setReasons((before) => added(before, reason))} />
        </Form>
      )}
      {error !== undefined && <Failed error={error} />}
      <PickedRecords kind={kind} rows={rows} results={results} />
    </Modal>
  );
}

function PickedRecords({ kind, rows, results }: { kind: string; rows: Row[]; results: Result[] | undefined }) {
  const { t } = useTranslation();
  const form = useKind(kind);
  const state = (row: Row) => results?.find((result) => result.id === row.id)?.state ?? row.state;
  const columns: TableColumnsType<Row> = [
    { key: 'name', title: t('many.record'), render: (_, row) => rowTitle(form.data, row) },
    { key: 'unit', title: t('column.unit'), dataIndex: 'unit_name' },
    { key: 'state', title: t('column.state'), width: 110, render: (_, row) => <StateTag state={state(row)} /> },
  ];
  return <Picked<Row> rows={rows} columns={columns} results={results} />;
}

interface PickedProps<Row> {
  rows: Row[];
  columns: TableColumnsType<Row>;
  /** After the decision. */
  results: { id: string | number; problem?: Shapes['ProblemBody'] | null }[] | undefined;
}

/** What was picked, and then what became of each; what was not decided stands first. */
export function Picked<Row extends { id: string | number }>({ rows, columns, results }: PickedProps<Row>) {
  const { t } = useTranslation();
  const found = new Map((results ?? []).map((result) => [result.id, result]));
  const refused = (row: Row) => (found.get(row.id)?.problem ? 0 : 1);
  const outcome = {
    key: 'outcome', title: t('many.outcome'), width: 240,
    render: (_: unknown, row: Row) => {
      const problem = found.get(row.id)?.problem;
      return problem ? <span className="warn">✕ {told(problem.type, problem.title)}</span> : <span>✓ {t('many.ok')}</span>;
    },
  };
  return (
    // antd's own scrolling takes no keyboard.
    <div className="picked" tabIndex={0} role="group" aria-label={t('many.list')}>
      <Table<Row> size="small" rowKey="id" pagination={false} columns={results ? [...columns, outcome] : columns}
        dataSource={results ? [...rows].sort((one, other) => refused(one) - refused(other)) : rows} />
    </div>
  );
}
