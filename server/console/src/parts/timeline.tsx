import { Button } from 'antd';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { enumerated } from '../i18n';
import { events, WROTE_SHOWN_MAX } from '../logic/history';
import { maskedPlaces } from '../logic/reveal';
import { fieldLabel, fieldsByPath, moment, shown, withoutRows, type Answer, type Field, type KindForm } from '../logic/values';
import { Written } from './conflicts';
import { RevealButton, type Show } from './reveal';

type Wrote = Shapes['WrotePage'];

/** The word of a decision in the catalogue. */
export const DECISIONS = ['approve', 'return', 'void', 'archive', 'reinstate'] as const;

/** Who did what to the record, newest first. */
export function Timeline({ page, form, show }: { page: Shapes['RecordPage']; form: KindForm; show: Show }) {
  const { t } = useTranslation();
  const all = useMemo(() => events(page), [page]);
  return (
    <section className="card" id="timeline" tabIndex={-1} aria-labelledby="timeline-title">
      <h2 id="timeline-title">{t('timeline.title', { count: all.length })}</h2>
      <ol className="timeline">
        {all.map((event) =>
          event.change ? (
            <li key={event.change.change} tabIndex={-1}>
              <Written by={event.change} />
              {event.change.admitted_for && <div className="by">{t('timeline.admitted')}</div>}
              <WroteList wrote={event.change.wrote} form={form} masked={page.masked} show={show} />
            </li>
          ) : (
            <Decided key={event.review.time_ms} review={event.review} form={form} />
          ),
        )}
      </ol>
    </section>
  );
}

function Decided({ review, form }: { review: Shapes['ReviewPage']; form: KindForm }) {
  const { t } = useTranslation();
  const word = DECISIONS.find((known) => known === review.decision) ?? 'approve';
  const fields = fieldsByPath(form);
  return (
    <li className="decided">
      <strong>{t(`decided.${word}`)}</strong>
      <div className="by">
        {review.reviewer_name} · {moment(review.time_ms)}
      </div>
      {review.reasons && <div>{review.reasons}</div>}
      {review.fields.length > 0 && <div className="by">{t('decided.fields', { fields: enumerated(review.fields.map((path) => fieldLabel(fields.get(path), path))) })}</div>}
    </li>
  );
}

interface WroteProps {
  wrote: Wrote[];
  form: KindForm;
  /** Fields that can be shown in clear, by path without rows. */
  masked?: string[];
  show?: Show;
}

/** What one save wrote. */
export function WroteList({ wrote, form, masked = [], show }: WroteProps) {
  const { t } = useTranslation();
  const [all, setAll] = useState(false);
  const fields = useMemo(() => fieldsByPath(form), [form]);
  const shownOnes = all ? wrote : wrote.slice(0, WROTE_SHOWN_MAX);
  const hidden = maskedPlaces(masked, shownOnes);
  return (
    <ul className="wrote">
      {shownOnes.map((one, at) => (
        <li key={`${one.path} ${at}`} tabIndex={-1}>
          <OneWrote one={one} form={form} field={fields.get(withoutRows(one.path))} hidden={hidden.get(at)} show={show} />
        </li>
      ))}
      {wrote.length > shownOnes.length && (
        <li>
          <Button type="link" size="small" onClick={() => setAll(true)}>
            {t('timeline.more', { count: wrote.length - shownOnes.length })}
          </Button>
        </li>
      )}
    </ul>
  );
}

interface OneProps {
  one: Wrote;
  form: KindForm;
  field: Field | undefined;
  /** The masked field that is asked for here. */
  hidden: string | undefined;
  show: Show | undefined;
}

function OneWrote({ one, form, field, hidden, show }: OneProps) {
  const { t } = useTranslation();
  if (one.path === '_submitted') return <span>{one.value === null ? t('timeline.taken_back') : t('timeline.submitted')}</span>;
  if (one.path.endsWith('/_removed') || one.path.endsWith('_removed')) return <span>{t('timeline.row_removed')}</span>;
  const value = shown(form, field, one.value);
  const label = field ? fieldLabel(field, one.path) : one.label;
  const before: Answer = one.before;
  const had = before !== null && before !== undefined && before !== '';
  return (
    <>
      <span className="field">{t('named', { name: label })}</span>
      {one.chosen !== false && had && (
        <>
          <del>{one.before_text ?? shown(form, field, before)}</del>
          {' → '}
        </>
      )}
      {one.chosen === false ? <del>{value}</del> : one.value === null ? t('timeline.cleared') : value}{' '}
      {hidden !== undefined && show && <RevealButton field={hidden} label={label} show={show} />}
    </>
  );
}
