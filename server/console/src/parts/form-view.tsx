import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { pick } from '../i18n';
import { maskedField } from '../logic/reveal';
import { hasAnswers, sectionsOf, type Item, type Row, type Section } from '../logic/sections';
import { fieldLabel, shown, withoutRows, type KindForm } from '../logic/values';
import { RevealButton, type Show } from './reveal';

/** Texts longer than this take the whole width. */
const WIDE_CHARS = 40;

interface Props {
  form: KindForm;
  page: Shapes['RecordPage'];
  show: Show;
  /** Empty answers too. */
  empty: boolean;
}

interface Marks {
  form: KindForm;
  masked: string[];
  conflicts: Set<string>;
  problems: Map<string, string>;
  returned: Set<string>;
  show: Show;
  empty: boolean;
}

/** The record's answers in the shape of its form. */
export function FormView({ form, page, show, empty }: Props) {
  const sections = useMemo(() => sectionsOf(form, page.values), [form, page.values]);
  const last = page.reviews[page.reviews.length - 1];
  const marks: Marks = {
    form, show, empty, masked: page.masked,
    conflicts: new Set(page.conflicts.map((conflict) => conflict.path)),
    problems: new Map(page.problems.map((problem) => [problem.path, problem.message])),
    returned: new Set(page.state === 'returned' && last?.decision === 'return' ? last.fields : []),
  };
  return (
    <div className="form-view">
      {sections.filter((section) => empty || hasAnswers(section) || touched(section, marks)).map((section) => (
        <section className="card" key={section.path} aria-label={pick(section.label, section.path)}>
          <h2>{pick(section.label, section.path)}</h2>
          <Inside section={section} marks={marks} />
        </section>
      ))}
    </div>
  );
}

/** Whether a problem stands in it: an empty answer that is required must be seen. */
function touched(section: Section, marks: Marks): boolean {
  const inside = (path: string) => path === section.path || path.startsWith(`${section.path}/`) || path.startsWith(`${section.path}[`);
  return [...marks.problems.keys(), ...marks.conflicts].some(inside);
}

function Inside({ section, marks }: { section: Section; marks: Marks }) {
  return (
    <>
      <Answers items={section.items} marks={marks} />
      {section.rows?.map((row, at) => <RepeatRow key={row.id} row={row} at={at} marks={marks} />)}
      <Below sections={section.sections} marks={marks} />
    </>
  );
}

function Below({ sections, marks }: { sections: Section[]; marks: Marks }) {
  return sections
    .filter((section) => marks.empty || hasAnswers(section) || touched(section, marks))
    .map((section) => (
      <div key={section.path} className="repeat-row">
        <h3>{pick(section.label, '')}</h3>
        <Inside section={section} marks={marks} />
      </div>
    ));
}

function RepeatRow({ row, at, marks }: { row: Row; at: number; marks: Marks }) {
  return (
    <div className="repeat-row">
      <div className="row-title">{at + 1}.</div>
      <Answers items={row.items} marks={marks} />
      <Below sections={row.sections} marks={marks} />
    </div>
  );
}

const isEmpty = (item: Item): boolean => item.answer === undefined || item.answer === null || item.answer === '';

function Answers({ items, marks }: { items: Item[]; marks: Marks }) {
  const wanted = items.filter((item) => marks.empty || !isEmpty(item) || marks.problems.has(item.path) || marks.conflicts.has(item.path));
  if (wanted.length === 0) return null;
  return (
    <dl className="answers">
      {wanted.map((item) => (
        <OneAnswer key={item.path} item={item} marks={marks} />
      ))}
    </dl>
  );
}

/** Where an answer stands on the page. */
export const answerId = (path: string): string => `answer ${path}`;

function OneAnswer({ item, marks }: { item: Item; marks: Marks }) {
  const { t } = useTranslation();
  const hidden = maskedField(marks.masked, item.path, [item.answer]);
  const label = fieldLabel(item.field, item.path);
  const text = shown(marks.form, item.field, item.answer);
  const conflict = marks.conflicts.has(item.path);
  const problem = marks.problems.get(item.path);
  const names = ['answer', text.length > WIDE_CHARS && 'wide', conflict && 'in-conflict', problem !== undefined && 'has-problem', marks.returned.has(withoutRows(item.path)) && 'opened'];
  return (
    <div id={answerId(item.path)} className={names.filter(Boolean).join(' ')}>
      <dt>
        {label}
        {item.field.calculated && <span title={t('record.calculated')}> ƒ</span>}
      </dt>
      <dd tabIndex={-1}>
        <span className={hidden === undefined ? undefined : 'masked'}>{text}</span>
        {hidden !== undefined && <RevealButton field={hidden} label={label} show={marks.show} />}
        {conflict && <div className="mark-conflict">⇄ {t('record.in_conflict')}</div>}
        {problem !== undefined && <div className="mark-problem">! {problem}</div>}
      </dd>
    </div>
  );
}
