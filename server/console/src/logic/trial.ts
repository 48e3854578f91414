/** A form tried out: the steps so far, and the screens that a phone would show for them. */
import type { Shapes } from '../api/client';
import type { Answer } from './values';

/** One entry of a screen. */
export type Question = Shapes['RunQuestion'];

/** One step of filling in, as the server takes it. */
export type Step = { set: string; value: Answer } | { add: string; parent?: string } | { remove: string; row: string };

/** Steps that one run takes. */
export const STEPS_MAX = 300;
const ROW_ID_DIGITS = 16;

/** The steps with one more. Answering the same question again takes the place of the answer before: rows keep their ids. */
export function stepped(steps: Step[], step: Step): Step[] {
  const last = steps[steps.length - 1];
  const again = last && 'set' in last && 'set' in step && last.set === step.set;
  return [...(again ? steps.slice(0, -1) : steps), step];
}

/** Id of the row that the last step added: the server counts them by step. */
export function rowOf(steps: Step[]): string {
  return steps.length.toString(16).padStart(ROW_ID_DIGITS, '0');
}

/** Why answers were not taken, by path; an answer that was given since counts in its place. */
export function refusals(steps: Step[], refused: Shapes['RefusedStep'][]): Map<string, string> {
  const latest = new Map<string, number>();
  steps.forEach((step, at) => 'set' in step && latest.set(step.set, at));
  return new Map(refused.filter((one) => latest.get(one.path) === one.step).map((one) => [one.path, one.message]));
}

/** One screen of the phone. */
export interface Screen {
  number: number;
  /** Labels of the groups and rows that it goes on in, outermost first. */
  above: string[];
  questions: Question[];
}

/** The screens of a form, in order. */
export function screensOf(questions: Question[]): Screen[] {
  const screens: Screen[] = [];
  let around: Question[] = [];
  for (const question of questions) {
    around = around.filter((one) => one.depth < question.depth);
    const screen = screens[screens.length - 1];
    if (screen?.number === question.page) screen.questions.push(question);
    else screens.push({ number: question.page, above: around.map(titleOf).filter((title) => title !== ''), questions: [question] });
    if (question.kind !== 'field') around.push(question);
  }
  return screens;
}

/** A group's or row's label; a row's with its number. */
export function titleOf(question: Question): string {
  return question.kind === 'row' ? `${question.label} ${question.rows}`.trim() : question.label;
}

/** What is wrong on screens that the reader has left; a screen that was never left may be unanswered still. */
export function problemsOf(screens: Screen[], left: ReadonlySet<number>): { at: number; question: Question }[] {
  return screens.flatMap((screen, at) =>
    screen.questions.filter((question) => isWrong(question, left.has(screen.number))).map((question) => ({ at, question })),
  );
}

/** Whether a phone would say by now that the answer is wrong. */
export function isWrong(question: Question, left: boolean): boolean {
  return Boolean(question.error) && (left || question.error_kind !== 'required');
}

/** What the form works out without showing it: path and value. */
export function computedOf(values: unknown, questions: Question[]): { path: string; value: Answer }[] {
  const asked = new Set(questions.filter((question) => question.kind === 'field').map((question) => question.path));
  return leaves(values, '').filter((leaf) => !asked.has(leaf.path));
}

function leaves(value: unknown, path: string): { path: string; value: Answer }[] {
  const isRows = Array.isArray(value) && value.some((one) => typeof one === 'object' && one !== null);
  if (isRows) return (value as { _row?: string }[]).flatMap((row) => leaves(row, `${path}[${row._row ?? ''}]`));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [{ path, value }];
  return Object.entries(value)
    .filter(([name]) => name !== '_row')
    .flatMap(([name, inner]) => leaves(inner, path === '' ? name : `${path}/${name}`));
}

const MINUTE_CHARS = 16;
const ZONE = ':00.000+08:00';

/** An answer as its box shows it. */
export function boxText(question: Question): string {
  const value: Answer = question.value;
  if (value === null || value === undefined) return '';
  return question.field_type === 'datetime' ? String(value).slice(0, MINUTE_CHARS) : String(value);
}

/** What was typed into a box, as an answer; what is none goes to the server as it is, which says why. */
export function boxAnswer(question: Question, typed: string): Answer {
  const text = typed.trim();
  if (text === '') return null;
  if (question.field_type === 'integer') {
    const digits = text.replace(/[,，\s]/g, '');
    return /^-?\d{1,15}$/.test(digits) ? Number(digits) : text;
  }
  return question.field_type === 'datetime' ? text.slice(0, MINUTE_CHARS) + ZONE : text;
}

/** Names of the chosen, with one chosen or let go, in the order of `names`. */
export function toggled(chosen: Answer, name: string, names: string[]): string[] {
  const before = chosenOf(chosen);
  const wanted = before.includes(name) ? before.filter((one) => one !== name) : [...before, name];
  return names.filter((one) => wanted.includes(one));
}

/** Names that an answer to several choices holds. */
export function chosenOf(answer: Answer): string[] {
  if (Array.isArray(answer)) return answer.map(String);
  return typeof answer === 'string' && answer !== '' ? answer.split(' ') : [];
}

/** A form's language as a page may name it; its author may have written any word. */
export function langOf(code: string | undefined): string | undefined {
  return code !== undefined && /^[a-z]{2,3}(-[a-z0-9]+)*$/i.test(code) ? code : undefined;
}

/** What stands in for what only a phone can record: its camera, microphone or position. */
export const STAND_INS: Record<string, string> = {
  blob: 'sample.jpg',
  geopoint: '35.0364 101.4663 3560 5',
  geotrace: '35.0364 101.4663 0 0;35.0371 101.4680 0 0',
  geoshape: '35.0364 101.4663 0 0;35.0371 101.4680 0 0;35.0358 101.4684 0 0;35.0364 101.4663 0 0',
};
