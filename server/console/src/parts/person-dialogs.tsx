import { Alert, Button, Checkbox, Form, Input, Modal, Select } from 'antd';
import { useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { addPerson, enrol, ROLES, setRoles, transfer, type Grant, type Person } from '../api/people';
import type { Shapes } from '../api/client';
import type { Key } from '../i18n';
import { focusOnOpen } from '../logic/focus';
import { moment } from '../logic/values';
import { Failed } from './failed';
import { UnitPicker } from './record-filters';
import { LinkDays } from './sheet';
import { Wait } from './wait';

/** Days for which a link works that is shown on the screen, unless another number is chosen. */
const LINK_DAYS = 1;

/** The catalogue's word for a role. */
export function roleKey(role: string): Key {
  return `role.${ROLES.find((known) => known === role) ?? 'field'}`;
}

interface Props {
  person: Person;
  close: () => void;
}

/** Sends something, and says what became of it. */
function useSending(close: () => void) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const send = async (call: () => Promise<unknown>): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await call();
      close();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, send };
}

/** Roles, each for a unit and all below. */
function Grants({ value, change }: { value: Grant[]; change: (grants: Grant[]) => void }) {
  const { t } = useTranslation();
  const put = (at: number, wanted: Partial<Grant>): void => change(value.map((grant, number) => (number === at ? { ...grant, ...wanted } : grant)));
  return (
    <div role="group" aria-label={t('people.roles')}>
      {value.map((grant, at) => (
        // Rows have nothing but their place.
        // oxlint-disable-next-line react/no-array-index-key
        <div key={at} className="grant">
          <Select aria-label={t('people.role')} value={grant.role} style={{ width: 150 }} onChange={(role) => put(at, { role })} options={ROLES.map((role) => ({ value: role, label: t(`role.${role}`) }))} />
          <UnitPicker must value={grant.unit || undefined} change={(unit) => put(at, { unit: unit ?? '' })} />
          <Button disabled={value.length === 1} onClick={() => change(value.filter((_, number) => number !== at))} aria-label={t('people.take_role', { role: t(roleKey(grant.role)) })}>
            ✕
          </Button>
        </div>
      ))}
      <Button type="link" onClick={() => change([...value, { role: 'field', unit: value[0]?.unit ?? '' }])}>
        + {t('people.more_roles')}
      </Button>
    </div>
  );
}

const whole = (grants: Grant[]): boolean => grants.length > 0 && grants.every((grant) => grant.unit !== '');

/** A new user. */
export function AddPerson({ close, show }: { close: () => void; show: (shown: { person: string; password: string }) => void }) {
  const { t } = useTranslation();
  const { busy, error, send } = useSending(close);
  const [name, setName] = useState('');
  const [login, setLogin] = useState('');
  const [unit, setUnit] = useState<string>();
  const [roles, setGrants] = useState<Grant[]>([{ role: 'field', unit: '' }]);
  const choose = (code: string | undefined): void => {
    // Most roles are for the unit that somebody belongs to.
    setGrants(roles.map((grant) => (grant.unit === '' || grant.unit === unit ? { ...grant, unit: code ?? '' } : grant)));
    setUnit(code);
  };
  const add = () =>
    send(async () => {
      const { password } = await addPerson({ name: name.trim(), login: login.trim() || null, unit: unit ?? '', roles, password: null });
      if (password) show({ person: name.trim(), password });
    });
  return (
    <Modal open afterOpenChange={focusOnOpen('person-name')} title={t('people.add')} onCancel={close} okText={t('people.add')} confirmLoading={busy} closable={{ 'aria-label': t('close') }}
      okButtonProps={{ disabled: name.trim() === '' || !unit || !whole(roles) }} onOk={() => void add()}>
      <Form layout="vertical">
        <Form.Item label={t('people.name')} htmlFor="person-name">
          <Input id="person-name" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} />
        </Form.Item>
        <Form.Item label={t('people.login')} htmlFor="person-login" extra={t('people.login_hint')}>
          <Input id="person-login" value={login} maxLength={64} autoComplete="off" onChange={(event) => setLogin(event.target.value)} />
        </Form.Item>
        <Form.Item label={t('column.unit')}>
          <UnitPicker must value={unit} change={choose} />
        </Form.Item>
        <Form.Item label={t('people.roles')}>
          <Grants value={roles} change={setGrants} />
        </Form.Item>
      </Form>
      {error !== undefined && <Failed error={error} />}
    </Modal>
  );
}

/** All roles of a person, as they are to be. */
export function Roles({ person, close }: Props) {
  const { t } = useTranslation();
  const { busy, error, send } = useSending(close);
  const [roles, setGrants] = useState<Grant[]>(person.roles.length > 0 ? person.roles : [{ role: 'field', unit: person.unit }]);
  return (
    <Modal open title={t('people.roles_of', { name: person.name })} onCancel={close} okText={t('people.save')} confirmLoading={busy} closable={{ 'aria-label': t('close') }} okButtonProps={{ disabled: !whole(roles) }}
      onOk={() => void send(() => setRoles(person.id, roles))}>
      <p>{t('people.roles_text')}</p>
      <Grants value={roles} change={setGrants} />
      {error !== undefined && <Failed error={error} />}
    </Modal>
  );
}

/** A person goes to another unit. */
export function Transfer({ person, close }: Props) {
  const { t } = useTranslation();
  const { busy, error, send } = useSending(close);
  const [unit, setUnit] = useState<string>();
  const [keep, setKeep] = useState(person.devices > 0);
  return (
    <Modal open title={t('people.transfer_of', { name: person.name, unit: person.unit_name })} onCancel={close} okText={t('people.transfer')} confirmLoading={busy} closable={{ 'aria-label': t('close') }}
      okButtonProps={{ disabled: !unit || unit === person.unit }} onOk={() => void send(() => transfer(person.id, { unit: unit ?? '', keep_roles: keep }))}>
      <Form layout="vertical">
        <Form.Item label={t('people.new_unit')}>
          <UnitPicker must value={unit} change={setUnit} />
        </Form.Item>
        <Checkbox checked={keep} onChange={(event) => setKeep(event.target.checked)}>
          {t('people.keep_roles')}
        </Checkbox>
        <p className="by">{t('people.transfer_text')}</p>
      </Form>
      {error !== undefined && <Failed error={error} />}
    </Modal>
  );
}

/** A link for one device, shown once. */
export function Invitation({ person, close }: Props) {
  const { t } = useTranslation();
  const [made, setMade] = useState<Shapes['EnrolmentBody']>();
  const [error, setError] = useState<unknown>();
  const [days, setDays] = useState(LINK_DAYS);
  useEffect(() => {
    let late = false;
    const told = (tell: () => void): void => { if (!late) tell(); };
    enrol(person.id, days).then((one) => told(() => { setMade(one); setError(undefined); }), (failure: unknown) => told(() => setError(failure)));
    return () => { late = true; };
  }, [person.id, days]);
  return (
    <Modal open title={t('people.enrolment_of', { name: person.name })} onCancel={close} footer={<Button type="primary" onClick={close}>{t('close')}</Button>} closable={{ 'aria-label': t('close') }}>
      {error !== undefined && <Failed error={error} />}
      {!made && error === undefined && <Wait />}
      {made && (
        <>
          <p>{t('people.enrolment_text', { time: moment(made.expires_ms) })}</p>
          <img className="qr" src={`data:image/svg+xml,${encodeURIComponent(made.qr_svg)}`} alt={t('people.qr', { name: person.name })} />
          <Input.TextArea readOnly aria-label={t('people.link')} rows={3} value={made.link} onFocus={(event) => event.target.select()} />
          <LinkDays days={days} change={setDays} />
        </>
      )}
    </Modal>
  );
}

/** A password that is shown only now. */
export function OnePassword({ person, password, close }: { person: string; password: string; close: () => void }) {
  const { t } = useTranslation();
  return (
    <Modal open title={t('people.password_of', { name: person })} onCancel={close} footer={<Button type="primary" onClick={close}>{t('people.noted')}</Button>} closable={{ 'aria-label': t('close') }} mask={{ closable: false }}>
      <p className="secret">{password}</p>
      <Alert type="info" title={t('people.password_text')} />
    </Modal>
  );
}
