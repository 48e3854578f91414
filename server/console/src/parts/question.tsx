import { useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { boxAnswer, boxText, chosenOf, isWrong, STAND_INS, titleOf, toggled, type Question, type Step } from '../logic/trial';
import { isMoney, yuan, type Answer, type Field } from '../logic/values';

/** More choices than this are a list to open, as on a phone. */
const OPEN_CHOICES_MAX = 12;

/** What a question needs to know of the trial that it is part of. */
export interface Filling {
  /** Why the last answers were not taken, by path. */
  refused: Map<string, string>;
  /** The answer that was just given, while the server works on it. */
  pending: { path: string; value: Answer } | undefined;
  /** The screen was left: what is missing on it is said. */
  left: boolean;
  /** Counts up where steps are taken back: what was typed and not taken goes too. */
  turn: number;
  take: (step: Step) => void;
}

interface Props {
  question: Question;
  filling: Filling;
}

/** One entry of a screen: a heading, a repeat with its rows, or a question. */
export function Entry({ question, filling }: Props) {
  if (question.kind === 'group') return question.label ? <h3 className="phone-group">{question.label}</h3> : null;
  if (question.kind === 'repeat') return <Repeat question={question} take={filling.take} />;
  if (question.kind === 'row') return <Row question={question} take={filling.take} />;
  return <Asked question={question} filling={filling} />;
}

function Repeat({ question, take }: { question: Question; take: Filling['take'] }) {
  const { t } = useTranslation();
  const add = () => take({ add: question.path, ...(question.row ? { parent: question.row } : {}) });
  return (
    <div className="phone-repeat">
      <h3>
        {question.label} <span className="by">{t('trial.rows', { count: question.rows })}</span>
      </h3>
      {!question.counted && (
        <button type="button" onClick={add} aria-label={t('trial.add_to', { name: question.label })}>
          + {t('trial.add')}
        </button>
      )}
    </div>
  );
}

function Row({ question, take }: { question: Question; take: Filling['take'] }) {
  const { t } = useTranslation();
  const remove = () => take({ remove: question.path, row: question.row ?? '' });
  return (
    <div className="phone-row">
      <h4>{titleOf(question)}</h4>
      <button type="button" onClick={remove} aria-label={t('trial.remove_of', { name: titleOf(question) })}>
        ✕ {t('trial.remove')}
      </button>
    </div>
  );
}

const idOf = (question: Question, part: string): string => `trial-${part}-${question.path.replace(/\s/g, '_')}`;

function Asked({ question, filling }: Props) {
  const { t } = useTranslation();
  if (question.field_type === 'note') return <p className="phone-note">{question.label}</p>;
  const refused = filling.refused.get(question.path);
  const wrong = refused ?? (isWrong(question, filling.left) ? question.error : undefined);
  const grouped = isGrouped(question) && !question.read_only;
  const Around = grouped ? 'fieldset' : 'div';
  const Name = grouped ? 'legend' : 'label';
  return (
    <Around className={wrong ? 'phone-question wrong' : 'phone-question'} aria-describedby={grouped ? describedBy(question, wrong) : undefined}>
      <Name htmlFor={grouped ? undefined : idOf(question, 'box')}>
        {question.label || question.path}
        {question.required && <span className="phone-required" title={t('trial.required')}> *</span>}
      </Name>
      {question.hint && <div className="by" id={idOf(question, 'hint')}>{question.hint}</div>}
      {question.guidance && (
        <details className="by">
          <summary>{t('trial.guidance')}</summary>
          {question.guidance}
        </details>
      )}
      <Control question={question} filling={filling} described={describedBy(question, wrong)} invalid={Boolean(wrong)} />
      {wrong && <div className="mark-problem" id={idOf(question, 'error')}>! {wrong}</div>}
    </Around>
  );
}

function describedBy(question: Question, wrong: string | null | undefined): string | undefined {
  const parts = [question.hint && idOf(question, 'hint'), wrong && idOf(question, 'error')].filter(Boolean);
  return parts.length > 0 ? parts.join(' ') : undefined;
}

const isMinimal = (question: Question): boolean => /\bminimal\b/.test(question.appearance) || question.choices.length > OPEN_CHOICES_MAX;

/** Whether the control is several boxes under one name. */
function isGrouped(question: Question): boolean {
  if (['select_multiple', 'rank', 'acknowledge'].includes(question.field_type ?? '')) return true;
  return question.field_type === 'select_one' && !isMinimal(question);
}

interface ControlProps extends Props {
  described: string | undefined;
  invalid: boolean;
}

function Control(props: ControlProps) {
  const { question } = props;
  if (question.read_only) return <output id={idOf(question, 'box')}>{boxText(question) || '—'}</output>;
  switch (question.field_type) {
    case 'select_one':
      return isMinimal(question) ? <List {...props} /> : <Choices {...props} />;
    case 'select_multiple':
      return <Choices {...props} />;
    case 'rank':
      return <Choices {...props} />;
    case 'acknowledge':
      return <Acknowledge {...props} />;
    case 'blob':
    case 'geopoint':
    case 'geotrace':
    case 'geoshape':
      return <StandIn {...props} />;
    default:
      return <Box key={props.filling.turn} {...props} />;
  }
}

/** The answer that stands, or the one that was just given. */
function answerOf({ question, filling }: Props): Answer {
  return filling.pending?.path === question.path ? filling.pending.value : question.value;
}

function List({ question, filling, described, invalid }: ControlProps) {
  const { t } = useTranslation();
  const value = answerOf({ question, filling });
  return (
    <select
      id={idOf(question, 'box')} value={typeof value === 'string' ? value : ''} aria-describedby={described} aria-invalid={invalid}
      onChange={(event) => filling.take({ set: question.path, value: event.target.value || null })}
    >
      <option value="">{t('trial.choose')}</option>
      {question.choices.map((choice) => (
        <option key={choice.name} value={choice.name}>
          {choice.label || choice.name}
        </option>
      ))}
    </select>
  );
}

function Choices({ question, filling, invalid }: ControlProps) {
  const { t } = useTranslation();
  const value = answerOf({ question, filling });
  const one = question.field_type === 'select_one';
  const ranked = question.field_type === 'rank';
  const chosen = chosenOf(value);
  const names = question.choices.map((choice) => choice.name);
  const pick = (name: string): void => {
    // Ranked answers keep the order of the clicks.
    const order = ranked ? [...chosen.filter((known) => known !== name), name] : names;
    filling.take({ set: question.path, value: one ? name : toggled(chosen, name, order) });
  };
  return (
    <div className="phone-choices">
      {question.choices.length === 0 && <div className="by">{t('trial.no_choices')}</div>}
      {question.choices.map((choice) => (
        <label key={choice.name}>
          <input type={one ? 'radio' : 'checkbox'} name={idOf(question, 'choice')} checked={chosen.includes(choice.name)} aria-invalid={one ? undefined : invalid}
            onChange={() => pick(choice.name)} />
          <span>
            {choice.label || choice.name}
            {ranked && chosen.includes(choice.name) && <strong> · {chosen.indexOf(choice.name) + 1}</strong>}
          </span>
        </label>
      ))}
      {one && chosen.length > 0 && !question.required && (
        <button type="button" className="phone-link" onClick={() => filling.take({ set: question.path, value: null })}>
          {t('trial.clear')}
        </button>
      )}
    </div>
  );
}

function Acknowledge({ question, filling, invalid }: ControlProps) {
  const { t } = useTranslation();
  const checked = ['OK', true].includes(answerOf({ question, filling }) as string | boolean);
  return (
    <div className="phone-choices">
      <label>
        <input type="checkbox" checked={checked} aria-invalid={invalid} onChange={() => filling.take({ set: question.path, value: checked ? null : 'OK' })} />
        <span>{t('trial.acknowledge')}</span>
      </label>
    </div>
  );
}

/** What only a phone can record: an example takes its place. */
function StandIn({ question, filling }: ControlProps) {
  const { t } = useTranslation();
  const text = boxText(question);
  const value = text === '' ? STAND_INS[question.field_type ?? ''] : null;
  return (
    <div className="phone-stand-in">
      <span>{text || t('trial.on_phone')}</span>
      <button type="button" id={idOf(question, 'box')} onClick={() => filling.take({ set: question.path, value })}>
        {t(text === '' ? 'trial.example' : 'trial.clear')}
      </button>
    </div>
  );
}

const INPUT_TYPES: Record<string, string> = { date: 'date', time: 'time', datetime: 'datetime-local' };
const ANSWER_CHARS_MAX = 4_000;

function Box({ question, filling, described, invalid }: ControlProps) {
  const stored = boxText(question);
  const [typed, setTyped] = useState(stored);
  useEffect(() => setTyped(stored), [stored]);
  const commit = (): void => {
    if (typed !== stored) filling.take({ set: question.path, value: boxAnswer(question, typed) });
  };
  const shared = {
    id: idOf(question, 'box'), value: typed, onBlur: commit, 'aria-describedby': described, 'aria-invalid': invalid, maxLength: ANSWER_CHARS_MAX,
  };
  if (/\bmultiline\b/.test(question.appearance)) return <textarea rows={3} {...shared} onChange={(event) => setTyped(event.target.value)} />;
  const type = INPUT_TYPES[question.field_type ?? ''] ?? 'text';
  const numeric = ['integer', 'decimal'].includes(question.field_type ?? '');
  return (
    <>
      <input type={type} inputMode={numeric ? 'decimal' : undefined} {...shared} onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => event.key === 'Enter' && commit()} autoComplete="off" />
      <Money question={question} />
    </>
  );
}

/** Forms count money in fen: what that is in yuan. */
function Money({ question }: { question: Question }) {
  const counted = isMoney({ unit: question.unit, field_type: question.field_type, label: { asked: question.label } } as unknown as Field);
  const value: Answer = question.value;
  return counted && typeof value === 'number' ? <div className="by">= {yuan(value)}</div> : null;
}
