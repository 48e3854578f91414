import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { expect, test } from '../base';
import { AMENDED, FAMILY } from '../stage';

const PATHS = [
  '/', '/overview', '/records/household', '/records/visit', `/records/household/${FAMILY}`, `/records/household/${AMENDED}`, '/doubles', '/quarantine',
  '/exchanges', '/people', '/devices', '/forms', '/forms/visit/1', '/audit', '/account',
];

test('every page in Chromium 87', ({ stage }) => {
  test.setTimeout(300_000);
  const folder = resolve(process.cwd(), '../../target/old-browser');
  mkdirSync(folder, { recursive: true });
  const [who] = stage.supervisors;
  // The system's own Python: Qt's packages are its.
  const walk = ['-a', '-s', '-screen 0 1400x900x24', '/usr/bin/python3', join(import.meta.dirname, 'walk.py'), stage.url, folder, ...PATHS];
  const told = execFileSync('xvfb-run', walk, { encoding: 'utf8', input: `${who?.login}\n${who?.password}\n`, stdio: ['pipe', 'pipe', 'ignore'] });
  const pages = told.trim().split('\n').map((line) => JSON.parse(line) as { path: string; shown: boolean; heading: string; said: string[] });
  expect(pages[0]?.heading).toContain('Chrome/87.');
  expect(pages.map(({ path, said }) => ({ path, said })).filter(({ said }) => said.length > 0)).toEqual([]);
  expect(pages.filter(({ shown, heading }) => !shown || heading === '').map(({ path }) => path)).toEqual([]);
  expect(pages).toHaveLength(PATHS.length + 1);
});
