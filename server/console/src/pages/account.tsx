import { App, Button, Table, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import { answer, api, type Shapes } from '../api/client';
import { queryClient, useMe } from '../api/queries';
import { useAccount } from '../api/supervision';
import { agentText } from '../logic/agent';
import { moment } from '../logic/values';
import { FactorForm, PasswordForm, RecoveryCodes } from '../parts/credentials';
import { Failed, sentence } from '../parts/failed';
import { Wait } from '../parts/wait';
import '../supervision.css';

type Session = Shapes['SessionBody'];

/** With so few recovery codes left, new ones are advised. */
const CODES_FEW = 3;

const askAgain = () => queryClient.invalidateQueries({ queryKey: ['account'] });

/** The reader's own account: password, second factor, and where else it is signed in. */
export default function Account() {
  const { t } = useTranslation();
  const account = useAccount();
  const me = useMe();
  if (account.error) return <Failed error={account.error} again={() => void account.refetch()} />;
  if (!account.data) return <Wait />;
  return (
    <>
      <h1>{t('nav.account')}</h1>
      <p className="by">{t('account.who', { name: me.data?.name ?? '', login: me.data?.login ?? '' })}</p>
      <Sessions sessions={account.data.sessions} />
      <div className="account">
        <OwnPassword />
        <OwnFactor left={account.data.recovery_codes_left} />
      </div>
    </>
  );
}

function OwnPassword() {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const done = async (): Promise<void> => {
    message.success(t('account.password_done'));
    await askAgain();
  };
  return (
    <section className="card" aria-labelledby="password-title">
      <h2 id="password-title">{t('account.password')}</h2>
      <PasswordForm text={t('account.password_text')} old={t('account.password_old')} button={t('account.password_change')} done={done} />
    </section>
  );
}

function OwnFactor({ left }: { left: number }) {
  const { t } = useTranslation();
  const [renewing, setRenewing] = useState(false);
  const [codes, setCodes] = useState<string[]>();
  const kept = (): void => {
    setCodes(undefined);
    setRenewing(false);
    void askAgain();
  };
  const few = left < CODES_FEW;
  return (
    <section className="card" aria-labelledby="factor-title">
      <h2 id="factor-title">{t('account.factor')}</h2>
      {codes ? (
        <RecoveryCodes codes={codes} button={t('account.kept')} kept={kept} />
      ) : renewing ? (
        <>
          <FactorForm first text={t('account.factor_text')} done={setCodes} />
          <Button block onClick={() => setRenewing(false)} className="below">
            {t('account.leave')}
          </Button>
        </>
      ) : (
        <>
          <p className={few ? 'warn' : undefined}>
            {few && <span aria-hidden="true">⚠ </span>}
            {t(left === 0 ? 'account.codes_none' : few ? 'account.codes_few' : 'account.codes_left', { count: left })}
          </p>
          <p>{t('account.renew_text')}</p>
          <Button onClick={() => setRenewing(true)}>{t('account.renew')}</Button>
        </>
      )}
    </section>
  );
}

function Sessions({ sessions }: { sessions: Session[] }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [busy, setBusy] = useState(false);
  const end = async (session?: Session): Promise<void> => {
    setBusy(true);
    try {
      await answer(session ? api.DELETE('/account/sessions/{id}', { params: { path: { id: session.id } } }) : api.DELETE('/account/sessions'));
      message.success(t('account.ended'));
    } catch (failure) {
      message.error(sentence(failure));
    } finally {
      setBusy(false);
      await askAgain();
    }
  };
  const ordered = [...sessions].sort((one, other) => Number(other.own) - Number(one.own));
  const columns: TableColumnsType<Session> = [
    { key: 'agent', title: t('account.browser'), render: (_, one) => <span title={one.agent}>{agentText(one.agent) || '—'}</span> },
    { key: 'address', title: t('account.address'), dataIndex: 'address' },
    { key: 'created', title: t('account.created'), render: (_, one) => moment(one.created_ms) },
    { key: 'seen', title: t('account.seen'), render: (_, one) => moment(one.seen_ms) },
    {
      key: 'act', title: t('device.act'),
      render: (_, one) =>
        one.own ? (
          <span className="by">{t('account.this_one')}</span>
        ) : (
          <Button disabled={busy} onClick={() => void end(one)} aria-label={t('account.end_of', { browser: agentText(one.agent), time: moment(one.created_ms) })}>
            {t('account.end')}
          </Button>
        ),
    },
  ];
  return (
    <section className="card" aria-labelledby="sessions-title">
      <h2 id="sessions-title">
        {t('account.sessions')}
        {sessions.length > 1 && (
          <Button disabled={busy} onClick={() => void end()}>
            {t('account.end_others')}
          </Button>
        )}
      </h2>
      <Table<Session> className="plain-table" size="small" rowKey="id" columns={columns} dataSource={ordered} pagination={{ pageSize: 20, hideOnSinglePage: true }} />
    </section>
  );
}
