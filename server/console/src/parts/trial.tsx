import { Button, Select } from 'antd';
import { useEffect, useMemo, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Shapes } from '../api/client';
import { useRun, type Tried } from '../api/supervision';
import { languageName } from '../i18n';
import { computedOf, langOf, problemsOf, refusals, rowOf, screensOf, stepped, STEPS_MAX, titleOf, type Screen, type Step } from '../logic/trial';
import { Failed } from './failed';
import { Entry, type Filling } from './question';
import { Wait } from './wait';

/** A form being filled in, on whichever screen. */
function useTrial(tried: Tried) {
  const [steps, setSteps] = useState<Step[]>([]);
  const [language, setLanguage] = useState<string>();
  const [at, setAt] = useState(0);
  const [left, setLeft] = useState<ReadonlySet<number>>(new Set());
  const [turn, setTurn] = useState(0);
  const [wantedRow, setWantedRow] = useState<string>();
  const run = useRun(tried, language, steps);
  const [kept, setKept] = useState<Shapes['RunPage']>();
  useEffect(() => {
    if (run.data) setKept(run.data);
  }, [run.data]);
  // Where the server cannot be asked, the phone stays as it was.
  const page = run.data ?? kept;
  const screens = useMemo(() => screensOf(page?.questions ?? []), [page]);
  const current = Math.min(at, Math.max(0, screens.length - 1));
  useEffect(() => {
    if (wantedRow === undefined || run.isPlaceholderData) return;
    const found = screens.findIndex((screen) => screen.questions.some((question) => question.row === wantedRow));
    if (found >= 0) setAt(found);
    setWantedRow(undefined);
  }, [wantedRow, screens, run.isPlaceholderData]);
  const take = (step: Step): void => {
    const next = stepped(steps, step);
    setSteps(next);
    if ('add' in step) setWantedRow(rowOf(next));
  };
  const go = (to: number): void => {
    setLeft(new Set([...left, screens[current]?.number ?? 0]));
    setAt(to);
  };
  const back = (kept: Step[]): void => {
    setSteps(kept);
    setTurn(turn + 1);
  };
  const last = steps[steps.length - 1];
  const filling: Omit<Filling, 'left'> = {
    refused: refusals(steps, run.isPlaceholderData ? [] : (page?.refused ?? [])), turn, take,
    pending: run.isPlaceholderData && last && 'set' in last ? { path: last.set, value: last.value } : undefined,
  };
  return {
    run, page, screens, at: current, left, steps, filling, language, setLanguage, go,
    undo: () => back(steps.slice(0, -1)),
    anew: () => { back([]); setAt(0); setLeft(new Set()); },
    /** As at the end of a form: everything that is missing is said. */
    check: () => setLeft(new Set(screens.map((screen) => screen.number))),
  };
}

type TrialState = ReturnType<typeof useTrial>;

interface Props {
  tried: Tried;
  title: string;
  /** What stands beside the phone, first. */
  children?: React.ReactNode;
}

/** A form tried out as a phone would show it: the server's engine takes each answer. Nothing is stored. */
export function Trial({ tried, title, children }: Props) {
  const trial = useTrial(tried);
  return (
    <div className="trial">
      <div>
        {children}
        {trial.page && <Findings trial={trial} page={trial.page} />}
      </div>
      <Phone trial={trial} title={title} />
    </div>
  );
}

function Phone({ trial, title }: { trial: TrialState; title: string }) {
  const { t } = useTranslation();
  const { run, page, screens, at } = trial;
  const body = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (body.current) body.current.scrollTop = 0;
  }, [at]);
  const screen = screens[at];
  return (
    <section className="phone-side" aria-label={t('trial.title')}>
      <Tools trial={trial} page={page} />
      {run.error && <Failed error={run.error} again={() => void run.refetch()} />}
      <div className="phone" lang={langOf(page?.language)} aria-busy={run.isFetching}>
        <div className="phone-top">
          <strong>{title}</strong>
          <span>{screens.length > 0 && `${at + 1} / ${screens.length}`}</span>
        </div>
        <div className="phone-body" ref={body} tabIndex={0} role="group" aria-label={t('trial.screen', { number: at + 1 })}>
          {screen ? <ScreenView key={screen.number} screen={screen} filling={{ ...trial.filling, left: trial.left.has(screen.number) }} /> : !run.error && <Wait />}
        </div>
        <Turning trial={trial} />
      </div>
    </section>
  );
}

function ScreenView({ screen, filling }: { screen: Screen; filling: Filling }) {
  return (
    <>
      {screen.above.length > 0 && <div className="by">{screen.above.join(' › ')}</div>}
      {screen.questions.map((question) => (
        <Entry key={`${question.kind} ${question.path} ${question.row ?? ''}`} question={question} filling={filling} />
      ))}
    </>
  );
}

function Turning({ trial }: { trial: TrialState }) {
  const { t } = useTranslation();
  const { at, screens, go, check } = trial;
  const last = at >= screens.length - 1;
  return (
    <div className="phone-turn">
      <button type="button" disabled={at === 0} onClick={() => go(at - 1)}>
        ‹ {t('trial.back')}
      </button>
      <button type="button" className="onward" disabled={screens.length === 0} onClick={last ? check : () => go(at + 1)}>
        {last ? t('trial.done') : `${t('trial.onward')} ›`}
      </button>
    </div>
  );
}

function Tools({ trial, page }: { trial: TrialState; page: Shapes['RunPage'] | undefined }) {
  const { t } = useTranslation();
  const languages = page?.languages ?? [];
  return (
    <div className="phone-tools">
      <Select
        aria-label={t('trial.language')} value={trial.language ?? page?.language} onChange={trial.setLanguage} disabled={languages.length < 2} style={{ width: 128 }}
        options={languages.map((code) => ({ value: code, label: languageName(code) }))}
      />
      <span className="space" />
      <Button disabled={trial.steps.length === 0} onClick={trial.undo}>
        {t('trial.undo')}
      </Button>
      <Button disabled={trial.steps.length === 0} onClick={trial.anew}>
        {t('trial.anew')}
      </Button>
    </div>
  );
}

const ROWS_SHOWN = 100;

/** What is wrong so far, and what the form works out behind the questions. */
function Findings({ trial, page }: { trial: TrialState; page: Shapes['RunPage'] }) {
  const { t } = useTranslation();
  const problems = problemsOf(trial.screens, trial.left);
  const computed = computedOf(page.values, page.questions);
  return (
    <section className="card" aria-labelledby="findings-title">
      <h2 id="findings-title">
        {t('trial.findings')} <span className="by">{t('trial.steps', { count: trial.steps.length, max: STEPS_MAX })}</span>
      </h2>
      <div role="status">
        {problems.length === 0 && <p>{t(trial.left.size >= trial.screens.length ? 'trial.no_problem' : 'trial.no_problem_yet')}</p>}
        <ul className="why-not found">
          {problems.slice(0, ROWS_SHOWN).map(({ at, question }) => (
            <li key={`${question.path} ${question.row ?? ''}`}>
              <Button type="link" size="small" onClick={() => trial.go(at)}>
                {titleOf(question) || question.path}
              </Button>
              {question.error} <span className="by">{t('trial.screen', { number: at + 1 })}</span>
            </li>
          ))}
        </ul>
      </div>
      {trial.left.size < trial.screens.length && <Button onClick={trial.check}>{t('trial.check')}</Button>}
      {computed.length > 0 && (
        <>
          <h3 className="findings-next">{t('trial.computed')}</h3>
          <dl className="computed">
            {computed.slice(0, ROWS_SHOWN).map((one) => (
              <div key={one.path}>
                <dt>{one.path}</dt>
                <dd>{Array.isArray(one.value) ? one.value.join(' ') : String(one.value)}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
    </section>
  );
}
