import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import en from './en.json';
import zh from './zh-Hans.json';

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.tsx?$/.test(name) && !name.includes('.test.') && !name.endsWith('schema.d.ts'))
  .map((name) => [name, readFileSync(join('src', name), 'utf8')] as const);
const all = sources.map(([, text]) => text).join('\n');

const names = (text: string) => [...text.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1]).sort();

test('both languages say the same things', () => {
  expect(Object.keys(en)).toEqual(Object.keys(zh));
  for (const key of Object.keys(zh) as (keyof typeof zh)[]) {
    expect(names(en[key]), key).toEqual(names(zh[key]));
    expect(zh[key].trim(), key).not.toBe('');
    expect(en[key].trim(), key).not.toBe('');
  }
});

test('every sentence is used, and every one that is used is there', () => {
  // `state.${…}` stands for all words that begin so.
  const begun = [...all.matchAll(/`([a-z_]+(?:\.[a-z_]+)*\.)\$\{[^}]*\}([a-z_]*)`/g)].map((match) => new RegExp(`^${match[1]}[a-z_]+$`));
  const unused = Object.keys(zh).filter((key) => !all.includes(`'${key}'`) && !begun.some((pattern) => pattern.test(key)));
  expect(unused).toEqual([]);
  const called = [...all.matchAll(/\b(?:t|say)\(\s*'([^']+)'/g)].map((match) => match[1] ?? '');
  expect(called.length).toBeGreaterThan(50);
  expect(called.filter((key) => !(key in zh))).toEqual([]);
});

test('no sentence stands outside of the catalogues', () => {
  const chinese = /[\u4e00-\u9fff]/;
  const strays = sources.flatMap(([name, text]) =>
    text.split('\n').filter((line) => chinese.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line)).map((line) => `${name}: ${line.trim()}`),
  );
  // What forms write for money is theirs, not ours.
  expect(strays.filter((line) => !line.includes('（分）'))).toEqual([]);
});
