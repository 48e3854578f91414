import { Button } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { leave } from '../api/leave';
import { queryClient } from '../api/queries';
import { FactorForm, PasswordForm, RecoveryCodes } from '../parts/credentials';

const askAgain = () => queryClient.invalidateQueries({ queryKey: ['me'] });

/** What a new user does before anything else: a password of their own, and a second factor. */
export function SetUpPage({ me }: { me: Shapes['MeBody'] }) {
  const { t } = useTranslation();
  const [recovery, setRecovery] = useState<string[]>();
  const [passwordFirst] = useState(me.password_to_change);
  const [factorToo] = useState(me.second_factor_missing);
  // The recovery codes are the factor's second step.
  const steps = (passwordFirst ? 1 : 0) + (factorToo ? 2 : 0);
  const step = recovery ? steps : me.password_to_change ? 1 : steps - 1;
  return (
    <main className="alone">
      <h1>{t('setup.title')}</h1>
      {steps > 1 && <p className="by">{t('setup.step', { step, steps })}</p>}
      {recovery ? (
        <RecoveryCodes codes={recovery} button={t('setup.kept')} kept={() => void askAgain()} />
      ) : me.password_to_change ? (
        <PasswordForm first text={t('setup.password_text')} old={t('setup.password_old')} button={t('setup.next')} done={askAgain} />
      ) : (
        <FactorForm first text={t('setup.factor_text')} done={setRecovery} />
      )}
      {!recovery && (
        <Button type="link" onClick={() => void leave()}>
          {t('session.other_user')}
        </Button>
      )}
    </main>
  );
}
