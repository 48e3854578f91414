/** Every page: what stands on it, that axe finds nothing, and its picture. */
import { accessible, expect, picture, test } from './base';
import { AMENDED, BROKEN, FAMILY } from './stage';

test('sign in', async ({ browser, stage }) => {
  const page = await (await browser.newContext({ baseURL: stage.url })).newPage();
  await page.goto('/records/household');
  await expect(page.getByRole('heading', { name: '走访本' })).toBeVisible();
  await accessible(page);
  await picture(page, 'sign-in');
  await page.getByLabel('登录名').fill('licuomao');
  await page.getByLabel('密码', { exact: true }).fill('not-this-one');
  await page.getByRole('button', { name: /登\s*录/ }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await accessible(page);
});

test('records of a kind', async ({ page }) => {
  await page.goto('/records/household');
  await expect(page.locator('a.row-link').first()).toBeVisible();
  await accessible(page);
  await picture(page, 'records');
});

test('one record with a disagreement', async ({ page }) => {
  await page.goto(`/records/household/${FAMILY}?conflicts=true`);
  await expect(page.getByRole('group', { name: '家庭年总收入' })).toBeVisible();
  await accessible(page);
  await picture(page, 'record-conflict');
});

test('one record that breaks a rule', async ({ page }) => {
  await page.goto(`/records/household/${BROKEN}`);
  await expect(page.getByText('家庭人口数应为1至20').first()).toBeVisible();
  await accessible(page);
  await picture(page, 'record-problem');
});

test('one record, changed after its approval', async ({ page }) => {
  await page.goto(`/records/household/${AMENDED}`);
  await expect(page.getByText('通过后有改动').first()).toBeVisible();
  await accessible(page);
  await picture(page, 'record-amended');
});

test('returning with reasons', async ({ page }) => {
  await page.goto(`/records/household/${BROKEN}`);
  await expect(page.getByRole('button', { name: '退回' })).toBeEnabled();
  await page.keyboard.press('r');
  await expect(page.getByLabel('原因（填写人会看到）')).toBeFocused();
  await accessible(page);
  await picture(page, 'record-return');
});

test('quarantine', async ({ page }) => {
  await page.goto('/quarantine');
  await page.locator('a.row-link').first().click();
  await expect(page.getByRole('button', { name: /接\s*收/ })).toBeVisible();
  await accessible(page);
  await picture(page, 'quarantine');
});

test('devices', async ({ page }) => {
  await page.goto('/devices');
  await expect(page.getByRole('cell', { name: '马秀英', exact: true })).toBeVisible();
  await accessible(page);
  await picture(page, 'devices');
});

test('shortcuts', async ({ page }) => {
  await page.goto('/devices');
  await expect(page.getByRole('cell', { name: '马秀英', exact: true })).toBeVisible();
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog')).toBeVisible();
  await accessible(page);
  await picture(page, 'shortcuts');
});

test('an address that leads nowhere', async ({ page }) => {
  await page.goto('/no/such/page');
  await expect(page.getByText('没有这个页面')).toBeVisible();
  await accessible(page);
});
