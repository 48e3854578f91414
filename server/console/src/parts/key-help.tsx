import { Modal } from 'antd';
import { useTranslation } from 'react-i18next';

import type { Key } from '../i18n';
import type { MenuPage } from '../logic/menu';

type Help = [Key, [string, Key][]];

/** Shortcuts of lists and of records. */
const HELP: Help[] = [
  ['keys.list', [['j ↓', 'keys.next_row'], ['k ↑', 'keys.previous_row'], ['Enter', 'keys.open'], ['x', 'keys.pick'], ['/', 'keys.search'], ['n', 'keys.next_page'], ['p', 'records.back']]],
  ['keys.record', [
    ['j →', 'keys.next'], ['k ←', 'keys.previous'], ['a', 'keys.approve'], ['r', 'keys.return'], ['v', 'keys.void'],
    ['c', 'keys.conflict'], ['e', 'keys.empty'], ['t', 'keys.history'], ['n', 'keys.latest'], ['u', 'keys.up'],
  ]],
];

/** What each key does. */
export function KeyHelp({ pages, open, close }: { pages: MenuPage[]; open: boolean; close: () => void }) {
  const { t } = useTranslation();
  const everywhere: Help = ['keys.everywhere', [['?', 'keys.help'], ...pages.map(({ digit, label }): [string, Key] => [digit, label])]];
  return (
    <Modal open={open} onCancel={close} footer={null} title={t('keys.title')} width={620} closable={{ 'aria-label': t('close') }}>
      <div className="key-help">
        {[everywhere, ...HELP].map(([title, keys]) => (
          <section key={title}>
            <h2>{t(title)}</h2>
            <dl>
              {keys.map(([key, does]) => (
                <div key={key}>
                  <dt>
                    {key.split(' ').map((one) => (
                      <kbd key={one}>{one}</kbd>
                    ))}
                  </dt>
                  <dd>{t(does)}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Modal>
  );
}
