import { App, Button, Segmented, Table, type TableColumnsType } from 'antd';
import { useTranslation } from 'react-i18next';
import { Link, useSearchParams } from 'react-router';
import { useState } from 'react';

import { answer, api, problemOf, type Shapes } from '../api/client';
import { queryClient, revealQuarantined, useKind, useQuarantine, useQuarantined, useUnits } from '../api/queries';
import { enumerated } from '../i18n';
import { useKeys } from '../logic/keys';
import { usePicked } from '../logic/picked';
import { reasonKey } from '../logic/quarantine';
import { readingOfQuarantined } from '../logic/reveal';
import { useRowKeys } from '../logic/row-keys';
import { fieldLabel, fieldsByPath, moment, withoutRows } from '../logic/values';
import { Failed, sentence } from '../parts/failed';
import { Pager } from '../parts/pager';
import { QuarantineMany, Whose } from '../parts/quarantine-many';
import { listedAnswers, rowTitle } from '../parts/related';
import { useReveal } from '../parts/reveal';
import { WroteList } from '../parts/timeline';
import { Wait } from '../parts/wait';

type Item = Shapes['QuarantineItem'];

/** Items on a page, as the server gives them. */
const PAGE_MAX = 200;

/** Everything is asked for anew but the open card: what was decided waits no more, and asking for it would find nothing. */
const askAnew = () => queryClient.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'quarantined' });

/** Changes that their authors were not allowed to make: kept apart, until somebody admits them. */
export default function Quarantine() {
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const after = Number(search.get('after') ?? 0) || 0;
  const open = Number(search.get('open') ?? 0) || undefined;
  const left = search.get('left') === '1';
  const items = useQuarantine(after, left);
  const rows = items.data;
  const part: Record<string, string> = left ? { left: '1' } : {};
  const { picked, setPicked, turn } = usePicked(rows, `${after} ${left}`);
  // What somebody has decided meanwhile is not picked any more.
  const there = picked.filter((item) => rows?.some((row) => row.id === item.id));
  useRowKeys();
  useKeys({ x: turn });
  const close = () => setSearch(after ? { ...part, after: String(after) } : part);
  const decided = async (): Promise<void> => {
    await askAnew();
    const now = queryClient.getQueryData<Item[]>(['quarantine', after, left]);
    if (now?.some((item) => item.id === open)) await queryClient.invalidateQueries({ queryKey: ['quarantined', open] });
    else if (open !== undefined) close();
  };
  if (items.error) return <Failed error={items.error} again={() => void items.refetch()} />;
  return (
    <>
      <h1>{t('nav.quarantine')}</h1>
      <p>{t('quarantine.about')}</p>
      <Segmented<string> className="parts" aria-label={t('quarantine.lists')} value={left ? 'left' : 'waiting'} onChange={(wanted) => setSearch(wanted === 'left' ? { left: '1' } : {})}
        options={[{ value: 'waiting', label: t('quarantine.list_waiting') }, { value: 'left', label: t('quarantine.list_left') }]} />
      <div className={open === undefined ? undefined : 'two'}>
        <div>
          <ItemTable rows={rows} open={open} empty={t(left ? 'quarantine.empty_left' : 'quarantine.empty')} picked={there} setPicked={setPicked} />
          <div className="picking">
            {rows && rows.length > 0 && (
              <Button type="link" onClick={() => setPicked(rows)}>
                {t('many.pick_all')}
              </Button>
            )}
            <QuarantineMany picked={there} left={left} decided={decided} clear={() => setPicked([])} />
            <span className="space" />
            <Pager first={after > 0 && (() => setSearch(part))} next={rows?.length === PAGE_MAX && (() => setSearch({ ...part, after: String(rows[rows.length - 1]?.id ?? 0) }))} />
          </div>
        </div>
        {open !== undefined && <Opened key={open} id={open} close={close} />}
      </div>
    </>
  );
}

interface ItemTableProps {
  rows: Item[] | undefined;
  open: number | undefined;
  empty: string;
  picked: Item[];
  setPicked: (items: Item[]) => void;
}

function ItemTable({ rows, open, empty, picked, setPicked }: ItemTableProps) {
  const { t } = useTranslation();
  const [search] = useSearchParams();
  const units = useUnits();
  const unitName = (unit: string) => units.data?.find((known) => known.code === unit)?.name ?? unit;
  const columns: TableColumnsType<Item> = [
    {
      key: 'received', title: t('column.received'), width: 140,
      render: (_, item) => (
        <Link id={`row-${item.id}`} to={`?${new URLSearchParams({ ...Object.fromEntries(search), open: String(item.id) })}`} className="row-link">
          {moment(item.received_ms)}
        </Link>
      ),
    },
    { key: 'from', title: t('quarantine.from'), width: 110, dataIndex: 'user_name' },
    { key: 'record', title: t('many.record'), render: (_, item) => <Whose item={item} /> },
    { key: 'unit', title: t('column.unit'), render: (_, item) => unitName(item.unit) },
    { key: 'reason', title: t('quarantine.why'), render: (_, item) => t(reasonKey(item.reason)) },
  ];
  return (
    <Table<Item>
      className="plain-table" size="small" rowKey="id" columns={columns} dataSource={rows} loading={!rows} pagination={false} locale={{ emptyText: empty }} rowClassName={(item) => (item.id === open ? 'is-open' : '')}
      rowSelection={{
        columnWidth: 36, hideSelectAll: true, columnTitle: t('many.column'), selectedRowKeys: picked.map((item) => item.id), onChange: (_keys, chosen) => setPicked(chosen),
        getCheckboxProps: (item) => ({ 'aria-label': t('many.pick', { name: `${item.user_name} ${moment(item.received_ms)}` }) }),
      }}
    />
  );
}

/** What is decided on the one that is open. */
function useDecide(id: number, away: boolean, close: () => void) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const admitted = async (): Promise<string> => {
    const { changes } = await answer(api.POST('/quarantine/{id}/admit', { params: { path: { id: String(id) } } }));
    return t('quarantine.admitted', { count: changes.filter((change) => change.taken_as).length });
  };
  const putAway = async (): Promise<string> => {
    const [told] = await answer(api.POST('/quarantine/decisions', { body: { decision: away ? 'take_up' : 'leave', ids: [id] } }));
    if (told?.problem) throw problemOf(told.problem, told.problem.status);
    return t(away ? 'quarantine.taken_up' : 'quarantine.left');
  };
  const decide = async (work: () => Promise<string>): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      message.success(await work());
      close();
      await askAnew();
    } catch (failure) {
      setError(failure);
      message.error(sentence(failure));
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, admit: () => void decide(admitted), putAway: () => void decide(putAway) };
}

function Opened({ id, close }: { id: number; close: () => void }) {
  const { t } = useTranslation();
  const item = useQuarantined(id);
  const form = useKind(item.data?.kind);
  const { page, show } = useReveal({
    page: item.data, reading: (one) => readingOfQuarantined(one, item.data?.masked ?? []), ask: (fields) => revealQuarantined(id, fields),
    moved: 'reveal.moved', refresh: () => void item.refetch(),
  });
  const away = typeof page?.left_ms === 'number';
  const { busy, error, admit, putAway } = useDecide(id, away, close);
  if (item.error) return <Failed error={item.error} again={() => void item.refetch()} />;
  if (!page || !form.data) return <Wait />;
  const { record, kind, here, values, writes, fields, admissible, reason, user_name, masked } = page;
  const known = fieldsByPath(form.data);
  const begun = !here && listedAnswers(form.data, values);
  return (
    <section className="card" aria-label={t('quarantine.one')}>
      <h2>{t('quarantine.one')}</h2>
      {here && <p><Link to={`/records/${kind}/${record}`}>{rowTitle(form.data, { id: record, values })}</Link></p>}
      {begun && <p>{begun}</p>}
      {!here && <p className="by">{t('quarantine.not_here')}</p>}
      <p>
        {t('named', { name: user_name })}
        {t(reasonKey(reason))}
      </p>
      {fields.length > 0 && <p className="by">{t('quarantine.fields', { fields: enumerated(fields.map((path) => fieldLabel(known.get(withoutRows(path)), path))) })}</p>}
      <WroteList wrote={writes} form={form.data} masked={masked} show={show} />
      {!admissible && <p className="warn">{t('quarantine.not_admissible')}</p>}
      <div className="decisions">
        <Button type="primary" disabled={!admissible} loading={busy} onClick={admit}>
          {t('quarantine.admit')}
        </Button>
        <Button disabled={busy} onClick={putAway}>
          {t(away ? 'quarantine.take_up' : 'quarantine.leave')}
        </Button>
        <Button onClick={close}>{t('close')}</Button>
      </div>
      {error !== undefined && <Failed error={error} />}
    </section>
  );
}
