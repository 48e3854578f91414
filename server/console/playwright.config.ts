import { existsSync } from 'node:fs';

import { defineConfig } from '@playwright/test';

const BROWSERS = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'];

export default defineConfig({
  testDir: 'tests',
  // `make old-browser` asks for it: it needs packages that nothing else does.
  testIgnore: process.env.FIELDBOOK_OLD_BROWSER ? [] : ['old-browser/**'],
  outputDir: 'test-results',
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  forbidOnly: true,
  reporter: [['list']],
  use: {
    viewport: { width: 1366, height: 768 },
    locale: 'zh-CN',
    timezoneId: 'Asia/Shanghai',
    // The server certifies itself; phones know its key, this browser does not.
    ignoreHTTPSErrors: true,
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env.FIELDBOOK_CHROMIUM ?? BROWSERS.find((path) => existsSync(path)),
      args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    },
  },
});
