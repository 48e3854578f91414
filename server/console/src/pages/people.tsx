import { App, Button, Dropdown, Table, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import { disable, resetFactor, resetPassword, usePeople, type Person } from '../api/people';
import { useUnits } from '../api/queries';
import { enumerated } from '../i18n';
import { useAddress } from '../logic/address';
import { moment } from '../logic/values';
import { Failed, sentence } from '../parts/failed';
import { AddPerson, Invitation, OnePassword, Roles, roleKey, Transfer } from '../parts/person-dialogs';
import { Pager } from '../parts/pager';
import { SearchBox, UnitPicker } from '../parts/record-filters';
import { NewSheet } from '../parts/new-sheet';
import { StaffList } from '../parts/staff-list';

type Doing = 'add' | 'staff' | 'sheet' | 'roles' | 'transfer' | 'enrolment';

/** Users, what they may do, and how their phones get in. */
export default function People() {
  const { t } = useTranslation();
  const [search, put] = useAddress();
  const [doing, setDoing] = useState<{ what: Doing; person?: Person }>();
  const [password, setPassword] = useState<{ person: string; password: string }>();
  const asked = (name: string) => search.get(name) ?? undefined;
  const list = usePeople({ unit: asked('unit'), text: asked('text'), after: asked('after') });
  if (list.error && !list.data) return <Failed error={list.error} again={() => void list.refetch()} />;
  const close = (): void => setDoing(undefined);
  const next = list.data?.next ?? undefined;
  const { person } = doing ?? {};
  return (
    <>
      <h1>{t('nav.people')}</h1>
      <div className="filters" role="search">
        <SearchBox text={asked('text') ?? ''} hint={t('people.search')} change={(text) => put({ text, after: undefined })} />
        <UnitPicker value={asked('unit')} change={(unit) => put({ unit, after: undefined })} />
        <Button type="primary" onClick={() => setDoing({ what: 'add' })}>
          {t('people.add')}
        </Button>
        <Button onClick={() => setDoing({ what: 'staff' })}>{t('people.staff')}</Button>
        <Button onClick={() => setDoing({ what: 'sheet' })}>{t('people.new_sheet')}</Button>
      </div>
      <PeopleTable people={list.data?.users} act={(what, one) => setDoing({ what, person: one })} show={setPassword} />
      <Pager first={asked('after') !== undefined && (() => put({ after: undefined }))} next={next !== undefined && (() => put({ after: next }))} />
      {doing?.what === 'add' && <AddPerson close={close} show={setPassword} />}
      {doing?.what === 'staff' && <StaffList close={close} />}
      {doing?.what === 'sheet' && <NewSheet unit={asked('unit')} close={close} />}
      {person && doing?.what === 'roles' && <Roles person={person} close={close} />}
      {person && doing?.what === 'transfer' && <Transfer person={person} close={close} />}
      {person && doing?.what === 'enrolment' && <Invitation person={person} close={close} />}
      {password && <OnePassword {...password} close={() => setPassword(undefined)} />}
    </>
  );
}

interface TableProps {
  people: Person[] | undefined;
  act: (what: Doing, person: Person) => void;
  show: (shown: { person: string; password: string }) => void;
}

function PeopleTable({ people, act, show }: TableProps) {
  const { t } = useTranslation();
  const units = useUnits();
  const unitName = (code: string) => units.data?.find((unit) => unit.code === code)?.name ?? code;
  const columns: TableColumnsType<Person> = [
    { key: 'name', title: t('people.name'), dataIndex: 'name', width: 110 },
    { key: 'login', title: t('people.login'), dataIndex: 'login', width: 140 },
    { key: 'unit', title: t('column.unit'), dataIndex: 'unit_name', width: 150 },
    {
      key: 'roles', title: t('people.roles'),
      render: (_, person) => (person.disabled ? <span className="warn">✕ {t('people.disabled')}</span> : enumerated(person.roles.map((held) => t('log.role_at', { role: t(roleKey(held.role)), unit: unitName(held.unit) })))),
    },
    { key: 'factor', title: t('people.factor'), width: 90, render: (_, person) => t(person.second_factor ? 'people.factor_set' : 'people.factor_none') },
    {
      key: 'devices', title: t('people.devices'), width: 150, align: 'right',
      render: (_, person) => (person.link_until_ms ? <>{person.devices}<div className="by">{t('people.link_until', { time: moment(person.link_until_ms).slice(0, 10) })}</div></> : person.devices),
    },
    { key: 'contact', title: t('device.contact'), width: 140, render: (_, person) => moment(person.last_contact_ms) },
    { key: 'act', title: t('device.act'), width: 100, render: (_, person) => person.manageable && <Acts person={person} act={act} show={show} /> },
  ];
  return <Table<Person> className="plain-table" size="small" rowKey="id" columns={columns} dataSource={people} loading={!people} pagination={false} locale={{ emptyText: t('people.none') }} />;
}

/** What can be done about one person. */
function Acts({ person, act, show }: Omit<TableProps, 'people'> & { person: Person }) {
  const { t } = useTranslation();
  const { message, modal } = App.useApp();
  const run = async (call: () => Promise<unknown>, said: string): Promise<void> => {
    try {
      const done = await call();
      if (typeof done === 'object' && done !== null && 'password' in done) show({ person: person.name, password: String(done.password) });
      else message.success(said);
    } catch (error) {
      message.error(sentence(error));
    }
  };
  const sure = (text: string, call: () => Promise<unknown>, said: string): void =>
    void modal.confirm({ title: text, content: t('people.sure_text'), okButtonProps: { danger: true }, onOk: () => run(call, said) });
  const click = (key: string): void => {
    if (key === 'roles' || key === 'transfer' || key === 'enrolment') act(key, person);
    if (key === 'password') sure(t('people.sure_password', { name: person.name }), () => resetPassword(person.id), '');
    if (key === 'factor') sure(t('people.sure_factor', { name: person.name }), () => resetFactor(person.id), t('people.factor_reset'));
    if (key === 'disable') sure(t('people.sure_disable', { name: person.name }), () => disable(person.id), t('people.disabled_done'));
  };
  const items = [
    { key: 'enrolment', label: t('people.enrolment'), disabled: person.disabled },
    { key: 'roles', label: t('people.change_roles') },
    { key: 'transfer', label: t('people.transfer') },
    { key: 'password', label: t('people.reset_password'), disabled: person.disabled },
    { key: 'factor', label: t('people.reset_factor'), disabled: !person.second_factor },
    { key: 'disable', label: t('people.disable'), danger: true, disabled: person.disabled },
  ];
  return (
    <Dropdown menu={{ items, onClick: ({ key }) => click(key) }} trigger={['click']}>
      <Button aria-label={t('people.act_on', { name: person.name })}>{t('people.act')} ▾</Button>
    </Dropdown>
  );
}
