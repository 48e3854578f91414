import { Button } from 'antd';
import { useTranslation } from 'react-i18next';

import type { Moved } from '../logic/history';
import { moment, type KindForm } from '../logic/values';
import { Written } from './conflicts';
import { DECISIONS, WroteList } from './timeline';

/** The record moved on while it was read: what was written and decided since. */
export function MovedOn({ moved, form, take }: { moved: Moved; form: KindForm; take: () => void }) {
  const { t } = useTranslation();
  return (
    <section className="card moved" role="alert" aria-labelledby="moved-title">
      <h2 id="moved-title">⚠ {t('moved.title')}</h2>
      <p>{t('moved.text')}</p>
      {moved.changes.map((change) => (
        <div key={change.change} className="conflict">
          <Written by={change} />
          <WroteList wrote={change.wrote} form={form} />
        </div>
      ))}
      {moved.reviews.map((review) => (
        <div key={review.time_ms} className="conflict">
          <strong>{t(`decided.${DECISIONS.find((known) => known === review.decision) ?? 'approve'}`)}</strong>
          <div className="by">
            {review.reviewer_name} · {moment(review.time_ms)}
          </div>
          {review.reasons && <div>{review.reasons}</div>}
        </div>
      ))}
      <Button type="primary" onClick={take} aria-keyshortcuts="n">
        {t('moved.take')}
      </Button>
    </section>
  );
}
