import { describe, expect, test } from 'vitest';

import { maskedField, maskedPlaces, readingOf, readingOfDouble, readingOfQuarantined } from './reveal';

const PAGE = { id: 'r', heads: ['a', 'b'], form_version: '1', state: 'submitted', reviews: [] };

describe('a revealed page', () => {
  test('fits the page that was read', () => expect(readingOf({ ...PAGE, heads: ['a', 'b'] })).toBe(readingOf(PAGE)));

  test.each([{ heads: ['c'] }, { heads: ['b'] }, { form_version: '2' }, { state: 'approved' }, { reviews: [{}] as never[] }, { id: 's' }])(
    'does not fit one with %j', (moved) => expect(readingOf({ ...PAGE, ...moved })).not.toBe(readingOf(PAGE)),
  );
});

describe('a revealed proposal of doubles', () => {
  const record = { id: 'r', state: 'submitted', decidable: true } as never;
  const page = { id: 'd', heads: [['a'], ['b']], form_version: '1', records: [record], more: 0, elsewhere: 0, apart: [] };

  test('fits the page that was read', () => expect(readingOfDouble({ ...page, heads: [['a'], ['b']] })).toBe(readingOfDouble(page)));

  test.each([{ heads: [['a'], ['c']] }, { form_version: '2' }, { records: [{ id: 'r', state: 'voided', decidable: true } as never] }, { elsewhere: 1 }])(
    'does not fit one with %j', (moved) => expect(readingOfDouble({ ...page, ...moved })).not.toBe(readingOfDouble(page)),
  );
});

describe('a revealed change in quarantine', () => {
  const wrote = (path: string, value: unknown, before: unknown = null) => ({ path, label: path, value, before }) as never;
  const page = {
    id: 1, here: true, reason: 'role', fields: [], left_ms: null, admissible: true,
    writes: [wrote('head/id_no', '**************014X'), wrote('head/name', '才让', '仁青')],
  };
  const reading = (moved: Partial<typeof page> = {}) => readingOfQuarantined({ ...page, ...moved }, ['head/id_no']);

  test('fits the page that was read, whatever the masked answer is', () =>
    expect(reading({ writes: [wrote('head/id_no', '63232319620612014X'), wrote('head/name', '才让', '仁青')] })).toBe(reading()));

  test.each([
    ['put away', { left_ms: 5 as never }], ['not to be admitted any more', { admissible: false }],
    ['over another answer', { writes: [wrote('head/id_no', '***'), wrote('head/name', '才让', '才旦')] }],
    ['over a masked answer that is new', { writes: [wrote('head/id_no', '***', '***'), wrote('head/name', '才让', '仁青')] }],
    ['without a part', { writes: [wrote('head/name', '才让', '仁青')] }],
  ])('does not fit one %s', (_, moved) => expect(reading(moved)).not.toBe(reading()));
});

describe('masked answers', () => {
  const masked = ['head/id_no', 'members/id_no'];

  test.each([
    ['head/id_no', ['***'], 'head/id_no'],
    ['members[2dd5]/id_no', ['***'], 'members/id_no'],
    ['head/id_no', [null, '***'], 'head/id_no'],
    ['head/id_no', [null, undefined, ''], undefined],
    ['head/name', ['***'], undefined],
  ])('%s with %j is asked for as %s', (path, answers, field) => expect(maskedField(masked, path, answers)).toBe(field));

  test('a save has one place for each field, beside an answer that is there', () => {
    const wrote = (path: string, value: unknown, before: unknown = null) => ({ path, value, before });
    const places = maskedPlaces(masked, [
      wrote('head/name', '才让'), wrote('members[1]/id_no', null), wrote('members[2]/id_no', '***'), wrote('members[3]/id_no', '***'), wrote('head/id_no', null, '***'),
    ]);
    expect([...places]).toEqual([[2, 'members/id_no'], [4, 'head/id_no']]);
    expect(maskedPlaces([], [wrote('head/id_no', '63')]).size).toBe(0);
  });
});
