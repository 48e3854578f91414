import { Button, Modal, Table, type TableColumnsType } from 'antd';
import { useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { addStaff, previewStaff, ROLES } from '../api/people';
import type { Shapes } from '../api/client';
import { enumerated } from '../i18n';
import { save } from '../logic/save';
import { Failed } from './failed';
import { roleKey } from './person-dialogs';
import { LinkDays, Sheet, SHEET_DAYS, useSheet } from './sheet';

type Row = Shapes['StaffRow'];
type Added = Shapes['InvitedBody'];

/** People of a whole county from a list: looked at first, added all or none, and a sheet of invitations to print. */
export function StaffList({ close }: { close: () => void }) {
  const { t } = useTranslation();
  const input = useRef<HTMLInputElement>(null);
  const [rows, setRows] = useState<Row[]>();
  const [added, setAdded] = useState<Added[]>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [adding, setAdding] = useState(false);
  const [days, setDays] = useState(SHEET_DAYS);
  const { print, leave } = useSheet(added !== undefined, close);
  const work = async (call: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await call();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const read = (file: File | undefined): void => {
    if (file) void work(async () => setRows(await previewStaff(file)));
    // The same file, mended, is chosen again.
    if (input.current) input.current.value = '';
  };
  const fresh = (rows ?? []).filter((row) => row.outcome === 'new');
  const wrong = (rows ?? []).filter((row) => row.outcome === 'error').length;
  const add = async (): Promise<void> => {
    setAdding(true);
    await work(async () => setAdded(await addStaff(fresh.map(({ name, login, unit, role }) => ({ name, login, unit, role })), days)));
    setAdding(false);
  };
  // Whoever left now would never see what the server is about to answer.
  const cancel = () => { if (!adding) leave(); };
  const footer = added ? (
    <>
      <Button onClick={leave}>{t('close')}</Button>
      <Button type="primary" onClick={print}>
        {t('staff.print')}
      </Button>
    </>
  ) : (
    <>
      <Button disabled={adding} onClick={cancel}>{t('staff.cancel')}</Button>
      <Button type="primary" loading={busy} disabled={fresh.length === 0 || wrong > 0} onClick={() => void add()}>
        {t('staff.add', { count: fresh.length })}
      </Button>
    </>
  );
  return (
    <Modal open width={820} title={t('people.staff')} onCancel={cancel} footer={footer} closable={{ 'aria-label': t('close') }} mask={{ closable: false }}>
      {!added && (
        <>
          <p>{t('staff.about', { roles: enumerated(ROLES.map((role) => t(roleKey(role)))) })}</p>
          <Button loading={busy} onClick={() => input.current?.click()}>
            {t('staff.choose')}
          </Button>
          <Button type="link" onClick={() => save(new Blob([`\uFEFF${t('staff.sample_head')}\r\n`], { type: 'text/csv' }), t('staff.sample_name'))}>
            ↓ {t('staff.sample')}
          </Button>
          <input ref={input} type="file" hidden accept=".csv,.xlsx" aria-label={t('staff.choose')} onChange={(event) => read(event.target.files?.[0])} />
          {rows && <Preview rows={rows} fresh={fresh.length} wrong={wrong} />}
          {fresh.length > 0 && <LinkDays days={days} change={setDays} />}
        </>
      )}
      {error !== undefined && <Failed error={error} />}
      {added && <p>{t('staff.added', { count: added.length })}</p>}
      {added && <Sheet people={added} />}
    </Modal>
  );
}

/** What would become of the list, and each of its rows, what is wrong first. */
function Preview({ rows, fresh, wrong }: { rows: Row[]; fresh: number; wrong: number }) {
  const { t } = useTranslation();
  const weight = { error: 0, new: 1, exists: 2 } as Record<string, number>;
  const columns: TableColumnsType<Row> = [
    { key: 'row', title: t('staff.row'), width: 60, align: 'right', dataIndex: 'row' },
    { key: 'name', title: t('people.name'), width: 110, dataIndex: 'name' },
    { key: 'login', title: t('people.login'), width: 120, render: (_, row) => row.login || t('staff.drawn') },
    { key: 'unit', title: t('column.unit'), render: (_, row) => row.unit_name || row.unit },
    { key: 'role', title: t('people.role'), width: 110, render: (_, row) => (row.reason === 'role_unknown' ? row.role : t(roleKey(row.role))) },
    {
      key: 'outcome', title: t('many.outcome'), width: 220,
      render: (_, row) => (row.outcome === 'error' ? <span className="warn">✕ {row.message ?? row.reason}</span> : t(row.outcome === 'new' ? 'staff.new' : 'staff.exists')),
    },
  ];
  const sorted = [...rows].sort((one, other) => (weight[one.outcome] ?? 0) - (weight[other.outcome] ?? 0) || one.row - other.row);
  return (
    <>
      <p role="status">{t('staff.counts', { fresh, known: rows.length - fresh - wrong, wrong })}</p>
      {wrong > 0 && <p className="warn">{t('staff.mend')}</p>}
      <Table<Row> size="small" rowKey="row" columns={columns} dataSource={sorted} pagination={{ pageSize: 50, hideOnSinglePage: true }} scroll={{ y: 320 }} />
    </>
  );
}
