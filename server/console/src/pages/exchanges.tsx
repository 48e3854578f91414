import { Button, Select, Table, type TableColumnsType } from 'antd';
import { useTranslation } from 'react-i18next';
import { Link } from 'react-router';

import type { Shapes } from '../api/client';
import { useDevices, useExchange, useExchanges, useKind, useKinds } from '../api/queries';
import { enumerated, pick } from '../i18n';
import { useAddress } from '../logic/address';
import { reasonKey } from '../logic/quarantine';
import { useRowKeys } from '../logic/row-keys';
import { fieldLabel, fieldsByPath, moment, withoutRows } from '../logic/values';
import { Failed } from '../parts/failed';
import { Pager } from '../parts/pager';
import { UnitPicker } from '../parts/record-filters';
import { rowTitle } from '../parts/related';
import { StateTag } from '../parts/state-tag';
import { Wait } from '../parts/wait';

type Row = Shapes['ExchangeRow'];
type OneRecord = Shapes['ExchangeRecord'];

/** What a list of exchanges can be narrowed to. */
const WITH = ['conflicts', 'doubles', 'quarantined', 'refused'] as const;

/** What each exchange of a device changed, and what came of it. */
export default function Exchanges() {
  const { t } = useTranslation();
  const [search, change] = useAddress();
  const put = (wanted: Record<string, string | undefined>): void => change({ open: undefined, after: undefined, ...wanted });
  const devices = useDevices();
  const open = Number(search.get('open')) || undefined;
  const asked = (name: string) => search.get(name) ?? undefined;
  const list = useExchanges({ unit: asked('unit'), device: asked('device'), with: asked('with'), after: Number(search.get('after')) || undefined });
  const next = list.data?.next ?? undefined;
  const narrowed = ['unit', 'device', 'with'].some((name) => search.has(name));
  useRowKeys();
  if (list.error) return <Failed error={list.error} again={() => void list.refetch()} />;
  return (
    <>
      <h1>{t('nav.exchanges')}</h1>
      <p>{t('exchange.about')}</p>
      <div className="filters" role="search">
        <UnitPicker value={asked('unit')} change={(unit) => put({ unit })} />
        <Select aria-label={t('device.name')} placeholder={t('exchange.any_device')} allowClear style={{ width: 240 }} value={asked('device')} onChange={(device?: string) => put({ device })} showSearch={{ optionFilterProp: 'label' }}
          options={(devices.data ?? []).map((device) => ({ value: device.id, label: `${device.user_name} · ${device.name}` }))} />
        <Select aria-label={t('exchange.with')} placeholder={t('exchange.with_any')} allowClear style={{ width: 170 }} value={asked('with')} onChange={(word?: string) => put({ with: word })}
          options={WITH.map((word) => ({ value: word, label: t(`exchange.only.${word}`) }))} />
      </div>
      <div className={open === undefined ? undefined : 'two'}>
        <div>
          <ExchangeTable rows={list.data?.exchanges} opened={open} narrowed={narrowed} open={(id) => put({ open: String(id), after: asked('after') })} />
          <Pager first={search.has('after') && (() => put({}))} next={next !== undefined && (() => put({ after: String(next) }))} />
        </div>
        {open !== undefined && <One key={open} id={open} close={() => put({ after: asked('after') })} />}
      </div>
    </>
  );
}

interface TableProps {
  rows: Row[] | undefined;
  opened: number | undefined;
  /** There may be others, which the filters leave out. */
  narrowed: boolean;
  open: (id: number) => void;
}

function ExchangeTable({ rows, opened, narrowed, open }: TableProps) {
  const { t } = useTranslation();
  const count = (number: number, sign: string, warn = true) => (number > 0 ? <span className={warn ? 'warn' : undefined}><span aria-hidden="true">{sign} </span>{number}</span> : '');
  // Beside an opened one there is no room for them: it says them itself.
  const where: TableColumnsType<Row> = [
    { key: 'unit', title: t('column.unit'), width: 120, dataIndex: 'unit_name' },
    { key: 'device', title: t('device.name'), render: (_, row) => row.device_name + (row.relayed ? t('exchange.relayed') : '') },
  ];
  const columns: TableColumnsType<Row> = [
    {
      key: 'time', title: t('exchange.time'), width: 140,
      render: (_, row) => (
        <Button type="link" size="small" className="row-link" onClick={() => open(row.id)}>
          {moment(row.last_ms)}
        </Button>
      ),
    },
    { key: 'user', title: t('device.user'), width: 90, dataIndex: 'user_name' },
    ...(opened === undefined ? where : []),
    { key: 'records', title: t('exchange.records'), width: 76, align: 'right', dataIndex: 'records' },
    { key: 'created', title: t('exchange.created'), width: 66, align: 'right', render: (_, row) => count(row.created, '+', false) },
    { key: 'conflicts', title: t('column.conflicts'), width: 66, align: 'right', render: (_, row) => count(row.conflicts, '⇄') },
    { key: 'doubles', title: t('exchange.doubles'), width: 66, align: 'right', render: (_, row) => count(row.doubles, '＝') },
    { key: 'quarantined', title: t('exchange.quarantined'), width: 66, align: 'right', render: (_, row) => count(row.quarantined, '▤') },
    { key: 'refused', title: t('exchange.refused'), width: 66, align: 'right', render: (_, row) => count(row.refused, '✕') },
  ];
  return (
    <Table<Row> className="plain-table" size="small" rowKey="id" columns={columns} scroll={{ x: opened === undefined ? 940 : 640 }} dataSource={rows} loading={!rows} pagination={false}
      rowClassName={(row) => (row.id === opened ? 'is-open' : '')} locale={{ emptyText: t(narrowed ? 'exchange.none_found' : 'exchange.none') }} />
  );
}

/** One exchange with its records. */
function One({ id, close }: { id: number; close: () => void }) {
  const { t } = useTranslation();
  const exchange = useExchange(id);
  if (exchange.error) return <Failed error={exchange.error} again={() => void exchange.refetch()} />;
  if (!exchange.data) return <Wait />;
  const page = exchange.data;
  return (
    <section className="card side-list" aria-labelledby="exchange-title">
      <h2 id="exchange-title">
        <span>{t('exchange.one', { name: page.user_name, time: moment(page.last_ms) })}</span>
        <Button onClick={close}>{t('close')}</Button>
      </h2>
      <p className="by">
        {page.unit_name} · {page.device_name}
        {page.relayed && t('exchange.relayed')}
      </p>
      <ul className="wrote">
        {page.listed.map((record) => (
          <li key={record.record} className="repeat-row">
            <RecordLine record={record} />
          </li>
        ))}
      </ul>
      {page.unlisted > 0 && <p className="by">{t('exchange.unlisted', { count: page.unlisted })}</p>}
    </section>
  );
}

function RecordLine({ record }: { record: OneRecord }) {
  const { t } = useTranslation();
  const form = useKind(record.here ? record.kind : undefined);
  const kinds = useKinds();
  const known = fieldsByPath(form.data);
  const kind = pick(kinds.data?.find((one) => one.kind === record.kind)?.titles, record.kind);
  const said = [
    record.changes > 0 && t(record.created ? 'exchange.was_created' : 'exchange.was_changed', { count: record.changes }),
    record.doubled && t('exchange.was_doubled'),
    record.quarantined > 0 && t('exchange.was_quarantined', { count: record.quarantined }),
    record.refused > 0 && t('exchange.was_refused', { count: record.refused }),
  ].filter((one) => one !== false);
  return (
    <>
      {record.here ? <Link to={`/records/${record.kind}/${record.record}`}>{rowTitle(form.data, { id: record.record, values: record.values })}</Link> : t('exchange.not_here', { id: record.record.slice(0, 8) })}{' '}
      {record.state && <StateTag state={record.state} />}
      <div className="by">
        {[kind, record.unit_name, ...said].filter(Boolean).join(' · ')}
      </div>
      {record.conflicts.length > 0 && <div className="mark-conflict">⇄ {enumerated(record.conflicts.map((path) => fieldLabel(known.get(withoutRows(path)), path)))}</div>}
      {record.reasons.length > 0 && <div className="mark-problem">{enumerated([...new Set(record.reasons.map((reason) => t(reasonKey(reason))))])}</div>}
    </>
  );
}
