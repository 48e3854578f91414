import { Alert, Button } from 'antd';
import { useTranslation } from 'react-i18next';

import { ApiProblem, NotReached } from '../api/client';
import { say } from '../i18n';

/** What an error means to the reader. */
export function sentence(error: unknown): string {
  if (error instanceof ApiProblem) return error.word === 'unknown' ? say('error.status', { status: error.status }) : error.message;
  if (error instanceof NotReached) return say('error.not_reached');
  return say('error.internal');
}

/** A page or a part of it that could not be shown, and how to try again. */
export function Failed({ error, again }: { error: unknown; again?: () => void }) {
  const { t } = useTranslation();
  const button = again && (
    <Button onClick={again} size="small">
      {t('again')}
    </Button>
  );
  return <Alert type="error" showIcon title={sentence(error)} action={button} className="failed" />;
}
