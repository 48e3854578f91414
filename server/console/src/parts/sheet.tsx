import { App, Select } from 'antd';
import { useEffect, useState } from 'react';
import { createPortal } from 'react-dom';
import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { enumerated } from '../i18n';
import { moment } from '../logic/values';
import { roleKey } from './person-dialogs';

/** Days for which a link can work: the server takes 1 to 30. */
const DAYS = [1, 3, 7, 14, 30];
/** Days for which the links of a printed sheet work unless another number is chosen. */
export const SHEET_DAYS = 7;

/** For how long enrolment links work. */
export function LinkDays({ days, change }: { days: number; change: (days: number) => void }) {
  const { t } = useTranslation();
  return (
    <p style={{ marginTop: 10 }}>
      {t('sheet.days')}
      <Select<number> aria-label={t('sheet.days')} style={{ width: 110 }} value={days} onChange={change} options={DAYS.map((count) => ({ value: count, label: t('sheet.days_count', { count }) }))} />
    </p>
  );
}

/** Prints the sheet, and lets nobody leave by a slip before: its links and passwords are nowhere else. */
export function useSheet(made: boolean, close: () => void) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const [printed, setPrinted] = useState(false);
  useEffect(() => {
    // By the browser's own menu and keys too.
    const done = (): void => setPrinted(made);
    window.addEventListener('afterprint', done);
    return () => window.removeEventListener('afterprint', done);
  }, [made]);
  useEffect(() => {
    if (!made || printed) return;
    const stay = (event: BeforeUnloadEvent): void => {
      event.preventDefault();
      // Browsers of 2020 ask only where this is set.
      event.returnValue = '';
    };
    window.addEventListener('beforeunload', stay);
    return () => window.removeEventListener('beforeunload', stay);
  }, [made, printed]);
  const print = (): void => {
    setPrinted(true);
    window.print();
  };
  const leave = (): void => {
    if (!made || printed) return close();
    const ways = { page: t('nav.people'), sheet: t('people.new_sheet'), password: t('people.reset_password') };
    void modal.confirm({
      title: t('staff.unprinted'), content: t('staff.unprinted_text', ways), okText: t('staff.close_anyway'), okButtonProps: { danger: true },
      cancelText: t('staff.go_on'), focusable: { autoFocusButton: 'cancel' }, onOk: close,
    });
  };
  return { print, leave };
}

/** What is cut apart and handed out: a card for each person. On the screen it is not seen. */
export function Sheet({ people }: { people: Shapes['InvitedBody'][] }) {
  const { t } = useTranslation();
  return createPortal(
    <div className="sheet" aria-hidden="true">
      {people.map((person) => (
        <div key={person.id} className="sheet-card">
          <img src={`data:image/svg+xml,${encodeURIComponent(person.enrolment.qr_svg)}`} alt="" />
          <div>
            <strong>{person.name}</strong>
            <div>{person.unit_name}</div>
            <div>{enumerated(person.roles.map((role) => t(roleKey(role))))}</div>
            <div>{t('sheet.login', { login: person.login })}</div>
            {person.password && <div>{t('sheet.password', { password: person.password })}</div>}
            <div>{t('sheet.scan', { time: moment(person.enrolment.expires_ms) })}</div>
          </div>
        </div>
      ))}
    </div>,
    document.body,
  );
}
