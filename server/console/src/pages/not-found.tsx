import { useTranslation } from 'react-i18next';
import { Link } from 'react-router';

/** An address that leads nowhere. */
export function NotFound() {
  const { t } = useTranslation();
  return (
    <div className="wait">
      <h1>{t('not_found.title')}</h1>
      <Link to="/">{t('not_found.home')}</Link>
    </div>
  );
}
