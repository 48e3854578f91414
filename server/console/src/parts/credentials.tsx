import { Button, Form, Input } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import { answer, api, type Shapes } from '../api/client';
import { Failed } from './failed';

interface Passwords {
  old: string;
  new: string;
}

/** Sends a form; says what failed. */
function useSending<T>(send: (body: T) => Promise<void>) {
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const submit = async (body: T): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await send(body);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return { error, busy, submit };
}

interface PasswordProps {
  /** Why, and what the password until now is called. */
  text: string;
  old: string;
  button: string;
  /** The keyboard begins here. */
  first?: boolean;
  done: () => void | Promise<void>;
}

/** A new password, typed twice, and the one until now. */
export function PasswordForm({ text, old, button, first, done }: PasswordProps) {
  const { t } = useTranslation();
  const [form] = Form.useForm<Passwords>();
  const { error, busy, submit } = useSending(async (body: Passwords) => {
    await answer(api.POST('/account/password', { body: { old: body.old, new: body.new } }));
    form.resetFields();
    await done();
  });
  return (
    <Form<Passwords> form={form} layout="vertical" size="middle" onFinish={(body) => void submit(body)} requiredMark={false}>
      <p>{text}</p>
      <Form.Item name="old" label={old} rules={[{ required: true, message: t('session.password_missing') }]}>
        <Input.Password autoComplete="current-password" autoFocus={first} />
      </Form.Item>
      <Form.Item name="new" label={t('setup.password_new')} extra={t('setup.password_rule')} rules={[{ required: true, message: t('session.password_missing') }]}>
        <Input.Password autoComplete="new-password" />
      </Form.Item>
      <Form.Item
        name="repeated"
        label={t('setup.password_repeated')}
        dependencies={['new']}
        rules={[({ getFieldValue }) => ({
          validator: (_, value) => (value === getFieldValue('new') ? Promise.resolve() : Promise.reject(new Error(t('setup.password_differs')))),
        })]}
      >
        <Input.Password autoComplete="new-password" />
      </Form.Item>
      {error !== undefined && <Failed error={error} />}
      <Button type="primary" htmlType="submit" loading={busy} block>
        {button}
      </Button>
    </Form>
  );
}

interface FactorProps {
  text: string;
  first?: boolean;
  done: (codes: string[]) => void;
}

/** A new secret for an authenticator app, and its first code. */
export function FactorForm({ text, first, done }: FactorProps) {
  const { t } = useTranslation();
  const [factor, setFactor] = useState<Shapes['FactorBody']>();
  const begin = useSending(async (body: Shapes['ProofRequest']) => setFactor(await answer(api.POST('/account/second-factor', { body }))));
  if (factor) return <FirstCode factor={factor} done={done} />;
  return (
    <Form<Shapes['ProofRequest']> layout="vertical" size="middle" onFinish={(body) => void begin.submit(body)} requiredMark={false}>
      <p>{text}</p>
      <Form.Item name="password" label={t('session.password')} rules={[{ required: true, message: t('session.password_missing') }]}>
        <Input.Password autoComplete="current-password" autoFocus={first} />
      </Form.Item>
      {begin.error !== undefined && <Failed error={begin.error} />}
      <Button type="primary" htmlType="submit" loading={begin.busy} block>
        {t('setup.next')}
      </Button>
    </Form>
  );
}

function FirstCode({ factor, done }: { factor: Shapes['FactorBody']; done: (codes: string[]) => void }) {
  const { t } = useTranslation();
  const confirm = useSending(async (body: Shapes['CodeRequest']) => done((await answer(api.POST('/account/second-factor/confirm', { body }))).codes));
  return (
    <Form<Shapes['CodeRequest']> layout="vertical" size="middle" onFinish={(body) => void confirm.submit(body)} requiredMark={false}>
      <p>{t('setup.scan')}</p>
      <img className="qr" src={`data:image/svg+xml,${encodeURIComponent(factor.qr_svg)}`} alt={t('setup.qr')} />
      <p className="secret">{factor.secret.replace(/(.{4})(?=.)/g, '$1 ')}</p>
      <Form.Item name="code" label={t('setup.code')} rules={[{ required: true, message: t('session.code_missing') }]}>
        <Input autoComplete="one-time-code" inputMode="numeric" autoFocus />
      </Form.Item>
      {confirm.error !== undefined && <Failed error={confirm.error} />}
      <Button type="primary" htmlType="submit" loading={confirm.busy} block>
        {t('setup.next')}
      </Button>
    </Form>
  );
}

/** Codes that are shown once. */
export function RecoveryCodes({ codes, button, kept }: { codes: string[]; button: string; kept: () => void }) {
  const { t } = useTranslation();
  return (
    <>
      <p>{t('setup.recovery_text')}</p>
      <ol className="codes">
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ol>
      <Button type="primary" block onClick={kept}>
        {button}
      </Button>
    </>
  );
}
