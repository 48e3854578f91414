import { App, Button, Checkbox, Input, Modal, Radio, Select, Table, Tabs, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, useSearchParams } from 'react-router';

import { answer, api, type Shapes } from '../api/client';
import { queryClient, revealDouble, useDecidedDoubles, useDouble, useDoubles, useKind, useKinds } from '../api/queries';
import { enumerated, pick } from '../i18n';
import { useAddress } from '../logic/address';
import { proposalsOf, rowText, type Proposal } from '../logic/doubles';
import { readingOfDouble } from '../logic/reveal';
import { useRowKeys } from '../logic/row-keys';
import { fieldsByPath, moment, shown, type KindForm } from '../logic/values';
import { Failed, sentence } from '../parts/failed';
import { Pager } from '../parts/pager';
import { UnitPicker } from '../parts/record-filters';
import { rowTitle, untitled } from '../parts/related';
import { RevealButton, useReveal, type Show } from '../parts/reveal';
import { StateTag, stateKey } from '../parts/state-tag';
import { Wait } from '../parts/wait';

type OnePage = Shapes['DoublePage'];
type OneField = Shapes['DoubleField'];
type Decided = Shapes['DoubleDecision'];

/** Records that seem to be about the same person: compared, and decided. */
export default function Doubles() {
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const tab = search.get('tab') === 'decided' ? 'decided' : 'open';
  return (
    <>
      <h1>{t('nav.doubles')}</h1>
      <p>{t('doubles.about')}</p>
      <Tabs
        activeKey={tab} onChange={(key) => setSearch(key === 'decided' ? { tab: key } : {})} destroyOnHidden
        items={[{ key: 'open', label: t('doubles.open'), children: <Proposals /> }, { key: 'decided', label: t('doubles.decided'), children: <DecidedList /> }]}
      />
    </>
  );
}

function Proposals() {
  const { t } = useTranslation();
  const [search, put] = useAddress();
  const kinds = useKinds();
  const open = search.get('open') ?? undefined;
  const query = { kind: search.get('kind') ?? undefined, unit: search.get('unit') ?? undefined, after: search.get('after') ?? undefined };
  const list = useDoubles(query);
  const next = list.data?.next ?? undefined;
  const columns: TableColumnsType<Proposal> = [
    { key: 'who', title: t('many.record'), render: (_, row) => <Who row={row} open={() => put({ open: row.id })} /> },
    { key: 'units', title: t('column.unit'), render: (_, row) => enumerated([...new Set(row.records.map((one) => one.unit_name))]) + (row.elsewhere > 0 ? t('doubles.elsewhere', { count: row.elsewhere }) : '') },
    { key: 'count', title: t('doubles.count'), width: 70, align: 'right', render: (_, row) => row.records.length + row.more + row.elsewhere },
    { key: 'by', title: t('doubles.by'), width: 190, render: (_, row) => t(row.by === 'id_number' ? 'doubles.id_number' : 'doubles.name_and_birth') + (row.persons > 1 ? t('doubles.persons', { count: row.persons }) : '') },
    { key: 'since', title: t('doubles.since'), width: 140, render: (_, row) => moment(row.since_ms) },
  ];
  useRowKeys();
  if (list.error) return <Failed error={list.error} again={() => void list.refetch()} />;
  return (
    <>
      <div className="filters">
        <Select aria-label={t('quarantine.kind')} placeholder={t('doubles.any_kind')} allowClear style={{ width: 190 }} value={query.kind} onChange={(kind?: string) => put({ kind, after: undefined, open: undefined })}
          options={(kinds.data ?? []).map((kind) => ({ value: kind.kind, label: pick(kind.titles, kind.title) }))} />
        <UnitPicker value={query.unit} change={(unit) => put({ unit, after: undefined, open: undefined })} />
      </div>
      {open && <SideBySide key={open} id={open} close={() => put({ open: undefined })} />}
      <Table<Proposal> className="plain-table" size="small" rowKey="id" columns={columns} dataSource={list.data && proposalsOf(list.data.doubles)} loading={!list.data} pagination={false} locale={{ emptyText: t('doubles.none') }}
        rowClassName={(row) => (row.id === open ? 'is-open' : '')} />
      <Pager first={query.after !== undefined && (() => put({ after: undefined }))} next={next !== undefined && (() => put({ after: next, open: undefined }))} />
    </>
  );
}

function Who({ row, open }: { row: Proposal; open: () => void }) {
  const form = useKind(row.kind);
  const first = row.records[0];
  return (
    <Button type="link" size="small" className="row-link" onClick={open}>
      {first ? rowTitle(form.data, first) : untitled(row.id)}
    </Button>
  );
}

/** The records of one proposal, answer beside answer. */
function SideBySide({ id, close }: { id: string; close: () => void }) {
  const { t } = useTranslation();
  const double = useDouble(id);
  const form = useKind(double.data?.kind);
  const [all, setAll] = useState(false);
  const refresh = () => void double.refetch();
  const { page: seen, show } = useReveal({ page: double.data, reading: readingOfDouble, ask: (fields) => revealDouble(id, fields), moved: 'reveal.moved', refresh });
  if (double.error) return <Failed error={double.error} again={refresh} />;
  if (!double.data || !seen || !form.data) return <Wait />;
  const page = double.data;
  const told = seen.fields.filter((field) => field.differs || field.identifies);
  const fields = all ? seen.fields : told;
  return (
    <section className="card" aria-label={t('doubles.compare')}>
      <h2>
        <span>{t('doubles.compare')}</span>
        <span>
          <Checkbox checked={all} onChange={(event) => setAll(event.target.checked)}>
            {t('doubles.all_fields', { count: page.fields.length - told.length })}
          </Checkbox>
          <Button onClick={close}>{t('close')}</Button>
        </span>
      </h2>
      <div className="compare">
        <table>
          <thead>
            <tr>
              <th scope="col">{t('doubles.field')}</th>
              {page.records.map((record) => (
                <th key={record.id} scope="col">
                  <Link to={`/records/${page.kind}/${record.id}`}>{record.unit_name}</Link> <StateTag state={record.state} />
                  <div className="by">{t('record.received', { time: moment(record.received_ms) })}</div>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {fields.map((field) => (
              <CompareRow key={field.path} field={field} form={form.data} show={show} />
            ))}
          </tbody>
        </table>
      </div>
      {told.every((field) => !field.differs) && <p className="by">{t('doubles.no_difference')}</p>}
      <Judge page={page} close={close} />
    </section>
  );
}

function CompareRow({ field, form, show }: { field: OneField; form: KindForm; show: Show }) {
  const { t } = useTranslation();
  const known = fieldsByPath(form).get(field.path);
  const text = (value: unknown, at: number): React.ReactNode => {
    if (!Array.isArray(value) || known) return field.texts[at] ?? shown(form, known, value);
    if (field.masked) return t('doubles.rows', { count: value.length });
    return <ol className="compare-rows">{value.map((row, place) => <li key={`${place} ${JSON.stringify(row)}`}>{rowText(form, field.path, row)}</li>)}</ol>;
  };
  return (
    <tr className={field.differs ? 'differs' : undefined} tabIndex={-1}>
      <th scope="row">
        {field.differs && <span aria-hidden="true">≠ </span>}
        {field.label} {field.masked && <RevealButton field={field.path} label={field.label} show={show} />}
      </th>
      {field.values.map((value, at) => (
        // The columns stand in the order of the records and never move.
        // oxlint-disable-next-line react/no-array-index-key
        <td key={at} className={field.masked ? 'masked' : undefined}>{text(value, at)}</td>
      ))}
    </tr>
  );
}

/** Same: which one stays; or different persons. */
function Judge({ page, close }: { page: OnePage; close: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const decidable = page.records.filter((record) => record.decidable);
  const [stays, setStays] = useState(page.records[page.records.length - 1]?.id ?? '');
  const [asking, setAsking] = useState(false);
  const [reasons, setReasons] = useState('');
  const [error, setError] = useState<unknown>();
  const done = async (call: () => Promise<unknown>, said: string): Promise<void> => {
    setError(undefined);
    try {
      await call();
      message.success(said);
      close();
      await queryClient.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'double' });
    } catch (failure) {
      setError(failure);
    }
  };
  const doubles = page.records.map((record) => record.id).filter((id) => id !== stays);
  const confirm = () =>
    done(async () => {
      const heads = Object.fromEntries(page.records.map((record, at) => [record.id, page.heads[at] ?? []]));
      await answer(api.POST('/doubles/{id}/confirm', { params: { path: { id: page.id } }, body: { stays, doubles, reasons, heads } }));
    }, t('doubles.confirmed'));
  const reject = () =>
    done(() => answer(api.POST('/doubles/{id}/reject', { params: { path: { id: page.id } }, body: { records: page.records.map((record) => record.id) } })), t('doubles.rejected'));
  const name = (id: string): string => {
    const record = page.records.find((one) => one.id === id);
    return record ? t('doubles.record_of', { unit: record.unit_name, time: moment(record.received_ms), state: t(stateKey(record.state)) }) : id;
  };
  return (
    <>
      <div className="decisions">
        <Button type="primary" disabled={decidable.length < page.records.length} onClick={() => setAsking(true)}>
          ＝ {t('doubles.same')}
        </Button>
        <Button onClick={() => void reject()}>≠ {t('doubles.different')}</Button>
      </div>
      {decidable.length < page.records.length && <p className="by">{t('doubles.not_decidable')}</p>}
      {error !== undefined && !asking && <Failed error={error} />}
      <Modal open={asking} title={t('doubles.which_stays')} onCancel={() => setAsking(false)} okText={t('doubles.same')} onOk={() => void confirm()} closable={{ 'aria-label': t('close') }}>
        <p>{t('doubles.which_text')}</p>
        <Radio.Group className="column-list" value={stays} onChange={(event) => setStays(String(event.target.value))} options={page.records.map((record) => ({ value: record.id, label: name(record.id) }))} />
        <Input.TextArea aria-label={t('doubles.reasons')} placeholder={t('doubles.reasons')} rows={2} maxLength={1_000} value={reasons} onChange={(event) => setReasons(event.target.value)} />
        {error !== undefined && <Failed error={error} />}
      </Modal>
    </>
  );
}

/** What was decided, and how to take it back. */
function DecidedList() {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [search, setSearch] = useSearchParams();
  const list = useDecidedDoubles(Number(search.get('after')) || undefined);
  const undo = async (number: number): Promise<void> => {
    try {
      await answer(api.POST('/doubles/decided/{number}/undo', { params: { path: { number: String(number) } } }));
      message.success(t('doubles.undone'));
      await queryClient.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'double' });
    } catch (error) {
      message.error(sentence(error));
    }
  };
  const record = (one: Decided, which: 'first' | 'second') => {
    const found = one[which];
    return found ? <DecidedRecord kind={one.kind} record={found} /> : t('doubles.unseen');
  };
  const columns: TableColumnsType<Decided> = [
    { key: 'verdict', title: t('doubles.verdict'), width: 140, render: (_, one) => t(one.verdict === 'same' ? 'doubles.verdict_same' : 'doubles.verdict_different') },
    { key: 'first', title: t('doubles.first'), render: (_, one) => record(one, 'first') },
    { key: 'second', title: t('doubles.second'), render: (_, one) => record(one, 'second') },
    { key: 'who', title: t('doubles.decided_by'), render: (_, one) => `${one.user_name} · ${moment(one.time_ms)}` },
    { key: 'act', title: t('device.act'), width: 90, render: (_, one) => one.undoable && <Button onClick={() => void undo(one.number)}>↺ {t('doubles.undo')}</Button> },
  ];
  if (list.error) return <Failed error={list.error} again={() => void list.refetch()} />;
  return (
    <>
      <Table<Decided> className="plain-table" size="small" rowKey="number" columns={columns} dataSource={list.data?.decisions} loading={!list.data} pagination={false} locale={{ emptyText: t('doubles.none_decided') }} />
      <Pager first={search.has('after') && (() => setSearch({ tab: 'decided' }))} next={Boolean(list.data?.next) && (() => setSearch({ tab: 'decided', after: String(list.data?.next) }))} />
    </>
  );
}

function DecidedRecord({ kind, record }: { kind: string; record: Shapes['DoubleRecord'] }) {
  const form = useKind(kind);
  return (
    <>
      <Link to={`/records/${kind}/${record.id}`}>{rowTitle(form.data, record)}</Link> · {record.unit_name} <StateTag state={record.state} />
    </>
  );
}
