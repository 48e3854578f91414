import { Button, Modal, Table, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { enrolAll, useWithoutDevice, type Person } from '../api/people';
import { enumerated } from '../i18n';
import { moment } from '../logic/values';
import { Failed } from './failed';
import { roleKey } from './person-dialogs';
import { LinkDays, Sheet, SHEET_DAYS, useSheet } from './sheet';

/** Whoever visits families needs a phone; whoever decides at a desk may do without. */
const needsPhone = (person: Person): boolean => person.roles.some(({ role }) => role === 'field');

/** New links on a sheet for those who have no device yet: the old sheet was lost, or its links have run out. */
export function NewSheet({ unit, close }: { unit: string | undefined; close: () => void }) {
  const { t } = useTranslation();
  const list = useWithoutDevice(unit);
  const [picked, setPicked] = useState<string[]>();
  const [days, setDays] = useState(SHEET_DAYS);
  const [made, setMade] = useState<Shapes['InvitedBody'][]>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const { print, leave } = useSheet(made !== undefined, close);
  const people = (list.data ?? []).filter((person) => person.manageable);
  const ids = picked ?? people.filter(needsPhone).map((person) => person.id);
  const make = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      setMade(await enrolAll(ids, days));
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  // Whoever left now would never see what the server is about to answer.
  const cancel = () => { if (!busy) leave(); };
  const footer = made ? (
    <>
      <Button onClick={leave}>{t('close')}</Button>
      <Button type="primary" onClick={print}>
        {t('staff.print')}
      </Button>
    </>
  ) : (
    <>
      <Button disabled={busy} onClick={cancel}>{t('staff.cancel')}</Button>
      <Button type="primary" loading={busy} disabled={ids.length === 0} onClick={() => void make()}>
        {t('sheet.make', { count: ids.length })}
      </Button>
    </>
  );
  return (
    <Modal open width={820} title={t('people.new_sheet')} onCancel={cancel} footer={footer} closable={{ 'aria-label': t('close') }} mask={{ closable: false }}>
      {list.error && <Failed error={list.error} again={() => void list.refetch()} />}
      {!made && (
        <>
          <p>{t('sheet.about', { password: t('people.reset_password') })}</p>
          <Waiting people={list.data && people} ids={ids} pick={setPicked} />
          <LinkDays days={days} change={setDays} />
        </>
      )}
      {error !== undefined && <Failed error={error} />}
      {made && (
        <>
          <p>{t('sheet.made', { count: made.length })}</p>
          <Sheet people={made} />
        </>
      )}
    </Modal>
  );
}

interface WaitingProps {
  people: Person[] | undefined;
  ids: string[];
  pick: (ids: string[]) => void;
}

/** Who has no device. */
function Waiting({ people, ids, pick }: WaitingProps) {
  const { t } = useTranslation();
  const columns: TableColumnsType<Person> = [
    { key: 'name', title: t('people.name'), width: 110, dataIndex: 'name' },
    { key: 'login', title: t('people.login'), width: 140, dataIndex: 'login' },
    { key: 'unit', title: t('column.unit'), dataIndex: 'unit_name' },
    { key: 'roles', title: t('people.roles'), width: 150, render: (_, person) => enumerated([...new Set(person.roles.map(({ role }) => t(roleKey(role))))]) },
    { key: 'link', title: t('sheet.link_until'), width: 150, render: (_, person) => moment(person.link_until_ms) },
  ];
  return (
    <Table<Person> size="small" rowKey="id" columns={columns} dataSource={people} loading={!people} pagination={false} virtual scroll={{ y: 300, x: 740 }} locale={{ emptyText: t('sheet.none') }}
      rowSelection={{
        columnWidth: 48, selectedRowKeys: ids, onChange: (keys) => pick(keys.map(String)), getTitleCheckboxProps: () => ({ 'aria-label': t('sheet.pick_all') }),
        getCheckboxProps: (person) => ({ 'aria-label': t('sheet.pick', { name: person.name }) }),
      }} />
  );
}
