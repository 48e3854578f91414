import { beforeAll, describe, expect, test } from 'vitest';

import { setLanguage } from '../i18n';
import { bounds, pointsOption, spotsOf, spotWidth, unitsOption } from './charts';
import { proposalsOf, rowText } from './doubles';
import { choicesOf, choosing, filtersOf, rangeOf, rangeText, searchOf, withChoices } from './filters';
import { events, movedOn } from './history';
import { fatesOf, oldestFirst, reasonKey } from './quarantine';
import { sectionsOf, hasAnswers } from './sections';
import { answerAt, fen, fieldLabel, moment, shown, withoutRows, yuan, type Field, type KindForm } from './values';

function field(path: string, more: Partial<Field> = {}): Field {
  return {
    path, field_type: 'text', repeat: null, label: { 'zh-Hans': path, en: path }, merge: 'register', sensitivity: 'plain', writers: [],
    calculated: false, list: false, choices: null, unit: null, ...more,
  } as Field;
}

const FORM = {
  kind: 'k', version: '1', title: 'K', titles: {}, area: 'aid', states: {}, languages: ['zh-Hans', 'en'],
  fields: [
    field('date', { field_type: 'date' }), field('head/name'), field('head/sex', { field_type: 'select_one', choices: 'sex' }),
    field('members/name', { repeat: 'members' }), field('members/skills/word', { repeat: 'members/skills' }),
    field('head/age', { calculated: true, label: {} as Field['label'] }), field('head/hint', { field_type: 'note' }),
  ],
  groups: [
    { path: 'head', label: { 'zh-Hans': '建档职工' }, repeat: false }, { path: 'members', label: {}, repeat: true },
    { path: 'members/skills', label: {}, repeat: true },
  ],
  repeats: ['members', 'members/skills'], choices: { sex: [{ name: '1', label: { 'zh-Hans': '男', en: 'Male' } }] },
} as unknown as KindForm;

beforeAll(() => setLanguage('zh-Hans'));

describe('values', () => {
  test.each([[0, '0.00 元'], [1, '0.01 元'], [123_456_789, '1,234,567.89 元'], [-250, '-2.50 元']])('%d fen are %s', (amount, text) => expect(yuan(amount)).toBe(text));

  test.each([
    ['12', 1_200], ['12.5', 1_250], ['12.05', 1_205], ['1,234.56', 123_456], ['１2', undefined], ['12.345', undefined], ['', undefined],
    ['-3', -300], ['1e5', undefined], ['9999999999999', undefined],
  ])('“%s” yuan are %s fen', (text, wanted) => expect(fen(text)).toBe(wanted));

  test('money read back is what was typed', () => {
    for (let amount = -1_000_000; amount < 1_000_000; amount += 7_919) expect(fen(yuan(amount).replace(' 元', ''))).toBe(amount);
  });

  test.each([
    [undefined, '—'], [null, '—'], ['', '—'], [[], '—'], ['***', '***'], ['2026-01-02', '2026-01-02'], [0, '0'],
  ])('%s is shown as %s', (answer, text) => expect(shown(FORM, field('x'), answer)).toBe(text));

  test('choices have their labels, what is no choice its name', () => {
    expect(shown(FORM, FORM.fields[2], '1')).toBe('男');
    expect(shown(FORM, FORM.fields[2], '***')).toBe('***');
    expect(shown(FORM, field('x', { field_type: 'datetime' }), '2026-10-01T10:30:00.000+08:00')).toBe('2026-10-01 10:30');
    expect(shown(FORM, field('x', { choices: 'sex', field_type: 'select_multiple' }), ['1', '9'])).toBe('男、9');
  });

  test('money loses the unit in its label, since the value has it', () => {
    expect(fieldLabel(field('income', { field_type: 'integer', label: { 'zh-Hans': '年收入（分）' } }), 'income')).toBe('年收入');
  });

  test('paths, places and times', () => {
    expect(withoutRows('members[2dd58283bcae4431]/name')).toBe('members/name');
    expect(answerAt({ a: { b: 1 } }, 'a/b')).toBe(1);
    expect(answerAt({ a: 'x' }, 'a/b')).toBeUndefined();
    // 2026-06-01T00:00:00+08:00, on a machine of whatever zone.
    expect(moment(1_780_243_200_000)).toBe('2026-06-01 00:00');
    expect(moment(null)).toBe('—');
  });
});

describe('filters', () => {
  test.each([
    '', 'state=submitted', 'conflicts=true&unit=632323&text=%E9%A9%AC', 'problems=false&sort=changed', 'state=draft&after=abc',
    'unit_alone=true&decidable=true&state=submitted%2Camended&first=2026-05..&choice=head%2Fsex%3D1&sort=-head%2Fname&before=x',
  ])('the address “%s” comes back as it was', (text) => expect(searchOf(filtersOf(new URLSearchParams(text)))).toBe(text));

  test('what is no filter is left out, what is not ours stays', () => {
    expect(filtersOf(new URLSearchParams('state=gone&sort=name;drop&conflicts=maybe'))).toEqual({});
    expect(searchOf({ state: 'draft' }, new URLSearchParams('columns=a%2Cb&after=x&state=voided'))).toBe('columns=a%2Cb&state=draft');
    expect(searchOf({ sort: '-received' })).toBe('');
  });
});

describe('more filters', () => {
  test.each([
    [undefined, ['', '']], ['2026', ['2026-01-01', '2026-12-31']], ['2024-02', ['2024-02-01', '2024-02-29']], ['2026-05-31', ['2026-05-31', '2026-05-31']],
    ['2026-05..', ['2026-05-01', '']], ['..2026-05', ['', '2026-05-31']], ['1795393847367..1795480247367', ['2026-11-23', '2026-11-24']],
  ])('the range “%s” is the days %j', (text, days) => expect(rangeOf(text)).toEqual(days));

  test('days become a range, and none becomes nothing', () => {
    expect(rangeText('2026-05-01', '')).toBe('2026-05-01..');
    expect(rangeText('', '')).toBeUndefined();
  });

  test('choices of one field change, those of another stay', () => {
    const both = withChoices('head/sex=1,head/sex=2', 'state', ['a', 'b']);
    expect(choicesOf(both)).toEqual({ 'head/sex': ['1', '2'], state: ['a', 'b'] });
    expect(withChoices(both, 'head/sex', [])).toBe('state=a,state=b');
    expect(withChoices('x=1', 'x', [])).toBeUndefined();
  });

  test('what says where in the list is no filter', () => expect(choosing({ sort: 'unit', after: 'x', text: 'y' })).toEqual({ text: 'y' }));
});

describe('doubles', () => {
  const row = (id: string, records: string[], more = 0) => ({ id, kind: 'k', by: 'id_number', elsewhere: 0, more, since_ms: 0, records: records.map((one) => ({ id: one })) }) as never;

  test('two persons in the same two files are one proposal, others are not', () => {
    const found = proposalsOf([row('p', ['a', 'b']), row('q', ['b', 'a']), row('r', ['a', 'c']), row('s', ['a', 'b'], 1)]);
    expect(found.map(({ id, persons }) => [id, persons])).toEqual([['p', 2], ['r', 1], ['s', 1]]);
  });

  test('a row says its own answers, not those of rows within it', () => {
    const form = { ...FORM, fields: [...FORM.fields, field('members/work/sex', { repeat: 'members', choices: 'sex' }), field('members/total', { repeat: 'members', label: {} as Field['label'] })] };
    expect(rowText(form, 'members', { name: '扎西', work: { sex: '1' }, total: 5, skills: [{ word: 'x' }] })).toBe('members/name：扎西 · members/work/sex：男');
    expect(rowText(form, 'members', { name: null })).toBe('—');
  });
});

describe('quarantine', () => {
  test('what was put away can be taken up again', () => expect([fatesOf(false), fatesOf(true)]).toEqual([['admit', 'leave'], ['admit', 'take_up']]));

  test('causes are decided before what builds on them', () => expect(oldestFirst([{ id: 12 }, { id: 3 }, { id: 7 }]).map(({ id }) => id)).toEqual([3, 7, 12]));

  test('a reason that this console does not know is another one', () => expect([reasonKey('role'), reasonKey('moon')]).toEqual(['quarantine.reason.role', 'quarantine.reason.other']));
});

describe('charts', () => {
  const unit = (name: string, states: [string, number][]) => ({ unit: name, name, alone: false, has_children: true, records: 0, states: states.map(([state, records]) => ({ state, records })) });

  test('the first unit stands on top, and only states that occur have bars', () => {
    const { yAxis, series } = unitsOption([unit('a', [['draft', 1]]), unit('b', [['approved', 2], ['draft', 0]])], (state) => state);
    expect(yAxis.data).toEqual(['b', 'a']);
    expect(series.map(({ id, data }) => [id, data])).toEqual([['draft', [0, 1]], ['approved', [2, 0]]]);
  });

  test('points keep a margin, and stand under their state', () => {
    const points = [{ id: '1', unit: 'u', state: 'draft', latitude: 35.04, longitude: 101.46 }, { id: '2', unit: 'u', state: 'voided', latitude: 35.3, longitude: 101.9 }];
    expect(bounds(points)).toEqual({ longitude: [101.41, 101.95], latitude: [34.99, 35.35] });
    expect(pointsOption(points, (state) => state).series.map(({ id, data }) => [id, data])).toEqual([['draft', [[101.46, 35.04, 1]]], ['voided', [[101.9, 35.3, 1]]]]);
    expect(spotsOf([...points, ...points]).map(({ spots }) => spots.map((spot) => spot.points.length))).toEqual([[2], [2]]);
    expect([1, 4, 10_000].map(spotWidth)).toEqual([8, 16, 48]);
  });
});

describe('sections', () => {
  const values = {
    date: '2026-01-02', head: { name: '马', sex: '1' },
    members: [{ _row: 'r1', name: '扎西', skills: [{ _row: 's1', word: '焊工' }] }, { _row: 'r2' }],
  };

  test('a record has the shape of its form, with rows in their paths', () => {
    const [first, head, members] = sectionsOf(FORM, values);
    expect(first?.items.map((item) => [item.path, item.answer])).toEqual([['date', '2026-01-02']]);
    expect(head?.items.map((item) => item.path)).toEqual(['head/name', 'head/sex']);
    expect(members?.rows?.map((row) => row.items.map((item) => [item.path, item.answer]))).toEqual([
      [['members[r1]/name', '扎西']], [['members[r2]/name', undefined]],
    ]);
    expect(members?.rows?.[0]?.sections[0]?.rows?.[0]?.items[0]?.path).toBe('members/skills[s1]/word');
  });

  test('what holds no answer is known', () => {
    expect(sectionsOf(FORM, {}).map(hasAnswers)).toEqual([false, false, false]);
    expect(sectionsOf(FORM, values).map(hasAnswers)).toEqual([true, true, true]);
  });
});

describe('history', () => {
  const change = (name: string, at: number) => ({ change: name, time_ms: at, received_ms: at });
  const page = (changes: string[], reviews: number[] = [], state = 'submitted') =>
    ({ history: changes.map((name, at) => change(name, at)), reviews: reviews.map((at) => ({ time_ms: at })), state }) as never;

  test('saves and decisions stand newest first', () => {
    expect(events(page(['a', 'b'], [5])).map((event) => event.at)).toEqual([5, 1, 0]);
  });

  test('a record has moved on where anything was written or decided since', () => {
    expect(movedOn(page(['a']), page(['a']))).toBeUndefined();
    expect(movedOn(page(['a']), page(['a', 'b']))?.changes.map((one) => one.change)).toEqual(['b']);
    expect(movedOn(page(['a']), page(['a'], [9]))?.reviews).toHaveLength(1);
    expect(movedOn(page(['a']), page(['a'], [], 'voided'))).toEqual({ changes: [], reviews: [] });
  });
});
