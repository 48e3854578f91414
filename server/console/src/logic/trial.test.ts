import { expect, test, describe } from 'vitest';

import { boxAnswer, boxText, chosenOf, computedOf, isWrong, langOf, problemsOf, refusals, rowOf, screensOf, stepped, toggled, type Question, type Step } from './trial';

function question(path: string, more: Record<string, unknown> = {}): Question {
  return {
    kind: 'field', path, row: null, depth: 0, page: 0, label: path, hint: '', guidance: '', field_type: 'text', appearance: '', parameters: {},
    choices: [], required: false, read_only: false, value: null, rows: 0, counted: false, ...more,
  } as unknown as Question;
}

describe('steps', () => {
  test('the same question answered again takes the place of its last answer', () => {
    const once = stepped([], { set: 'a', value: 1 });
    expect(stepped(once, { set: 'a', value: 2 })).toEqual([{ set: 'a', value: 2 }]);
    expect(stepped(once, { set: 'b', value: 2 })).toHaveLength(2);
    const row: Step[] = [...once, { add: 'people' }];
    expect(stepped(row, { set: 'a', value: 3 })).toHaveLength(3);
    expect(stepped(row, { add: 'people' })).toHaveLength(3);
  });

  test('a row has the id that the server gives it', () => {
    expect(rowOf([{ set: 'a', value: 1 }, { set: 'b', value: 1 }, { set: 'c', value: 1 }, { add: 'people' }])).toBe('0000000000000004');
    expect(rowOf(Array.from({ length: 300 }, () => ({ add: 'x' })))).toBe('000000000000012c');
  });

  test('a refusal is over once another answer was given', () => {
    const steps: Step[] = [{ set: 'n', value: 'many' }, { set: 'm', value: 'few' }, { add: 'r' }, { set: 'n', value: 3 }];
    const refused = [{ step: 0, path: 'n', message: 'no number' }, { step: 1, path: 'm', message: 'none either' }];
    expect([...refusals(steps, refused)]).toEqual([['m', 'none either']]);
  });
});

describe('screens', () => {
  const asked = [
    question('g', { kind: 'group', label: 'Head' }), question('g/a', { depth: 1 }), question('g/b', { depth: 1, page: 1 }),
    question('r', { kind: 'repeat', label: 'People', page: 2 }), question('r', { kind: 'row', label: 'People', rows: 1, depth: 1, page: 2, row: '01' }),
    question('r[01]/c', { depth: 2, page: 2 }), question('r[01]/d', { depth: 2, page: 3 }), question('e', { page: 4, error: 'Must be answered', error_kind: 'required' }),
  ];

  test('every page is a screen, with what it goes on in above it', () => {
    expect(screensOf(asked).map((screen) => [screen.number, screen.above.join(' > '), screen.questions.length])).toEqual([
      [0, '', 2], [1, 'Head', 1], [2, '', 3], [3, 'People > People 1', 1], [4, '', 1],
    ]);
    expect(screensOf([])).toEqual([]);
  });

  test('what must be answered is missing only once its screen was left', () => {
    const screens = screensOf(asked);
    expect(problemsOf(screens, new Set())).toEqual([]);
    expect(problemsOf(screens, new Set([4])).map((one) => [one.at, one.question.path])).toEqual([[4, 'e']]);
    expect(isWrong(question('x', { error: 'Too many', error_kind: 'constraint' }), false)).toBe(true);
    expect(isWrong(question('x'), true)).toBe(false);
  });

  test('what is worked out and not shown is told', () => {
    const values = { g: { a: 1, sum: 7, set: ['x', 'y'] }, r: [{ _row: '01', c: 2, age: 3 }], none: [] };
    expect(computedOf(values, asked)).toEqual([
      { path: 'g/sum', value: 7 }, { path: 'g/set', value: ['x', 'y'] }, { path: 'r[01]/age', value: 3 }, { path: 'none', value: [] },
    ]);
  });
});

describe('boxes', () => {
  test.each([
    ['integer', ' 1,200 ', 1200], ['integer', 'many', 'many'], ['integer', '1.5', '1.5'], ['integer', '', null], ['decimal', '1.50', '1.50'],
    ['text', '  ', null], ['text', ' 才让 ', '才让'], ['date', '2026-11-20', '2026-11-20'], ['datetime', '2026-10-01T10:30', '2026-10-01T10:30:00.000+08:00'],
  ])('%s “%s” is answered as %s', (type, typed, wanted) => expect(boxAnswer(question('q', { field_type: type }), typed)).toBe(wanted));

  test('a box shows the answer that is there', () => {
    expect(boxText(question('q', { field_type: 'datetime', value: '2026-10-01T10:30:00.000+08:00' }))).toBe('2026-10-01T10:30');
    expect(boxText(question('q', { value: 0 }))).toBe('0');
    expect(boxText(question('q'))).toBe('');
  });

  test('what is no language is not called one', () => {
    expect(['zh-Hans', 'bo', 'chinese', '中文', undefined].map(langOf)).toEqual(['zh-Hans', 'bo', undefined, undefined, undefined]);
  });

  test('choices keep the order of their list', () => {
    expect(toggled(['c'], 'a', ['a', 'b', 'c'])).toEqual(['a', 'c']);
    expect(toggled(['a', 'c'], 'a', ['a', 'b', 'c'])).toEqual(['c']);
    expect([chosenOf(null), chosenOf('a b'), chosenOf(['x'])]).toEqual([[], ['a', 'b'], ['x']]);
  });
});
