import { Button, Dropdown, Menu } from 'antd';
import { useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, Outlet, useLocation, useNavigate } from 'react-router';

import { ApiProblem, type Shapes } from '../api/client';
import { queryClient, useKinds, useMe, useUnits } from '../api/queries';
import { leave } from '../api/leave';
import { language, pick, setLanguage } from '../i18n';
import { connection, useConnectionLost } from '../logic/connection';
import { useKeys } from '../logic/keys';
import { FIRST_PAGES, PAGES, pagesOf, type MenuPage } from '../logic/menu';
import { session, useSessionEnded } from '../logic/session';
import { SetUpPage } from '../pages/set-up';
import { SignInAgain, SignInPage } from '../pages/sign-in';
import { Failed } from './failed';
import { KeyHelp } from './key-help';
import { Wait } from './wait';

/** What stands around every page, and who may see it at all. */
export function Shell() {
  const me = useMe();
  const ended = useSessionEnded();
  useEffect(() => {
    if (me.data) session.opened();
  }, [me.data]);
  useEffect(() => connection.onReturn(() => void queryClient.invalidateQueries()), []);
  if (me.data && (me.data.password_to_change || me.data.second_factor_missing)) return <SetUpPage me={me.data} />;
  if (me.data) {
    return (
      <>
        <Frame me={me.data} />
        {ended && <SignInAgain login={me.data.login} />}
      </>
    );
  }
  if (me.error instanceof ApiProblem && me.error.status === 401) return <SignInPage />;
  if (me.error) {
    return (
      <main className="alone">
        <Failed error={me.error} again={() => void me.refetch()} />
      </main>
    );
  }
  return <Wait />;
}

function Frame({ me: { name, unit, may_read_audit } }: { me: Shapes['MeBody'] }) {
  const { t } = useTranslation();
  const [help, setHelp] = useState(false);
  const navigate = useNavigate();
  const units = useUnits();
  const pages = pagesOf(may_read_audit);
  useKeys({
    '?': () => setHelp(true),
    ...Object.fromEntries(pages.map(({ digit, path }) => [digit, () => void navigate(path)])),
  });
  const unitName = units.data?.find((known) => known.code === unit)?.name ?? unit;
  return (
    <div className="frame">
      <a className="skip" href="#page">
        {t('skip')}
      </a>
      <header className="top">
        <Link to="/" className="brand">
          {t('brand')}
        </Link>
        <span className="where">{unitName}</span>
        <ConnectionState />
        <span className="space" />
        <Button type="text" onClick={() => setHelp(true)} aria-keyshortcuts="?">
          {t('keys.button')}
        </Button>
        <Button type="text" onClick={() => void switchLanguage()} lang={language() === 'en' ? 'zh-Hans' : 'en'}>
          {t('language.other')}
        </Button>
        <UserMenu name={name} />
      </header>
      <Navigation pages={pages} />
      <main className="page" id="page" tabIndex={-1}>
        <Outlet />
      </main>
      <KeyHelp pages={pages} open={help} close={() => setHelp(false)} />
    </div>
  );
}

/** The server's texts come in the language that was asked for: they are fetched again. */
async function switchLanguage(): Promise<void> {
  await setLanguage(language() === 'en' ? 'zh-Hans' : 'en');
  await queryClient.invalidateQueries();
}

function UserMenu({ name }: { name: string }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const items = [{ key: 'account', label: t('nav.account') }, { key: 'leave', label: t('session.leave') }];
  return (
    <Dropdown menu={{ items, onClick: ({ key }) => void (key === 'leave' ? leave() : navigate('/account')) }} trigger={['click']}>
      <Button type="text">{name} ▾</Button>
    </Dropdown>
  );
}

function ConnectionState() {
  const { t } = useTranslation();
  const lost = useConnectionLost();
  return (
    <span role="status" aria-live="polite" className={lost ? 'lost' : undefined}>
      {lost && (
        <>
          <span aria-hidden="true">⚠ </span>
          {t('connection.lost')}{' '}
          <Button size="small" onClick={() => connection.tryNow()}>
            {t('connection.try')}
          </Button>
        </>
      )}
    </span>
  );
}

/** Records that wait for a supervisor: handed in, or changed after approval. */
function waiting(states: Record<string, number>): number {
  return (states.submitted ?? 0) + (states.amended ?? 0);
}

function Navigation({ pages: shown }: { pages: MenuPage[] }) {
  const { t } = useTranslation();
  const kinds = useKinds();
  const { pathname } = useLocation();
  const records = (kinds.data ?? []).map((kind) => ({
    key: `/records/${kind.kind}`,
    label: (
      <Link to={`/records/${kind.kind}`} className="nav-kind">
        <span>{pick(kind.titles, kind.title)}</span>
        {waiting(kind.states) > 0 && (
          <span className="count" title={t('nav.waiting', { count: waiting(kind.states) })}>
            {waiting(kind.states)}
          </span>
        )}
      </Link>
    ),
  }));
  const pages = shown.map(({ path, label }) => ({ key: path, label: <Link to={path}>{t(label)}</Link> }));
  const items = [
    ...pages.slice(0, FIRST_PAGES),
    { key: 'records', type: 'group' as const, label: t('nav.records'), children: records },
    { key: 'work', type: 'group' as const, label: t('nav.supervision'), children: pages.slice(FIRST_PAGES) },
  ];
  const selected = pathname.split('/').slice(0, pathname.startsWith('/records/') ? 3 : 2).join('/');
  const kind = kinds.data?.find((one) => `/records/${one.kind}` === selected);
  const label = PAGES.find(({ path }) => path === selected)?.label;
  const title = kind ? pick(kind.titles, kind.title) : label && t(label);
  useEffect(() => {
    // Several tabs are told apart. Nobody's name: titles go into the browser's history.
    document.title = title ? `${title} · ${t('brand')}` : t('brand');
  }, [title, t]);
  return (
    <nav className="nav" aria-label={t('nav.label')}>
      <Menu mode="inline" items={items} selectedKeys={[selected]} />
    </nav>
  );
}
