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

test('today', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByRole('region', { name: '待审核' }).getByRole('link').first()).toBeVisible();
  await accessible(page);
  await picture(page, 'today');
});

test('overview, by mouse and by keyboard into the list', async ({ page }) => {
  await page.goto('/overview?kind=household');
  await expect(page.getByRole('img', { name: '困难职工家庭档案：位置' }).locator('canvas')).toBeVisible();
  await accessible(page);
  await picture(page, 'overview');
  await page.locator('.counts').getByRole('link').nth(2).click();
  await expect(page).toHaveURL(/records\/household\?.*state=submitted/);
});

test('positions on the map', async ({ page }) => {
  await page.goto('/overview?kind=household');
  const map = page.getByRole('img', { name: '困难职工家庭档案：位置' });
  await map.locator('canvas').waitFor();
  await map.scrollIntoViewIfNeeded();
  await picture(page, 'overview-map');
});

test('doubles side by side', async ({ page }) => {
  await page.goto('/doubles');
  await page.locator('button.row-link').first().click();
  await expect(page.getByRole('button', { name: '＝ 是同一个人' })).toBeEnabled();
  await accessible(page);
  await picture(page, 'doubles');
  await page.getByRole('tab', { name: '已决定' }).click();
  await expect(page.getByText('还没有做过决定。')).toBeVisible();
  await accessible(page);
});

test('sync reports', async ({ page }) => {
  await page.goto('/exchanges?with=conflicts');
  await page.locator('button.row-link').first().click();
  await expect(page.locator('.side-list .mark-conflict').first()).toBeVisible();
  // Beside an opened report the last column is still there to be seen.
  await expect(page.getByRole('columnheader', { name: '拒收' })).toBeInViewport({ ratio: 1 });
  await accessible(page);
  await picture(page, 'exchanges');
});

test('more filters', async ({ page }) => {
  await page.goto('/records/household');
  await page.getByRole('button', { name: '更多条件 ▾' }).click();
  await page.getByLabel('收到时间：从').fill('2020-01-01');
  await expect(page).toHaveURL(/received=2020-01-01/);
  await accessible(page);
  await picture(page, 'records-filters');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: /取消条件：收到时间/ }).click();
  await expect(page).not.toHaveURL(/received/);
});

test('records of a kind', async ({ page }) => {
  await page.goto('/records/household');
  await expect(page.locator('a.row-link').first()).toBeVisible();
  await expect(page.getByRole('columnheader', { name: '收到时间' })).toBeInViewport({ ratio: 1 });
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
  await page.keyboard.press('/');
  await page.keyboard.type('绝无此人');
  await expect(page.getByText('没有符合条件的设备。')).toBeVisible();
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
