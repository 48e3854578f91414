import { Button, Form, Input, Modal } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import { ApiProblem, answer, api, type Shapes } from '../api/client';
import { queryClient } from '../api/queries';
import { focusOnOpen } from '../logic/focus';
import { session } from '../logic/session';
import { Failed } from '../parts/failed';
import { language, setLanguage } from '../i18n';

/** Login, password and, where the server asks for it, the second factor; `login` fixes whose. */
function SignInForm({ login, done }: { login?: string; done: (answer: Shapes['LoginAnswer']) => void }) {
  const { t } = useTranslation();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [codeWanted, setCodeWanted] = useState(false);
  const submit = async (body: Shapes['LoginRequest']): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      done(await answer(api.POST('/login', { body })));
    } catch (failure) {
      // Login and password fit: only the second half is missing.
      if (failure instanceof ApiProblem && failure.word === 'code_wanted') setCodeWanted(true);
      else setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Form<Shapes['LoginRequest']> layout="vertical" size="middle" onFinish={(body) => void submit(body)} initialValues={{ login }} requiredMark={false}>
      <Form.Item name="login" label={t('session.login')} rules={[{ required: true, message: t('session.login_missing') }]}>
        <Input autoComplete="username" readOnly={login !== undefined} autoFocus={login === undefined} />
      </Form.Item>
      <Form.Item name="password" label={t('session.password')} rules={[{ required: true, message: t('session.password_missing') }]}>
        <Input.Password autoComplete="current-password" autoFocus={login !== undefined} />
      </Form.Item>
      {codeWanted && (
        <Form.Item name="code" label={t('session.code')} extra={t('session.code_hint')} rules={[{ required: true, message: t('session.code_missing') }]}>
          <Input autoComplete="one-time-code" autoFocus />
        </Form.Item>
      )}
      {error !== undefined && <Failed error={error} />}
      <Button type="primary" htmlType="submit" loading={busy} block>
        {t('session.enter')}
      </Button>
    </Form>
  );
}

/** Where everybody begins. */
export function SignInPage() {
  const { t } = useTranslation();
  return (
    <main className="alone">
      <h1>{t('brand')}</h1>
      <p>{t('session.welcome')}</p>
      <SignInForm
        done={({ user }) => {
          queryClient.setQueryData(['me'], user);
          session.opened();
        }}
      />
      <Button type="link" onClick={() => void setLanguage(language() === 'en' ? 'zh-Hans' : 'en')}>
        {t('language.other')}
      </Button>
    </main>
  );
}

/** The session ended under an open page: it stays as it is, with all that was typed, until the same user is back. */
export function SignInAgain({ login }: { login: string }) {
  const { t } = useTranslation();
  return (
    <Modal open afterOpenChange={focusOnOpen('password')} closable={false} footer={null} title={t('session.ended')} width={380} mask={{ closable: false }}>
      <p>{t('session.ended_text')}</p>
      <SignInForm
        login={login}
        done={() => {
          session.opened();
          void queryClient.invalidateQueries();
        }}
      />
      <Button type="link" onClick={() => window.location.assign('/')}>
        {t('session.other_user')}
      </Button>
    </Modal>
  );
}
