import { Spin } from 'antd';
import { useTranslation } from 'react-i18next';

/** Something is on its way. */
export function Wait() {
  const { t } = useTranslation();
  return (
    <div className="wait" role="status">
      <Spin /> <span>{t('wait')}</span>
    </div>
  );
}
