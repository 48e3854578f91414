import { describe, expect, test } from 'vitest';

import { maskedField, maskedPlaces, readingOf } from './reveal';

const PAGE = { id: 'r', heads: ['a', 'b'], form_version: '1', state: 'submitted', reviews: [] };

describe('a revealed page', () => {
  test('fits the page that was read', () => expect(readingOf({ ...PAGE, heads: ['a', 'b'] }, 'en')).toBe(readingOf(PAGE, 'en')));

  test.each([{ heads: ['c'] }, { heads: ['b'] }, { form_version: '2' }, { state: 'approved' }, { reviews: [{}] as never[] }, { id: 's' }])(
    'does not fit one with %j', (moved) => expect(readingOf({ ...PAGE, ...moved }, 'en')).not.toBe(readingOf(PAGE, 'en')),
  );

  test('is in one language', () => expect(readingOf(PAGE, 'zh-Hans')).not.toBe(readingOf(PAGE, 'en')));
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
