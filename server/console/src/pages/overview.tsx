import { Button, Select, Table, type TableColumnsType } from 'antd';
import { lazy, Suspense, useMemo, type ComponentProps } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, useNavigate } from 'react-router';

import type { Shapes } from '../api/client';
import { useKinds, useOverview, usePoints, useUnits } from '../api/queries';
import { pick } from '../i18n';
import { useAddress } from '../logic/address';
import { monthsOption, pointsOption, spotsOf, unitsOption } from '../logic/charts';
import { searchOf, STATES, type Filters } from '../logic/filters';
import { Failed } from '../parts/failed';
import { UnitPicker } from '../parts/record-filters';
import { StateTag, stateKey } from '../parts/state-tag';
import { Wait } from '../parts/wait';

// The numbers stand there before the library has come that draws them.
const LazyChart = lazy(() => import('../parts/chart'));

type Page = Shapes['OverviewPage'];
type UnitCount = Shapes['UnitCount'];

/** How many records there are, by state, unit and month, and where. */
export default function Overview() {
  const { t } = useTranslation();
  const [search, put] = useAddress();
  const kinds = useKinds();
  const kind = search.get('kind') ?? undefined;
  const unit = search.get('unit') ?? undefined;
  const overview = useOverview({ kind, unit });
  if (overview.error && !overview.data) return <Failed error={overview.error} again={() => void overview.refetch()} />;
  const page = overview.data;
  return (
    <>
      <h1>{t('nav.overview')}</h1>
      <div className="filters" role="search">
        <Select aria-label={t('quarantine.kind')} placeholder={t('doubles.any_kind')} allowClear style={{ width: 220 }} value={kind} onChange={(chosen?: string) => put({ kind: chosen })}
          options={(kinds.data ?? []).map((one) => ({ value: one.kind, label: pick(one.titles, one.title) }))} />
        <UnitPicker value={unit} change={(chosen) => put({ unit: chosen })} />
        {page?.above[0] && <Button onClick={() => put({ unit: page.above[0] })}>↑ <UnitName code={page.above[0]} /></Button>}
      </div>
      {page ? <Counts page={page} kind={kind} drill={(code) => put({ unit: code })} /> : <Wait />}
      <Positions kind={kind ?? page?.kinds[0]?.kind} unit={unit} />
    </>
  );
}

function Chart(props: ComponentProps<typeof LazyChart>) {
  return (
    <Suspense fallback={<div style={{ height: props.height }} />}>
      <LazyChart {...props} />
    </Suspense>
  );
}

function UnitName({ code }: { code: string }) {
  const units = useUnits();
  return <>{units.data?.find((unit) => unit.code === code)?.name ?? code}</>;
}

interface CountsProps {
  page: Page;
  kind: string | undefined;
  /** Shows the units below one. */
  drill: (unit: string) => void;
}

function Counts({ page, kind, drill }: CountsProps) {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const list = (filters: Filters): string | undefined => kind && `/records/${kind}?${searchOf({ unit: page.unit ?? undefined, ...filters })}`;
  // The language changes the words of both.
  const units = useMemo(() => unitsOption(page.units, (state) => t(stateKey(state))), [page, t, i18n.language]);
  const months = useMemo(() => monthsOption(page.months, { first: t('overview.first'), received: t('overview.received') }), [page, t, i18n.language]);
  const openMonth = (at: number, series: string): void => {
    const month = page.months[at]?.month;
    const to = list(series === 'first' ? { first: month } : { received: month });
    if (to) void navigate(to);
  };
  return (
    <>
      <ByState page={page} list={list} />
      <div className="halves">
        <section className="card" aria-labelledby="units-title">
          <h2 id="units-title">{t('overview.by_unit', { name: page.unit_name ?? '' })}</h2>
          <Chart label={t('overview.by_unit', { name: page.unit_name ?? '' })} option={units} height={Math.max(120, 40 + page.units.length * 26)}
            onClick={({ at }) => { const one = page.units[page.units.length - 1 - at]; if (one?.has_children && !one.alone) drill(one.unit); }} />
          <UnitTable page={page} kind={kind} drill={drill} />
        </section>
        <section className="card" aria-labelledby="months-title">
          <h2 id="months-title">{t('overview.by_month')}</h2>
          <Chart label={t('overview.by_month')} option={months} height={260} onClick={({ at, series }) => openMonth(at, series)} />
          <MonthTable page={page} list={list} />
        </section>
      </div>
    </>
  );
}

/** Each state's number; with a kind, it leads to the list. */
function ByState({ page, list }: { page: Page; list: (filters: Filters) => string | undefined }) {
  const { t } = useTranslation();
  const number = (count: number, filters: Filters) => {
    const to = list(filters);
    // A list of nothing is not worth a click.
    return to && count > 0 ? <Link to={to}>{count}</Link> : <strong>{count}</strong>;
  };
  return (
    <section className="card counts" aria-label={t('overview.by_state')}>
      <span>{t('overview.all')} {number(page.records, {})}</span>
      {STATES.map((state) => (
        <span key={state}>
          <StateTag state={state} /> {number(page.states.find((one) => one.state === state)?.records ?? 0, { state })}
        </span>
      ))}
      <span className="conflict-count">⇄ {t('column.conflicts')} {number(page.with_conflicts, { conflicts: true })}</span>
      <span className="problem-count">! {t('column.problems')} {number(page.with_problems, { problems: true })}</span>
    </section>
  );
}

function UnitTable({ page, kind, drill }: CountsProps) {
  const { t } = useTranslation();
  const columns: TableColumnsType<UnitCount> = [
    {
      key: 'unit', title: t('column.unit'),
      render: (_, one) => (one.has_children && !one.alone ? <Button type="link" size="small" onClick={() => drill(one.unit)}>{one.name} ▸</Button> : <>{one.name}{one.alone ? t('overview.alone') : ''}</>),
    },
    {
      key: 'records', title: t('today.records'), align: 'right', width: 90,
      render: (_, one) => (kind && one.records > 0 ? <Link to={`/records/${kind}?${searchOf({ unit: one.unit, unit_alone: one.alone || undefined })}`}>{one.records}</Link> : one.records),
    },
    { key: 'waiting', title: t('state.submitted'), align: 'right', width: 90, render: (_, one) => one.states.find((state) => state.state === 'submitted')?.records ?? 0 },
    { key: 'approved', title: t('state.approved'), align: 'right', width: 90, render: (_, one) => one.states.find((state) => state.state === 'approved')?.records ?? 0 },
  ];
  return <Table<UnitCount> size="small" rowKey={(one) => `${one.unit} ${one.alone}`} columns={columns} dataSource={page.units} pagination={{ pageSize: 15, hideOnSinglePage: true }} />;
}

function MonthTable({ page, list }: { page: Page; list: (filters: Filters) => string | undefined }) {
  const { t } = useTranslation();
  const number = (count: number, filters: Filters) => {
    const to = list(filters);
    return to && count > 0 ? <Link to={to}>{count}</Link> : count;
  };
  const columns: TableColumnsType<Page['months'][number]> = [
    { key: 'month', title: t('overview.month'), dataIndex: 'month' },
    { key: 'first', title: t('overview.first'), align: 'right', render: (_, one) => number(one.first, { first: one.month }) },
    { key: 'received', title: t('overview.received'), align: 'right', render: (_, one) => number(one.received, { received: one.month }) },
  ];
  return <Table size="small" rowKey="month" columns={columns} dataSource={[...page.months].reverse()} pagination={{ pageSize: 6, hideOnSinglePage: true }} />;
}

/** Where the records of a kind are. Nothing of it comes from the internet: points over a net of degrees. */
function Positions({ kind, unit }: { kind: string | undefined; unit: string | undefined }) {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const points = usePoints(kind, { unit });
  const kinds = useKinds();
  const page = points.data;
  const option = useMemo(() => page && pointsOption(page.points, (state) => t(stateKey(state))), [page, t, i18n.language]);
  if (points.error) return <Failed error={points.error} again={() => void points.refetch()} />;
  if (!page || !option || !kind) return null;
  // A spot with one record opens it; one with more leads to the list of their unit, where it is one.
  const open = (series: string, at: number): void => {
    const found = spotsOf(page.points).find(({ state }) => state === series)?.spots[at]?.points ?? [];
    const [first] = found;
    if (!first) return;
    if (found.length === 1) void navigate(`/records/${kind}/${first.id}`);
    else void navigate(`/records/${kind}?${searchOf({ state: series, unit: found.every((one) => one.unit === first.unit) ? first.unit : unit })}`);
  };
  const title = pick(kinds.data?.find((one) => one.kind === kind)?.titles, kind);
  return (
    <section className="card" aria-labelledby="map-title">
      <h2 id="map-title">{t('overview.map', { kind: title })}</h2>
      <p className="by">
        {page.field ? t('overview.located', { located: page.located, records: page.records, shown: page.points.length }) : t('overview.no_position')}
        {page.coarse_degrees ? t('overview.coarse', { degrees: page.coarse_degrees }) : ''}
      </p>
      {page.points.length > 0 && (
        <Chart label={t('overview.map', { kind: title })} option={option} height={420}
          onClick={({ series, at }) => open(series, at)} />
      )}
    </section>
  );
}
