import { App, Button, Segmented, Table, type TableColumnsType } from 'antd';
import { useTranslation } from 'react-i18next';
import { Link, useSearchParams } from 'react-router';
import { useState } from 'react';

import { answer, api, problemOf, type Shapes } from '../api/client';
import { queryClient, useKind, useKinds, useQuarantine, useQuarantined, useUnits } from '../api/queries';
import { enumerated, pick, type Key } from '../i18n';
import { useRowKeys } from '../logic/row-keys';
import { fieldLabel, fieldsByPath, moment, withoutRows } from '../logic/values';
import { Failed, sentence } from '../parts/failed';
import { Pager } from '../parts/pager';
import { rowTitle } from '../parts/related';
import { WroteList } from '../parts/timeline';
import { Wait } from '../parts/wait';

type Item = Shapes['QuarantineItem'];

/** Reasons that the server gives. */
const REASONS = ['after_submission', 'foreign_unit', 'role', 'revoked', 'depends_on_quarantined', 'approved'] as const;
/** Items on a page, as the server gives them. */
const PAGE_MAX = 200;

/** The word for why a change was set apart. */
export function reasonKey(reason: string): Key {
  return `quarantine.reason.${REASONS.find((known) => known === reason) ?? 'other'}`;
}

/** Changes that their authors were not allowed to make: kept apart, until somebody admits them. */
export default function Quarantine() {
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const after = Number(search.get('after') ?? 0) || 0;
  const open = Number(search.get('open') ?? 0) || undefined;
  const left = search.get('left') === '1';
  const items = useQuarantine(after, left);
  const part: Record<string, string> = left ? { left: '1' } : {};
  const kinds = useKinds();
  const units = useUnits();
  const kindTitle = (kind: string) => pick(kinds.data?.find((known) => known.kind === kind)?.titles, kind);
  const unitName = (unit: string) => units.data?.find((known) => known.code === unit)?.name ?? unit;
  const columns: TableColumnsType<Item> = [
    {
      key: 'received', title: t('column.received'), width: 140,
      render: (_, item) => <Link to={`?${new URLSearchParams({ ...Object.fromEntries(search), open: String(item.id) })}`} className="row-link">{moment(item.received_ms)}</Link>,
    },
    { key: 'from', title: t('quarantine.from'), width: 110, dataIndex: 'user_name' },
    { key: 'record', title: t('many.record'), render: (_, item) => <Whose item={item} kind={kindTitle(item.kind)} /> },
    { key: 'unit', title: t('column.unit'), render: (_, item) => unitName(item.unit) },
    { key: 'reason', title: t('quarantine.why'), render: (_, item) => t(reasonKey(item.reason)) },
  ];
  useRowKeys();
  if (items.error) return <Failed error={items.error} again={() => void items.refetch()} />;
  const rows = items.data;
  return (
    <>
      <h1>{t('nav.quarantine')}</h1>
      <p>{t('quarantine.about')}</p>
      <Segmented<string> className="parts" aria-label={t('quarantine.lists')} value={left ? 'left' : 'waiting'} onChange={(wanted) => setSearch(wanted === 'left' ? { left: '1' } : {})}
        options={[{ value: 'waiting', label: t('quarantine.list_waiting') }, { value: 'left', label: t('quarantine.list_left') }]} />
      <div className={open === undefined ? undefined : 'two'}>
        <div>
          <Table<Item> className="plain-table" size="small" rowKey="id" columns={columns} dataSource={rows} loading={!rows} pagination={false} locale={{ emptyText: t(left ? 'quarantine.empty_left' : 'quarantine.empty') }}
            rowClassName={(item) => (item.id === open ? 'is-open' : '')} />
          <Pager first={after > 0 && (() => setSearch(part))} next={rows?.length === PAGE_MAX && (() => setSearch({ ...part, after: String(rows[rows.length - 1]?.id ?? 0) }))} />
        </div>
        {open !== undefined && <Opened key={open} id={open} close={() => setSearch(after ? { ...part, after: String(after) } : part)} />}
      </div>
    </>
  );
}

/** Whose record it is, as far as it is here. */
function Whose({ item, kind }: { item: Item; kind: string }) {
  const { t } = useTranslation();
  const form = useKind(item.kind);
  return (
    <>
      {item.here ? rowTitle(form.data, { id: item.record, values: item.values }) : t('quarantine.not_here')}
      <div className="by">{kind}</div>
    </>
  );
}

function Opened({ id, close }: { id: number; close: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const item = useQuarantined(id);
  const form = useKind(item.data?.kind);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  if (item.error) return <Failed error={item.error} again={() => void item.refetch()} />;
  if (!item.data || !form.data) return <Wait />;
  const { record, kind, here, values, writes, fields, admissible, reason, user_name, left_ms } = item.data;
  const away = typeof left_ms === 'number';
  const known = fieldsByPath(form.data);
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
      // It waits no more: asking for it again would find nothing.
      close();
      queryClient.removeQueries({ queryKey: ['quarantined', id] });
      await queryClient.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'quarantined' });
    } catch (failure) {
      setError(failure);
      message.error(sentence(failure));
    } finally {
      setBusy(false);
    }
  };
  return (
    <section className="card" aria-label={t('quarantine.one')}>
      <h2>{t('quarantine.one')}</h2>
      <p>{here ? <Link to={`/records/${kind}/${record}`}>{rowTitle(form.data, { id: record, values })}</Link> : t('quarantine.not_here')}</p>
      <p>
        {t('named', { name: user_name })}
        {t(reasonKey(reason))}
      </p>
      {fields.length > 0 && <p className="by">{t('quarantine.fields', { fields: enumerated(fields.map((path) => fieldLabel(known.get(withoutRows(path)), path))) })}</p>}
      <WroteList wrote={writes} form={form.data} />
      {!admissible && <p className="warn">{t('quarantine.not_admissible')}</p>}
      <div className="decisions">
        <Button type="primary" disabled={!admissible} loading={busy} onClick={() => void decide(admitted)}>
          {t('quarantine.admit')}
        </Button>
        <Button disabled={busy} onClick={() => void decide(putAway)}>
          {t(away ? 'quarantine.take_up' : 'quarantine.leave')}
        </Button>
        <Button onClick={close}>{t('close')}</Button>
      </div>
      {error !== undefined && <Failed error={error} />}
    </section>
  );
}
