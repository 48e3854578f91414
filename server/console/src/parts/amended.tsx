import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { maskedField } from '../logic/reveal';
import { fieldLabel, fieldsByPath, moment, shown, withoutRows, type KindForm } from '../logic/values';
import { RevealButton, type Show } from './reveal';

/** What differs from what was approved. */
export function Amended({ page, form, show }: { page: Shapes['RecordPage']; form: KindForm; show: Show }) {
  const { t } = useTranslation();
  if (!page.amended) return null;
  const fields = fieldsByPath(form);
  const review = page.reviews[page.amended.review];
  const { differences } = page.amended;
  return (
    <section className="card" aria-labelledby="amended-title">
      <h2 id="amended-title">{t('amended.title', { count: differences.length })}</h2>
      {review && <p className="by">{t('amended.since', { name: review.reviewer_name, time: moment(review.time_ms) })}</p>}
      {differences.length === 0 && <p>{t('amended.none')}</p>}
      <ul className="wrote">
        {differences.map((one) => {
          const field = fields.get(withoutRows(one.path));
          const label = field ? fieldLabel(field, one.path) : one.label;
          const hidden = maskedField(page.masked, one.path, [one.approved, one.now]);
          return (
            <li key={one.path} tabIndex={-1}>
              <span className="field">{t('named', { name: label })}</span>
              <del>{one.approved_text ?? shown(form, field, one.approved)}</del>
              {' → '}
              {one.now_text ?? shown(form, field, one.now)} {hidden !== undefined && <RevealButton field={hidden} label={label} show={show} />}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
