import { expect, test } from 'vitest';

import { attended, isBackground, UNATTENDED_MS, watchAttention } from './attention';

test('what is read long after the last input is read by the page alone', () => {
  attended(1_000);
  expect(isBackground('GET', 1_000)).toBe(false);
  expect(isBackground('GET', 1_000 + UNATTENDED_MS)).toBe(false);
  expect(isBackground('GET', 1_001 + UNATTENDED_MS)).toBe(true);
  attended(2_000);
  expect(isBackground('GET', 1_001 + UNATTENDED_MS)).toBe(false);
});

test('what changes something was wanted, however late', () => {
  attended(0);
  for (const method of ['POST', 'PUT', 'DELETE']) expect(isBackground(method, 10 * UNATTENDED_MS)).toBe(false);
});

test('input counts, what a script dispatches does not', () => {
  watchAttention();
  const late = window.performance.now() + UNATTENDED_MS / 2;
  const unattended = (): boolean => isBackground('GET', late);
  const press = (isTrusted: boolean): void => {
    const event = new Event('keydown');
    Object.defineProperty(event, 'isTrusted', { value: isTrusted });
    window.dispatchEvent(event);
  };
  attended(-UNATTENDED_MS);
  expect(unattended()).toBe(true);
  press(false);
  expect(unattended()).toBe(true);
  press(true);
  expect(unattended()).toBe(false);
});
