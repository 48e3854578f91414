import { App, Button, Form, Input, Modal, Table, type TableColumnsType, type TableProps } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import { answer, api, type Shapes } from '../api/client';
import { queryClient, useDevices, useUnits } from '../api/queries';
import { useAddress } from '../logic/address';
import { focusOnOpen } from '../logic/focus';
import { moment } from '../logic/values';
import { Failed } from '../parts/failed';
import { SearchBox } from '../parts/record-filters';

type Device = Shapes['DeviceBody'];
type SortOrder = NonNullable<TableProps<Device>['sortDirections']>[number];

/** A device that has not synced for so many days is pointed out. */
export const STALE_DAYS = 7;
const DAY_MS = 86_400_000;
/** A clock further off than this makes the times of what it writes wrong. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;

/** Where a device stands. */
export function standing(device: Device, nowMs: number): 'revoked' | 'never' | 'stale' | 'in_use' {
  if (device.revoked_ms) return 'revoked';
  if (!device.last_contact_ms) return 'never';
  return nowMs - device.last_contact_ms > STALE_DAYS * DAY_MS ? 'stale' : 'in_use';
}

/** Revoked devices stand at the end, whichever way the table is sorted. */
function revokedLast(one: Device, other: Device, order: SortOrder | undefined): number {
  const by = Number(Boolean(one.revoked_ms)) - Number(Boolean(other.revoked_ms));
  return order === 'descend' ? -by : by;
}

/** Phones and hubs: who carries them, when they were last heard of, and how to cut one off. */
export default function Devices() {
  const { t } = useTranslation();
  const devices = useDevices();
  const units = useUnits();
  const [lost, setLost] = useState<Device>();
  const [search, put] = useAddress();
  const words = search.get('text') ?? '';
  const now = devices.dataUpdatedAt;
  const unitName = (device: Device) => units.data?.find((known) => known.code === device.unit)?.name ?? device.unit;
  const found = devices.data?.filter((device) => [device.user_name, device.name, unitName(device)].some((text) => text.toLowerCase().includes(words.trim().toLowerCase())));
  const columns: TableColumnsType<Device> = [
    { key: 'user', title: t('device.user'), dataIndex: 'user_name', sorter: (one, other) => one.user_name.localeCompare(other.user_name, 'zh') },
    { key: 'name', title: t('device.name'), dataIndex: 'name' },
    { key: 'unit', title: t('column.unit'), render: (_, device) => unitName(device) },
    { key: 'standing', title: t('device.standing'), render: (_, device) => <Standing device={device} now={now} /> },
    {
      key: 'contact', title: t('device.contact'), defaultSortOrder: 'ascend', render: (_, device) => moment(device.last_contact_ms),
      // The longest silent on top; what is revoked is silent for good.
      sorter: (one, other, order) => revokedLast(one, other, order) || (one.last_contact_ms ?? 0) - (other.last_contact_ms ?? 0),
    },
    { key: 'clock', title: t('device.clock'), render: (_, device) => <Clock skewMs={device.clock_skew_ms} /> },
    { key: 'to_send', title: t('device.to_send'), align: 'right', render: (_, device) => device.to_send ?? t('device.to_send_unknown') },
    { key: 'enrolled', title: t('device.enrolled'), render: (_, device) => moment(device.enrolled_ms) },
    {
      key: 'act', title: t('device.act'),
      render: (_, device) =>
        !device.revoked_ms && (
          <Button danger onClick={() => setLost(device)} aria-label={t('device.revoke_of', { name: device.user_name })}>
            {t('device.revoke')}
          </Button>
        ),
    },
  ];
  if (devices.error) return <Failed error={devices.error} again={() => void devices.refetch()} />;
  return (
    <>
      <h1>{t('nav.devices')}</h1>
      <div className="filters" role="search">
        <SearchBox text={words} hint={t('device.search')} change={(text) => put({ text })} />
      </div>
      <Table<Device> className="plain-table" size="small" rowKey="id" columns={columns} dataSource={found} loading={!devices.data} pagination={{ pageSize: 100, hideOnSinglePage: true }}
        showSorterTooltip={false} locale={{ emptyText: t(devices.data?.length ? 'device.none_found' : 'device.none') }} />
      {lost && <Revoke device={lost} close={() => setLost(undefined)} />}
    </>
  );
}

function Standing({ device, now }: { device: Device; now: number }) {
  const { t } = useTranslation();
  const found = standing(device, now);
  const signs = { revoked: '✕', never: '○', stale: '⚠', in_use: '✓' };
  return (
    <span className={found === 'stale' ? 'warn' : undefined}>
      <span aria-hidden="true">{signs[found]}</span> {t(`device.${found}`, { days: STALE_DAYS })}
    </span>
  );
}

function Clock({ skewMs }: { skewMs: number | null | undefined }) {
  const { t } = useTranslation();
  if (skewMs === null || skewMs === undefined) return <>—</>;
  const minutes = Math.round(Math.abs(skewMs) / 60_000);
  if (Math.abs(skewMs) <= CLOCK_TOLERANCE_MS) return <>{t('device.clock_right')}</>;
  return <span className="warn">{t(skewMs > 0 ? 'device.clock_fast' : 'device.clock_slow', { minutes })}</span>;
}

/** Cutting a device off cannot be taken back: its user's name is typed first. */
function Revoke({ device, close }: { device: Device; close: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [typed, setTyped] = useState('');
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const revoke = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await answer(api.POST('/devices/{id}/revoke', { params: { path: { id: device.id } } }));
      await queryClient.invalidateQueries({ queryKey: ['devices'] });
      message.success(t('device.revoked_done'));
      close();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const sure = typed.trim() === device.user_name;
  return (
    <Modal open afterOpenChange={focusOnOpen('revoke-name')} title={t('device.revoke_title', { name: device.name })} onCancel={close} okText={t('device.revoke')} confirmLoading={busy} closable={{ 'aria-label': t('close') }}
      okButtonProps={{ danger: true, disabled: !sure }} onOk={() => void revoke()}>
      <p>{t('device.revoke_text')}</p>
      <Form layout="vertical">
        <Form.Item label={t('device.type_name', { name: device.user_name })} htmlFor="revoke-name">
          <Input id="revoke-name" autoFocus value={typed} onChange={(event) => setTyped(event.target.value)} onPressEnter={() => sure && void revoke()} />
        </Form.Item>
      </Form>
      {error !== undefined && <Failed error={error} />}
    </Modal>
  );
}
