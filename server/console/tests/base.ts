/** What every browser test begins with: a server, a signed-in supervisor, and eyes on the browser's console. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { AxeBuilder } from '@axe-core/playwright';
import { test as playwright, expect, type Browser, type Page } from '@playwright/test';

import { setUp, type Login, type Stage } from './stage';

export { expect };

/** Households on the server; the last ones belong to another township. */
export const RECORDS = Number(process.env.FIELDBOOK_RECORDS ?? 240);
const PICTURES = resolve(process.cwd(), '../../docs/pictures');

/** Messages that a test expects, such as those of a connection that it cuts itself. */
export const expected: { messages: RegExp[] } = { messages: [] };

export const test = playwright.extend<{ quiet: void; page: Page }, { stage: Stage }>({
  stage: [
    // Playwright reads from the pattern which fixtures this one needs: none.
    // oxlint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const stage = await setUp(RECORDS);
      await use(stage);
      await stage.end();
    },
    { scope: 'worker', timeout: 1_200_000 },
  ],
  /** A page of the first supervisor, signed in; nothing may be said on its console. */
  page: async ({ browser, stage }, use) => {
    expected.messages = [];
    const page = await signedIn(browser, stage, 0);
    const said = listen(page);
    await use(page);
    expect(said.filter((line) => !expected.messages.some((known) => known.test(line)))).toEqual([]);
    await page.context().close();
  },
});

/** Errors and warnings of a page, as they come. */
export function listen(page: Page): string[] {
  const said: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) said.push(message.text());
  });
  page.on('pageerror', (error) => said.push(String(error)));
  return said;
}

/** A browser of its own for supervisor `number`, signed in by typing. */
export async function signedIn(browser: Browser, stage: Stage, number: number): Promise<Page> {
  const context = await browser.newContext({ baseURL: stage.url });
  const page = await context.newPage();
  await page.goto('/');
  await signIn(page, stage.supervisors[number] as Login);
  await expect(page.getByRole('navigation')).toBeVisible();
  return page;
}

/** Types login and password. */
export async function signIn(page: Page, who: Login): Promise<void> {
  const login = page.getByLabel('登录名');
  if (await login.isEditable()) await login.fill(who.login);
  await page.getByLabel('密码', { exact: true }).fill(who.password);
  await page.getByRole('button', { name: /^登\s*录$/ }).click();
}

/** What the styles of a browser of 2020 cannot be: without these a rule is lost there. */
const TOO_NEW = [':where(', ':is(', '@layer', '@container', 'color-mix(', 'aspect-ratio', 'dvh'];

/** Fails where axe finds something, or a style that the oldest supported browser does not know. */
export async function accessible(page: Page): Promise<void> {
  const styles = await page.evaluate(() => [...document.querySelectorAll('style')].map((style) => style.textContent ?? '').join(''));
  expect(TOO_NEW.filter((word) => styles.includes(word))).toEqual([]);
  const found = await new AxeBuilder({ page }).analyze();
  expect(found.violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.slice(0, 4).map((node) => `${node.target.join(' ')} ${node.failureSummary ?? ''}`) }))).toEqual([]);
}

/** Writes a picture of the page to docs/pictures, small. */
export async function picture(page: Page, name: string): Promise<void> {
  await page.waitForLoadState('networkidle');
  const screen = await page.context().newCDPSession(page);
  const { data } = await screen.send('Page.captureScreenshot', { format: 'webp', quality: 82 });
  mkdirSync(PICTURES, { recursive: true });
  writeFileSync(resolve(PICTURES, `${name}.webp`), Buffer.from(data, 'base64'));
  // For whoever cannot open WebP.
  if (process.env.FIELDBOOK_PNG) await page.screenshot({ path: resolve(process.env.FIELDBOOK_PNG, `${name}.png`) });
}
