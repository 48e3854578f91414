import { useTranslation } from 'react-i18next';
import { Link } from 'react-router';

import type { Shapes } from '../api/client';
import { useKind, useRelated } from '../api/queries';
import { say } from '../i18n';
import { moment, shown, type KindForm } from '../logic/values';
import { Failed } from './failed';
import { StateTag } from './state-tag';

type Row = Shapes['RecordRow'];

/** Records that this one names, those that name it, and those that were voided as doubles of it. */
export function Related({ page }: { page: Shapes['RecordPage'] }) {
  const { t } = useTranslation();
  const related = useRelated(page.id);
  if (related.error) return <Failed error={related.error} again={() => void related.refetch()} />;
  const { refers_to = [], referred_by = [] } = related.data ?? {};
  if (refers_to.length + referred_by.length + page.doubles.length === 0) return null;
  return (
    <section className="card" aria-labelledby="related-title">
      <h2 id="related-title">{t('related.title')}</h2>
      {page.doubles.length > 0 && (
        <p>
          {t('related.doubles')}
          {page.doubles.map((id, at) => (
            <Link key={id} to={`/records/${page.kind}/${id}`} className="inline-link">{t('related.double', { number: at + 1 })}</Link>
          ))}
        </p>
      )}
      {[...refers_to, ...referred_by].map((kind) => (
        <div key={kind.kind} className="repeat-row">
          <h3>{kind.title}</h3>
          <ul className="wrote">
            {kind.records.map((row) => (
              <li key={row.id}>
                <RelatedLink row={row} />
              </li>
            ))}
          </ul>
          {kind.total > kind.records.length && <Link to={`/records/${kind.kind}?refers=${page.id}`}>{t('related.all', { count: kind.total })}</Link>}
        </div>
      ))}
    </section>
  );
}

/** A record whose listed answers are all empty; so much of its id tells it from others. */
export const untitled = (id: string): string => say('record.untitled', { id: id.slice(0, 8) });

/** The first listed answers, as far as there are any. */
export function listedAnswers(form: KindForm | undefined, values: Record<string, unknown> | null): string {
  const listed = (form?.fields ?? []).filter((field) => field.list && !field.repeat && values?.[field.path] !== undefined);
  return listed.slice(0, 2).map((field) => shown(form, field, values?.[field.path])).join(' · ');
}

/** A record by its first listed answers. */
export function rowTitle(form: KindForm | undefined, row: Pick<Row, 'id' | 'values'>): string {
  return listedAnswers(form, row.values) || untitled(row.id);
}

function RelatedLink({ row }: { row: Row }) {
  const form = useKind(row.kind);
  return (
    <>
      <Link to={`/records/${row.kind}/${row.id}`}>{rowTitle(form.data, row)}</Link> <StateTag state={row.state} /> <span className="by">{moment(row.received_ms)}</span>
    </>
  );
}
