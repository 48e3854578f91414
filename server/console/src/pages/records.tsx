import { Button, Table, type TableColumnsType, type TableProps } from 'antd';
import { useEffect, useMemo, useRef } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, useLocation, useNavigate, useParams, useSearchParams } from 'react-router';

import type { Shapes } from '../api/client';
import { useKind, useRecords } from '../api/queries';
import { pick } from '../i18n';
import { choosing, filtersOf, searchOf, SORT_DEFAULT, type Filters } from '../logic/filters';
import { useKeys } from '../logic/keys';
import { usePicked } from '../logic/picked';
import { useRowKeys } from '../logic/row-keys';
import { forgetWalks } from '../logic/walk';
import { fieldLabel, fieldsByPath, moment, shown, type KindForm } from '../logic/values';
import { Failed } from '../parts/failed';
import { Many } from '../parts/many';
import { RecordFilters } from '../parts/record-filters';
import { rowTitle } from '../parts/related';
import { StateTag } from '../parts/state-tag';

type Row = Shapes['RecordRow'];

/** Columns besides the form's own, in their order. */
export const FIXED_COLUMNS = ['state', 'unit', 'conflicts', 'problems', 'received', 'changed', 'first', 'reviewed'] as const;
const HIDDEN_AT_FIRST = ['changed', 'first', 'reviewed'];

/** The columns that the address asks for, else the usual ones. */
export function columnsOf(form: KindForm | undefined, search: URLSearchParams): string[] {
  const asked = search.get('columns');
  if (asked !== null) return asked.split(',').filter((name) => name !== '');
  const listed = (form?.fields ?? []).filter((field) => field.list && !field.repeat).map((field) => field.path);
  return [...listed, ...FIXED_COLUMNS.filter((name) => !HIDDEN_AT_FIRST.includes(name))];
}

/** Records of one kind. */
export default function Records() {
  const { kind = '' } = useParams();
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const filters = filtersOf(search);
  const form = useKind(kind);
  const list = useRecords(kind, filters);
  const navigate = useNavigate();
  const change = (wanted: Partial<Filters>): void =>
    setSearch(searchOf({ ...filters, after: undefined, before: undefined, ...wanted }, search), { replace: 'text' in wanted });
  useRowKeys();
  useEffect(forgetWalks, []);
  const go = (place: Filters | undefined) =>
    place && (() => void navigate(`?${searchOf({ ...filters, after: undefined, before: undefined, ...place }, search)}`));
  const goNext = go(list.data?.next ? { after: list.data.next } : undefined);
  const goBack = go(list.data?.previous ? { before: list.data.previous } : undefined);
  const { picked, setPicked, turn } = usePicked(list.data?.records, search);
  useKeys({ n: goNext, p: goBack, x: turn });
  if (form.error) return <Failed error={form.error} again={() => void form.refetch()} />;
  return (
    <div className="records">
      <h1>{form.data ? pick(form.data.titles, form.data.title) : '…'}</h1>
      <RecordFilters form={form.data} filters={filters} columns={columnsOf(form.data, search)} change={change} />
      {list.error ? (
        <Failed error={list.error} again={() => void list.refetch()} />
      ) : (
        <RecordTable form={form.data} rows={list.data?.records} loading={list.isFetching && !list.data} filters={filters} change={change} picked={picked} setPicked={setPicked} />
      )}
      <div className="pager">
        <Button type="link" disabled={!list.data?.records.length} onClick={() => setPicked(list.data?.records ?? [])}>
          {t('many.pick_all')}
        </Button>
        <Many kind={kind} picked={picked} clear={() => setPicked([])} />
        <span className="space" />
        {list.data && list.data.records.length > 0 && (
          <span>{t('records.range', { from: list.data.before + 1, to: list.data.before + list.data.records.length, total: list.data.total })}</span>
        )}
        <Button disabled={!goBack} onClick={goBack} aria-keyshortcuts="p">
          {t('records.back')}
        </Button>
        <Button disabled={!goNext} onClick={goNext} aria-keyshortcuts="n">
          {t('records.next')}
        </Button>
      </div>
    </div>
  );
}

interface TableProps_ {
  form: KindForm | undefined;
  rows: Row[] | undefined;
  loading: boolean;
  filters: Filters;
  change: (wanted: Partial<Filters>) => void;
  picked: Row[];
  setPicked: (rows: Row[]) => void;
}

function RecordTable({ form, rows, loading, filters, change, picked, setPicked }: TableProps_) {
  const { t } = useTranslation();
  const [search] = useSearchParams();
  const { state, key } = useLocation();
  const focused = useRef('');
  const columns = useColumns(form, filters);
  const cameFrom = (state as { from?: string } | null)?.from;
  useEffect(() => {
    // Back from a record: the eye and the keyboard go on where they were.
    // Once: a list that is fetched again must not take the focus from where it has gone since.
    if (!rows || !cameFrom || focused.current === key) return;
    focused.current = key;
    document.getElementById(`row-${cameFrom}`)?.focus();
  }, [rows, cameFrom, key]);
  const sorted: TableProps<Row>['onChange'] = (_pages, _filters, sorter) => {
    const one = Array.isArray(sorter) ? sorter[0] : sorter;
    const name = String(one?.columnKey ?? '');
    change({ sort: one?.order === 'ascend' ? name : one?.order === 'descend' ? `-${name}` : SORT_DEFAULT });
  };
  const empty = Object.keys(choosing(filters)).length > 0 ? t('records.none_found') : t('records.none');
  return (
    <Table<Row>
      size="small"
      rowKey="id"
      columns={columns}
      dataSource={rows}
      loading={loading}
      pagination={false}
      onChange={sorted}
      rowSelection={{
        // A box for all in the head would be copied into a row that antd hides and still lets take the focus.
        columnWidth: 36, hideSelectAll: true, columnTitle: t('many.column'), selectedRowKeys: picked.map((row) => row.id), onChange: (_keys, chosen) => setPicked(chosen),
        getCheckboxProps: (row) => ({ 'aria-label': t('many.pick', { name: rowTitle(form, row) }) }),
      }}
      showSorterTooltip={false}
      scroll={{ y: '100%', x: 'max-content' }}
      locale={{ emptyText: empty }}
      key={search.get('columns')}
    />
  );
}

function useColumns(form: KindForm | undefined, filters: Filters): TableColumnsType<Row> {
  const { t, i18n } = useTranslation();
  const { search: address } = useLocation();
  const [search] = useSearchParams();
  const wanted = columnsOf(form, search).join();
  const sort = filters.sort ?? SORT_DEFAULT;
  return useMemo(() => {
    const fields = fieldsByPath(form);
    const order = (name: string) =>
      sort === name ? ('ascend' as const) : sort === `-${name}` ? ('descend' as const) : null;
    const count = (number: number, word: string, sign: string) =>
      number > 0 ? <span className={word}><span aria-hidden="true">{sign}</span> {number}</span> : '';
    const fixed: Record<string, TableColumnsType<Row>[number]> = {
      state: { title: t('column.state'), width: 120, sorter: true, sortOrder: order('state'), render: (_, row) => <StateTag state={row.state} /> },
      unit: { title: t('column.unit'), width: 136, sorter: true, sortOrder: order('unit'), dataIndex: 'unit_name' },
      conflicts: { title: t('column.conflicts'), width: 72, sorter: true, sortOrder: order('conflicts'), render: (_, row) => count(row.conflicts, 'conflict-count', '⇄') },
      problems: { title: t('column.problems'), width: 72, sorter: true, sortOrder: order('problems'), render: (_, row) => count(row.problems, 'problem-count', '!') },
      received: { title: t('column.received'), width: 140, sorter: true, sortOrder: order('received'), render: (_, row) => moment(row.received_ms) },
      changed: { title: t('column.changed'), width: 140, sorter: true, sortOrder: order('changed'), render: (_, row) => moment(row.changed_ms) },
      first: { title: t('column.first'), width: 140, sorter: true, sortOrder: order('first'), render: (_, row) => moment(row.first_ms) },
      reviewed: { title: t('column.reviewed'), width: 140, sorter: true, sortOrder: order('reviewed'), render: (_, row) => moment(row.reviewed_ms) },
    };
    const names = wanted.split(',').filter((name) => name in fixed || fields.has(name));
    const made = names.map((name) => {
      const field = fields.get(name);
      if (!field) return { key: name, ...fixed[name] };
      const sorts = field.sensitivity !== 'sensitive' ? { sorter: true, sortOrder: order(name) } : {};
      return { key: name, title: fieldLabel(field, name), width: 124, ...sorts, render: (_: unknown, row: Row) => shown(form, field, (row.values as Record<string, unknown>)[name]) };
    });
    const [first, ...others] = made;
    if (!first) return [];
    const inner = 'render' in first && first.render ? first.render : (_: unknown, row: Row) => row.unit_name;
    const linked = {
      ...first, fixed: 'left' as const,
      render: (value: unknown, row: Row, at: number) => (
        <Link className="row-link" id={`row-${row.id}`} to={`/records/${row.kind}/${row.id}${address}`}>
          {inner(value, row, at) as React.ReactNode}
        </Link>
      ),
    };
    return [linked, ...others];
    // The language changes titles and values.
  }, [form, wanted, sort, address, t, i18n.language]);
}
