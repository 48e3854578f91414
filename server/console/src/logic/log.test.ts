import type { Shapes } from '../api/client';
import { beforeAll, describe, expect, test } from 'vitest';

import { setLanguage } from '../i18n';
import { actionText, dayBegins, detailText, logFiltersOf, logQuery, logSearchOf } from './log';

beforeAll(() => setLanguage('zh-Hans'));

describe('filters of the audit log', () => {
  test.each(['', 'user=duojie&action=reveal', 'subject=5b1f6f0e&from=2026-11-01&to=2026-11-20&before=17'])('the address “%s” comes back as it was', (text) =>
    expect(logSearchOf(logFiltersOf(new URLSearchParams(text)))).toBe(text));

  test('what is no filter is left out', () => {
    expect(logFiltersOf(new URLSearchParams('from=yesterday&to=2026-13-01&before=-1&user=%20&x=1'))).toEqual({});
  });

  test('days are those of Shanghai, and the last one counts in full', () => {
    expect(dayBegins('2026-06-01')).toBe(1_780_243_200_000);
    const { since_ms, until_ms } = logQuery({ from: '2026-06-01', to: '2026-06-01' });
    expect((until_ms ?? 0) - (since_ms ?? 0)).toBe(86_400_000);
    expect(logQuery({})).toEqual({});
  });
});

describe('words of the audit log', () => {
  const unitName = (code: string) => ({ '632323': '泽库县总工会' })[code] ?? code;

  test('actions, known or not', () => {
    expect([actionText('reveal'), actionText('new_one')]).toEqual(['查看掩码内容', 'new_one']);
  });

  test.each<[Shapes['AuditBody']['action'], string, string]>([
    ['roles_given', 'county@632323 field@1', '县级（泽库县总工会）、走访员（1）'], ['user_added', '', ''], ['roles_given', 'pilot@632323', 'pilot@632323'],
    ['move', '632323: 搬家', '泽库县总工会: 搬家'], ['login', '127.0.0.1', '127.0.0.1'],
    ['publish_form', '83b1e38c14f469d2f16fff33d793aaf2', '83b1e38c14f4…'],
  ])('%s: “%s” reads “%s”', (action, detail, text) => expect(detailText({ action, detail }, unitName)).toBe(text));
});
