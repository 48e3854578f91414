import { Button, Checkbox, Input, Popover, Select, TreeSelect } from 'antd';
import { useEffect, useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { useSearchParams } from 'react-router';

import type { Shapes } from '../api/client';
import { useUnits } from '../api/queries';
import { choosing, STATES, type Filters } from '../logic/filters';
import { useKeys } from '../logic/keys';
import { fieldLabel, type KindForm } from '../logic/values';
import { FIXED_COLUMNS } from '../pages/records';
import { Chips, MoreFilters } from './more-filters';
import { stateKey } from './state-tag';

/** Typing rests so long before the list is asked for. */
const TYPING_MS = 300;

interface Props {
  form: KindForm | undefined;
  filters: Filters;
  columns: string[];
  change: (wanted: Partial<Filters>) => void;
}

/** What the list shows: state, unit, disagreement, words, columns. All of it goes into the address. */
export function RecordFilters({ form, filters, columns, change }: Props) {
  const { t } = useTranslation();
  const states = form?.states ?? {};
  const set = Object.keys(choosing(filters));
  const withOrWithout = [
    { value: 'true', label: t('filter.with') },
    { value: 'false', label: t('filter.without') },
  ];
  const flag = (value: string | undefined) => (value === undefined ? undefined : value === 'true');
  const text = (value: boolean | undefined) => (value === undefined ? undefined : String(value));
  return (
    <div className="filters" role="search">
      <SearchBox text={filters.text ?? ''} hint={t('filter.search_hint')} change={(words) => change({ text: words })} />
      <Select
        aria-label={t('column.state')} placeholder={t('filter.any_state')} allowClear mode="multiple" maxTagCount="responsive" style={{ width: 190 }}
        value={filters.state?.split(',') ?? []} onChange={(chosen: string[]) => change({ state: chosen.join() || undefined })}
        options={STATES.map((state) => ({ value: state, label: `${t(stateKey(state))} ${states[state] ?? 0}` }))}
      />
      <UnitPicker value={filters.unit} change={(unit) => change({ unit })} />
      <Select
        aria-label={t('column.conflicts')} placeholder={t('column.conflicts')} allowClear style={{ width: 100 }} value={text(filters.conflicts)}
        onChange={(value?: string) => change({ conflicts: flag(value) })} options={withOrWithout.map((one) => ({ ...one, label: `${t('column.conflicts')}: ${one.label}` }))}
      />
      <Select
        aria-label={t('column.problems')} placeholder={t('column.problems')} allowClear style={{ width: 100 }} value={text(filters.problems)}
        onChange={(value?: string) => change({ problems: flag(value) })} options={withOrWithout.map((one) => ({ ...one, label: `${t('column.problems')}: ${one.label}` }))}
      />
      <ColumnPicker form={form} columns={columns} />
      <MoreFilters form={form} filters={filters} change={change} />
      {set.length > 0 && (
        <Button type="link" onClick={() => change(Object.fromEntries(set.map((name) => [name, undefined])))}>
          {t('filter.clear')}
        </Button>
      )}
      <Chips form={form} filters={filters} change={change} />
    </div>
  );
}

/** Words to look for; asked for when the typing rests. */
export function SearchBox({ text, hint, change }: { text: string; hint: string; change: (text: string | undefined) => void }) {
  const { t } = useTranslation();
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return undefined;
    const timer = window.setTimeout(() => change(typed.trim() === '' ? undefined : typed), TYPING_MS);
    return () => window.clearTimeout(timer);
  });
  useKeys({ '/': () => document.getElementById('record-search')?.focus() });
  return (
    <Input
      id="record-search" type="search" allowClear style={{ width: 248 }} value={typed} aria-label={t('filter.search')}
      placeholder={hint} onChange={(event) => setTyped(event.target.value)} maxLength={100} aria-keyshortcuts="/"
    />
  );
}

interface UnitNode {
  value: string;
  title: string;
  children: UnitNode[];
}

/** The units as a tree; a unit whose parent is not among them stands at the top. */
export function unitTree(units: Shapes['UnitBody'][]): UnitNode[] {
  const nodes = new Map(units.map((unit) => [unit.code, { value: unit.code, title: unit.name, children: [] as UnitNode[] }]));
  const top: UnitNode[] = [];
  for (const unit of units) {
    const node = nodes.get(unit.code);
    if (node) (nodes.get(unit.parent ?? '')?.children ?? top).push(node);
  }
  return top;
}

interface UnitProps {
  value: string | undefined;
  change: (unit: string | undefined) => void;
  /** One has to be chosen: without one it is not all of them. */
  must?: boolean;
}

/** One unit and all below it. */
export function UnitPicker({ value, change, must }: UnitProps) {
  const { t } = useTranslation();
  const units = useUnits();
  const tree = useMemo(() => unitTree(units.data ?? []), [units.data]);
  return (
    <TreeSelect
      aria-label={t('column.unit')} placeholder={t(must ? 'filter.choose_unit' : 'filter.any_unit')} allowClear showSearch={{ treeNodeFilterProp: 'title' }} treeDefaultExpandAll
      treeData={tree} value={value} onChange={(unit?: string) => change(unit)} style={{ width: 190 }} popupMatchSelectWidth={280}
    />
  );
}

function ColumnPicker({ form, columns }: { form: KindForm | undefined; columns: string[] }) {
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const listed = (form?.fields ?? []).filter((field) => field.list && !field.repeat);
  const options = [
    ...listed.map((field) => ({ value: field.path, label: fieldLabel(field, field.path) })),
    ...FIXED_COLUMNS.map((name) => ({ value: name as string, label: t(`column.${name}`) })),
  ];
  const change = (wanted: string[]): void => {
    const next = new URLSearchParams(search);
    // In the order of the form, whatever the order of the clicks.
    next.set('columns', options.map((option) => option.value).filter((name) => wanted.includes(name)).join());
    setSearch(next, { replace: true });
  };
  const list = (
    <div role="dialog" aria-label={t('filter.columns')}>
      <Checkbox.Group className="column-list" options={options} value={columns} onChange={change} />
    </div>
  );
  return (
    <Popover content={list} trigger="click" placement="bottomRight">
      <Button>{t('filter.columns')} ▾</Button>
    </Popover>
  );
}
