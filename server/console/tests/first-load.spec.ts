/** What a first visit costs: bytes are checked, times are printed (they are the machine's as much as the console's). */
import { expect, signIn, test } from './base';
import type { Login } from './stage';

/** Compressed bytes of everything that a first visit loads before work can begin. */
const FIRST_LOAD_BYTES_MAX = 500_000;
/** A line of 4 Mbit/s. */
const LINE_BYTES_PER_S = 4_000_000 / 8;
const ROUND_TRIP_MS = 40;

test('the first visit over a line of 4 Mbit/s', async ({ browser, stage }) => {
  const page = await (await browser.newContext({ baseURL: stage.url })).newPage();
  const line = await page.context().newCDPSession(page);
  let bytes = 0;
  line.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
  await line.send('Network.enable');
  await line.send('Network.emulateNetworkConditions', {
    offline: false, latency: ROUND_TRIP_MS, downloadThroughput: LINE_BYTES_PER_S, uploadThroughput: LINE_BYTES_PER_S,
  });
  const begun = Date.now();
  await page.goto('/');
  await page.getByLabel('登录名').waitFor();
  const signInMs = Date.now() - begun;
  await signIn(page, stage.supervisors[0] as Login);
  await page.locator('a.tile-row').first().waitFor();
  await page.waitForLoadState('networkidle');
  const loaded = bytes;
  const again = Date.now();
  await line.send('Network.setCacheDisabled', { cacheDisabled: true });
  await page.goto('/records/household');
  await page.locator('a.row-link').first().waitFor();
  const listMs = Date.now() - again;
  console.log(`first load: ${Math.round(loaded / 1000)} kB with the day's page; sign-in usable after ${signInMs} ms; the list, nothing cached, after ${listMs} ms`);
  expect(loaded).toBeLessThan(FIRST_LOAD_BYTES_MAX);
  await page.context().close();
});
