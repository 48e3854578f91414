import { Alert, Button } from 'antd';
import { useTranslation } from 'react-i18next';

import { ApiProblem, NotReached } from '../api/client';
import { say, type Key } from '../i18n';

/** What the console says in its own words: the server's are for whoever calls its API. */
const OWN: Record<string, Key> = {
  heads_moved: 'error.heads_moved', wrong_state: 'error.wrong_state', signed_out: 'error.signed_out', quarantine_unknown: 'error.quarantine_unknown',
};

/** What the server said, in words that fit what is on the screen. */
export function told(word: string, title: string): string {
  const own = OWN[word];
  return own ? say(own) : title;
}

/** What an error means to the reader. */
export function sentence(error: unknown): string {
  if (error instanceof ApiProblem) return error.word === 'unknown' ? say('error.status', { status: error.status }) : told(error.word, error.message);
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
