import type { Shapes } from '../api/client';
import { beforeAll, describe, expect, test } from 'vitest';

import { setLanguage } from '../i18n';
import { actionText, dayBegins, detailText, logFiltersOf, logQuery, logSearchOf, recordOf, subjectText } from './log';

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
    ['sessions_ended', '2', '2 处登录'], ['setting', 'optional', '可以不设'], ['publish_form', '83b1e38c14f469d2f16fff33d793aaf2', '83b1e38c14f4…'],
  ])('%s: “%s” reads “%s”', (action, detail, text) => expect(detailText({ action, detail }, unitName)).toBe(text));

  test('subjects: names, forms and settings in words, ids else', () => {
    const id = '5b1f6f0e-3a57-4c55-9d0c-000000000003';
    const text = (action: Shapes['AuditBody']['action'], subject: string, subject_name?: string) =>
      subjectText({ action, subject, subject_name }, (kind) => ({ visit: '走访记录' })[kind] ?? kind);
    expect([text('login', 'aa', '李措毛'), text('login', 'aa'), text('publish_form', 'visit 2'), text('setting', 'second_factor'), text('approve', id)])
      .toEqual(['李措毛', 'aa', '走访记录 第 2 版', '登录验证码', id]);
  });

  test('a record that is still there can be opened', () => {
    const id = '5b1f6f0e-3a57-4c55-9d0c-000000000003';
    expect([recordOf({ action: 'approve', subject: id }), recordOf({ action: 'purge', subject: id }), recordOf({ action: 'login', subject: '140ac891129f1ab7168c9229f66679f4' })])
      .toEqual([id, undefined, undefined]);
  });
});
