import { Button } from 'antd';
import { useTranslation } from 'react-i18next';

interface Props {
  /** Back to the first page, where this is another one. */
  first?: (() => void) | false | undefined;
  next?: (() => void) | false | undefined;
}

/** To the other pages of a list; a list of one page has none. */
export function Pager({ first, next }: Props) {
  const { t } = useTranslation();
  if (!first && !next) return null;
  return (
    <div className="pager">
      {first && <Button onClick={first}>{t('records.first')}</Button>}
      <Button disabled={!next} onClick={next || undefined}>
        {t('records.next')}
      </Button>
    </div>
  );
}
