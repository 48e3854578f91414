import { useTranslation } from 'react-i18next';
import { Link, useParams } from 'react-router';

import { useForms } from '../api/supervision';
import { pick } from '../i18n';
import { moment } from '../logic/values';
import { Failed } from '../parts/failed';
import { Trial } from '../parts/trial';
import '../supervision.css';

/** A published version of a form, tried out. */
export default function FormVersion() {
  const { kind = '', version = '' } = useParams();
  const { t } = useTranslation();
  const forms = useForms();
  const known = forms.data?.find((one) => one.kind === kind);
  const published = known?.versions.find((one) => one.version === version);
  const title = known ? pick(known.titles, known.title) : kind;
  if (forms.error) return <Failed error={forms.error} again={() => void forms.refetch()} />;
  return (
    <>
      <div className="trial-head">
        <Link to="/forms" className="row-link">
          ↑ {t('nav.forms')}
        </Link>
        <h1>{t('forms.title_version', { title, version })}</h1>
        {published && <span className="by">{t('forms.published_by', { time: moment(published.published_ms), unit: published.unit_name })}</span>}
      </div>
      <Trial key={`${kind} ${version}`} tried={{ kind, version }} title={title}>
        <p>{t('forms.try_text')}</p>
      </Trial>
    </>
  );
}
