import { App, Button, Table, type TableColumnsType } from 'antd';
import { useTranslation } from 'react-i18next';
import { Link } from 'react-router';

import { answer, api, type Shapes } from '../api/client';
import { queryClient, useDoubles, useToday } from '../api/queries';
import { searchOf, type Filters } from '../logic/filters';
import { moment } from '../logic/values';
import { Failed, sentence } from '../parts/failed';
import { Wait } from '../parts/wait';

type Page = Shapes['TodayPage'];
type Arrived = Shapes['Arrived'];
type Silent = Shapes['SilentDevice'];

/** Why records wait, the most pressing first. */
const WAITING = ['review', 'amended', 'conflicts', 'problems', 'returned'] as const;
type What = (typeof WAITING)[number];
const SIGNS: Record<What, string> = { review: '●', amended: '✎', conflicts: '⇄', problems: '!', returned: '↩' };

/** What waits for the reader, what came in since the last visit, and which devices are silent. */
export default function Today() {
  const { t } = useTranslation();
  const today = useToday();
  if (today.error && !today.data) return <Failed error={today.error} again={() => void today.refetch()} />;
  if (!today.data) return <Wait />;
  return (
    <>
      <h1>{t('nav.today')}</h1>
      <Waits page={today.data} />
      <div className="halves">
        <ArrivedCard page={today.data} />
        <SilentCard page={today.data} />
      </div>
    </>
  );
}

/** Proposals that are counted; beyond them it says that there are more. */
const DOUBLES_COUNTED = 50;

/** One tile for each reason, with each kind's records behind it. */
function Waits({ page }: { page: Page }) {
  const { t } = useTranslation();
  const doubles = useDoubles({ limit: DOUBLES_COUNTED });
  const tiles = WAITING.map((what) => ({ what, kinds: page.waiting.filter((one) => one.what === what && one.records > 0) }));
  return (
    <div className="tiles">
      {tiles.map(({ what, kinds }) => (
        <section key={what} className="card tile" aria-label={t(`today.${what}`, { days: page.returned_days })}>
          <h2>
            <span>
              <span aria-hidden="true">{SIGNS[what]} </span>
              {t(`today.${what}`, { days: page.returned_days })}
            </span>
          </h2>
          {kinds.length === 0 && <p className="by">{t('today.nothing')}</p>}
          {kinds.map((one) => (
            <Link key={one.kind} className="tile-row" to={`/records/${one.kind}?${searchOf(one.list as Filters)}`}>
              <span>{one.title}</span>
              <strong>{one.records}</strong>
            </Link>
          ))}
        </section>
      ))}
      <section className="card tile" aria-label={t('today.apart')}>
        <h2>
          <span>
            <span aria-hidden="true">▤ </span>
            {t('today.apart')}
          </span>
        </h2>
        <Link className="tile-row" to="/quarantine">
          <span>{t('nav.quarantine')}</span>
          <strong>{page.quarantined}</strong>
        </Link>
        <Link className="tile-row" to="/doubles">
          <span>{t('nav.doubles')}</span>
          <strong>{doubles.data ? `${doubles.data.doubles.length}${doubles.data.next ? '+' : ''}` : '…'}</strong>
        </Link>
      </section>
    </div>
  );
}

/** Since when things count as new, for a link into the list. */
function sinceText(page: Page): string | undefined {
  return page.since_ms === null || page.since_ms === undefined ? undefined : `${page.since_ms + 1}..${page.as_of_ms}`;
}

function ArrivedCard({ page }: { page: Page }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const since = sinceText(page);
  const seen = async (): Promise<void> => {
    try {
      await answer(api.POST('/today/seen', { body: { through_ms: page.as_of_ms } }));
      await queryClient.invalidateQueries({ queryKey: ['today'] });
    } catch (error) {
      message.error(sentence(error));
    }
  };
  const link = (one: Arrived, filter: Filters, text: React.ReactNode) => <Link to={`/records/${one.kind}?${searchOf({ unit: one.unit, unit_alone: true, ...filter })}`}>{text}</Link>;
  const columns: TableColumnsType<Arrived> = [
    { key: 'unit', title: t('column.unit'), dataIndex: 'unit_name' },
    { key: 'kind', title: t('today.kind'), render: (_, one) => link(one, { received: since }, one.title) },
    { key: 'records', title: t('today.records'), align: 'right', width: 90, dataIndex: 'records' },
    { key: 'new', title: t('today.new'), align: 'right', width: 90, render: (_, one) => (one.new_records > 0 ? link(one, { first: since }, one.new_records) : 0) },
  ];
  return (
    <section className="card" aria-labelledby="arrived-title">
      <h2 id="arrived-title">
        <span>{since === undefined ? t('today.arrived_first') : t('today.arrived', { time: moment(page.since_ms) })}</span>
        <Button title={t('today.seen_hint')} disabled={page.arrived.length === 0 && since !== undefined} onClick={() => void seen()}>
          ✓ {t('today.seen')}
        </Button>
      </h2>
      <Table<Arrived> size="small" rowKey={(one) => `${one.unit} ${one.kind}`} columns={columns} dataSource={page.arrived} pagination={{ pageSize: 20, hideOnSinglePage: true }} locale={{ emptyText: t('today.nothing_arrived') }} />
    </section>
  );
}

function SilentCard({ page }: { page: Page }) {
  const { t } = useTranslation();
  const columns: TableColumnsType<Silent> = [
    { key: 'user', title: t('device.user'), dataIndex: 'user_name' },
    { key: 'unit', title: t('column.unit'), dataIndex: 'unit_name' },
    { key: 'name', title: t('device.name'), dataIndex: 'name' },
    { key: 'days', title: t('today.silent_for'), align: 'right', width: 100, render: (_, device) => <span className="warn">{t('today.days', { count: device.silent_days })}</span> },
  ];
  return (
    <section className="card" aria-labelledby="silent-title">
      <h2 id="silent-title">
        <span>{t('today.silent', { days: page.silent_days, count: page.silent })}</span>
        <Link to="/devices">{t('nav.devices')}</Link>
      </h2>
      <Table<Silent> size="small" rowKey="id" columns={columns} dataSource={page.silent_devices} pagination={{ pageSize: 12, hideOnSinglePage: true }} locale={{ emptyText: t('today.none_silent') }} />
    </section>
  );
}
