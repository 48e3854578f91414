import { App, Button, Input, Select, Table, type TableColumnsType } from 'antd';
import { useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, useSearchParams } from 'react-router';

import { ApiProblem, type Shapes } from '../api/client';
import { useKinds, useUnits } from '../api/queries';
import { LOG_PAGE, logFile, useLog } from '../api/supervision';
import { pick } from '../i18n';
import { ACTIONS, actionText, detailText, logFiltersOf, logSearchOf, recordOf, subjectText, type LogFilters } from '../logic/log';
import { save } from '../logic/save';
import { moment } from '../logic/values';
import { Failed, sentence } from '../parts/failed';
import '../supervision.css';

type Row = Shapes['AuditBody'];
type Change = (wanted: Partial<LogFilters>) => void;

/** Who did what to which id, and when: newest first. */
export default function Audit() {
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const filters = logFiltersOf(search);
  const log = useLog(filters);
  const change: Change = (wanted) => setSearch(logSearchOf({ ...filters, before: undefined, ...wanted }));
  if (log.error instanceof ApiProblem && log.error.word === 'not_auditor') return <NotYours text={log.error.message} />;
  const rows = log.data;
  const last = rows?.[rows.length - 1];
  return (
    <>
      <h1>{t('nav.audit')}</h1>
      <LogFilterBar filters={filters} change={change} />
      {log.error ? <Failed error={log.error} again={() => void log.refetch()} /> : <LogTable rows={rows} change={change} />}
      <div className="pager">
        <span>{t('log.on_page', { count: rows?.length ?? 0 })}</span>
        {filters.before !== undefined && <Button onClick={() => change({})}>{t('log.newest')}</Button>}
        <Button disabled={!last || rows.length < LOG_PAGE} onClick={() => change({ before: last?.number })}>
          {t('log.older')}
        </Button>
      </div>
    </>
  );
}

function NotYours({ text }: { text: string }) {
  const { t } = useTranslation();
  return (
    <>
      <h1>{t('nav.audit')}</h1>
      <section className="card">
        <h2>{text}</h2>
        {t('log.not_yours')}
      </section>
    </>
  );
}

function LogFilterBar({ filters, change }: { filters: LogFilters; change: Change }) {
  const { t } = useTranslation();
  const actions = ACTIONS.map((action) => ({ value: action as string, label: actionText(action) }));
  const set = logSearchOf({ ...filters, before: undefined }) !== '';
  return (
    <div className="filters" role="search">
      <Words name={t('log.user')} hint={t('log.user_hint')} value={filters.user} change={(user) => change({ user })} />
      <Select
        aria-label={t('log.action')} placeholder={t('log.any_action')} allowClear showSearch={{ optionFilterProp: 'label' }} style={{ width: 170 }} value={filters.action}
        onChange={(action?: string) => change({ action })} options={actions}
      />
      <Words name={t('log.subject')} hint={t('log.subject_hint')} value={filters.subject} change={(subject) => change({ subject })} wide />
      <Day name={t('log.from')} value={filters.from} change={(from) => change({ from })} />
      <Day name={t('log.to')} value={filters.to} change={(to) => change({ to })} />
      {set && (
        <Button type="link" onClick={() => change({ user: undefined, action: undefined, subject: undefined, from: undefined, to: undefined })}>
          {t('filter.clear')}
        </Button>
      )}
      <span className="space" />
      <Csv filters={filters} />
    </div>
  );
}

function Csv({ filters }: { filters: LogFilters }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [busy, setBusy] = useState(false);
  const load = async (): Promise<void> => {
    setBusy(true);
    try {
      save(await logFile(filters), 'audit.csv');
    } catch (failure) {
      message.error(sentence(failure));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Button loading={busy} onClick={() => void load()}>
      ↓ {t('log.csv')}
    </Button>
  );
}

interface WordsProps {
  name: string;
  hint: string;
  value: string | undefined;
  change: (value: string | undefined) => void;
  wide?: boolean;
}

/** Words that are asked for once they are typed to the end. */
function Words({ name, hint, value, change, wide }: WordsProps) {
  const [typed, setTyped] = useState(value ?? '');
  useEffect(() => setTyped(value ?? ''), [value]);
  const commit = (text: string): void => {
    if (text.trim() !== (value ?? '')) change(text.trim() || undefined);
  };
  return (
    <Input
      aria-label={name} placeholder={hint} allowClear maxLength={100} style={{ width: wide ? 220 : 170 }} value={typed}
      onChange={(event) => { setTyped(event.target.value); if (event.target.value === '') commit(''); }}
      onPressEnter={() => commit(typed)} onBlur={() => commit(typed)}
    />
  );
}

function Day({ name, value, change }: { name: string; value: string | undefined; change: (value: string | undefined) => void }) {
  const [typed, setTyped] = useState(value ?? '');
  useEffect(() => setTyped(value ?? ''), [value]);
  const commit = (): void => {
    if (typed !== (value ?? '')) change(typed || undefined);
  };
  return (
    <label className="day">
      <span>{name}</span>
      <Input type="date" style={{ width: 140 }} value={typed} onChange={(event) => setTyped(event.target.value)} onBlur={commit} onPressEnter={commit} />
    </label>
  );
}

function LogTable({ rows, change }: { rows: Row[] | undefined; change: Change }) {
  const { t } = useTranslation();
  const units = useUnits();
  const unitName = (code: string) => units.data?.find((known) => known.code === code)?.name ?? code;
  const kinds = useKinds();
  const formTitle = (kind: string) => pick(kinds.data?.find((known) => known.kind === kind)?.titles, kind);
  const subject = (row: Row) => {
    const record = recordOf(row);
    return (
      <>
        {only(subjectText(row, formTitle), { subject: row.subject })}
        {record && <Link to={`/record/${record}`} className="log-open" aria-label={t('log.open_record', { id: record })}>{t('log.open')}</Link>}
      </>
    );
  };
  const only = (text: string, wanted: Partial<LogFilters>) => (
    <Button type="link" size="small" className="only" title={t('log.only', { what: text })} onClick={() => change(wanted)}>
      {text}
    </Button>
  );
  const columns: TableColumnsType<Row> = [
    { key: 'number', title: t('log.number'), dataIndex: 'number', width: 70 },
    { key: 'time', title: t('log.time'), width: 140, render: (_, row) => moment(row.time_ms) },
    { key: 'user', title: t('log.user'), width: 150, render: (_, row) => (row.user ? only(row.user_name ?? row.user, { user: row.user }) : <span className="by">{t('log.nobody')}</span>) },
    { key: 'action', title: t('log.action'), width: 150, render: (_, row) => only(actionText(row.action), { action: row.action }) },
    { key: 'subject', title: t('log.subject'), width: 320, render: (_, row) => row.subject && subject(row) },
    { key: 'detail', title: t('log.detail'), className: 'log-detail', render: (_, row) => detailText(row, unitName) },
  ];
  return (
    <Table<Row> className="plain-table" size="small" rowKey="number" columns={columns} dataSource={rows} loading={!rows} pagination={false}
      scroll={{ y: 'calc(100vh - 208px)' }} locale={{ emptyText: t('log.none') }} />
  );
}
