import { App, Button, Modal, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

import { answer, api, type Shapes } from '../api/client';
import { useKind } from '../api/queries';
import { pick, type Key } from '../i18n';
import { focusOnOpen } from '../logic/focus';
import { fatesOf, oldestFirst, reasonKey, type Fate } from '../logic/quarantine';
import { moment } from '../logic/values';
import { Failed } from './failed';
import { Picked } from './many';
import { listedAnswers, rowTitle } from './related';

type Item = Shapes['QuarantineItem'];
type Result = Shapes['FateBody'];

const WORDS: Record<Fate, Key> = { admit: 'quarantine.admit', leave: 'quarantine.leave', take_up: 'quarantine.take_up' };
const SURE = 'quarantine-many-sure';

/** Whose record it is: as it is here, else as the change itself would begin it. */
export function Whose({ item }: { item: Item }) {
  const { t } = useTranslation();
  const form = useKind(item.kind).data;
  const name = item.here ? rowTitle(form, { id: item.record, values: item.values }) : listedAnswers(form, item.values);
  return (
    <>
      {name || t('quarantine.not_here')}
      <div className="by">{pick(form?.titles, item.kind)}</div>
      {!item.here && name && <div className="by">{t('quarantine.not_here')}</div>}
    </>
  );
}

interface Props {
  picked: Item[];
  /** They were put away. */
  left: boolean;
  /** After a decision: the lists are to be asked for again. */
  decided: () => Promise<void>;
  clear: () => void;
}

/** One decision on all changes that were picked, with a result for each. */
export function QuarantineMany({ picked, left, decided, clear }: Props) {
  const { t } = useTranslation();
  const [asking, setAsking] = useState<Fate>();
  if (picked.length === 0 && !asking) return null;
  return (
    <>
      <span role="status">{t('quarantine.picked', { count: picked.length })}</span>
      {fatesOf(left).map((fate) => (
        <Button key={fate} type={fate === 'admit' ? 'primary' : 'default'} onClick={() => setAsking(fate)}>
          {t(WORDS[fate])}…
        </Button>
      ))}
      <Button type="link" onClick={clear}>
        {t('many.clear')}
      </Button>
      {asking && <Ask fate={asking} picked={picked} decided={decided} close={() => { setAsking(undefined); clear(); }} cancel={() => setAsking(undefined)} />}
    </>
  );
}

interface AskProps {
  fate: Fate;
  picked: Item[];
  decided: () => Promise<void>;
  /** After a decision: what was picked is done with. */
  close: () => void;
  cancel: () => void;
}

function Ask({ fate, picked, decided, close, cancel }: AskProps) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  // The list behind lets go of what is decided: what was picked stays what it was.
  const [rows] = useState(() => oldestFirst(picked));
  const [results, setResults] = useState<Result[]>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const decide = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      const told = await answer(api.POST('/quarantine/decisions', { body: { decision: fate, ids: rows.map(({ id }) => id) } }));
      setResults(told);
      message.success(t('quarantine.done', { done: told.filter(({ done }) => done).length, of: rows.length }));
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
      await decided();
    }
  };
  const columns: TableColumnsType<Item> = [
    { key: 'record', title: t('many.record'), render: (_, item) => <Whose item={item} /> },
    { key: 'from', title: t('quarantine.from'), width: 90, dataIndex: 'user_name' },
    { key: 'received', title: t('column.received'), width: 132, render: (_, item) => moment(item.received_ms) },
    { key: 'reason', title: t('quarantine.why'), render: (_, item) => t(reasonKey(item.reason)) },
  ];
  return (
    <Modal
      open afterOpenChange={focusOnOpen(SURE)} width={860} title={t(`quarantine.many.${fate}`, { count: rows.length })} onCancel={results ? close : cancel} closable={{ 'aria-label': t('close') }}
      confirmLoading={busy} okText={results ? t('close') : t(WORDS[fate])} okButtonProps={{ id: SURE }} cancelButtonProps={{ style: results && { display: 'none' } }} onOk={results ? close : () => void decide()}
    >
      {fate === 'admit' && !results && <p>{t('quarantine.along')}</p>}
      {error !== undefined && <Failed error={error} />}
      <Picked<Item> rows={rows} columns={columns} results={results} />
    </Modal>
  );
}
