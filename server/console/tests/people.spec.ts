/** People: added by hand and from a list, changed, invited. */
import { accessible, expect, picture, test } from './base';

test('somebody is added, given another role, and invited', async ({ page, stage }) => {
  await page.goto('/people');
  await expect(page.getByRole('cell', { name: 'maxiuying', exact: true })).toBeVisible();
  await accessible(page);
  await picture(page, 'people');
  await page.getByRole('button', { name: '添加人员' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('姓名').fill('旦增');
  await dialog.getByLabel('登录名').fill('danzeng');
  await dialog.getByRole('combobox', { name: '单位' }).first().click();
  await page.locator('.ant-select-tree-title', { hasText: '麦秀镇工会' }).last().click();
  await accessible(page);
  await dialog.getByRole('button', { name: '添加人员' }).click();
  await expect(page.getByRole('cell', { name: 'danzeng', exact: true })).toBeVisible();
  await page.getByRole('button', { name: '对旦增的操作' }).click();
  await page.getByRole('menuitem', { name: '改角色…' }).click();
  await page.getByRole('button', { name: '+ 再加一个角色' }).click();
  await page.getByRole('combobox', { name: '角色' }).nth(1).click();
  await page.getByTitle('律师').click();
  await accessible(page);
  await page.getByRole('button', { name: /^保\s*存$/ }).click();
  await expect(page.getByRole('row', { name: /danzeng/ })).toContainText('律师（麦秀镇工会）');
  await page.getByRole('button', { name: '对旦增的操作' }).click();
  await page.getByRole('menuitem', { name: '绑定手机…' }).click();
  const link = await page.getByLabel('绑定链接').inputValue();
  await accessible(page);
  await picture(page, 'people-enrolment');
  expect(link).toMatch(/^fieldbook:\/\//);
  expect(stage.administer('user', 'list')).toContain('danzeng');
});

test('a staff list is looked at, mended, added, and printed', async ({ page }) => {
  await page.goto('/people');
  await page.getByRole('button', { name: '导入人员名单' }).click();
  const choose = async (text: string) =>
    page.locator('input[type=file]').setInputFiles({ name: '名单.csv', mimeType: 'text/csv', buffer: Buffer.from(`\uFEFF姓名,登录名,单位,角色\n${text}`) });
  await choose('央金,yangjin,和日镇工会,\n卓玛,zhuoma,没有的单位,\n=1+1,gongshi,和日镇工会,\n多杰,duojie,泽曲镇工会,\n');
  await expect(page.getByText('新增 1 人，已有 1 人，有误 2 行')).toBeVisible();
  await expect(page.getByRole('button', { name: '添加 1 人' })).toBeDisabled();
  await accessible(page);
  await picture(page, 'staff-list');
  await choose('央金,yangjin,和日镇工会,\n卓玛,zhuoma,632323103,乡镇\n多杰,duojie,泽曲镇工会,\n');
  await page.getByRole('button', { name: '添加 2 人' }).click();
  await expect(page.getByText('已添加 2 人。')).toBeVisible();
  await page.emulateMedia({ media: 'print' });
  await expect(page.locator('.sheet-card')).toHaveCount(2);
  await expect(page.locator('.sheet-card').first()).toBeVisible();
  await expect(page.locator('.frame')).toBeHidden();
  await picture(page, 'staff-sheet');
  await page.emulateMedia({ media: 'screen' });
  await expect(page.locator('.sheet')).toBeHidden();
  // What is shown only once is not left by a slip.
  const list = page.getByRole('dialog', { name: '导入人员名单' });
  const question = page.getByRole('dialog', { name: '绑定单还没有打印，仍要关闭？' });
  await page.keyboard.press('Escape');
  await expect(question).toContainText('在“人员”页用“补打绑定单”');
  await expect(question.getByRole('button', { name: '返回打印' })).toBeFocused();
  await accessible(page);
  await question.getByRole('button', { name: '返回打印' }).click();
  await expect(question).toBeHidden();
  await expect(page.locator('.sheet-card')).toHaveCount(2);
  // The browser's own dialog would wait for somebody.
  await page.evaluate(() => { window.print = () => undefined; });
  await list.getByRole('button', { name: '打印绑定单' }).click();
  await list.getByRole('button', { name: /^关\s*闭$/ }).last().click();
  await expect(list).toBeHidden();
  await expect(page.locator('.sheet-card')).toHaveCount(0);
});

test('a lost sheet is made anew, and its links work no longer', async ({ page, stage }) => {
  stage.user('扎西才让', 'zhaxicairang', '632323103', 'field');
  const lost = stage.invite('zhaxicairang');
  await page.goto('/people?unit=632323103');
  const row = page.getByRole('row', { name: /zhaxicairang/ });
  await expect(row).toContainText('二维码');
  await page.getByRole('button', { name: '补打绑定单' }).click();
  const dialog = page.getByRole('dialog', { name: '补打绑定单' });
  await expect(dialog.getByRole('checkbox', { name: '选择扎西才让' })).toBeChecked();
  await accessible(page);
  await picture(page, 'people-sheet');
  await dialog.getByRole('checkbox', { name: '全选' }).check();
  await dialog.getByRole('checkbox', { name: '全选' }).uncheck();
  await expect(dialog.getByRole('button', { name: '生成 0 张' })).toBeDisabled();
  await dialog.getByRole('checkbox', { name: '选择扎西才让' }).check();
  await dialog.getByRole('combobox', { name: '绑定二维码有效期：' }).click();
  await page.getByTitle('14 天').click();
  await dialog.getByRole('button', { name: '生成 1 张' }).click();
  await expect(dialog.getByText('已生成 1 张绑定单。')).toBeVisible();
  await expect(page.locator('.sheet-card')).toContainText('扎西才让');
  // Neither is it left by closing the page.
  const asked = page.waitForEvent('dialog');
  const going = page.goto('/today').catch(() => undefined);
  const question = await asked;
  expect(question.type()).toBe('beforeunload');
  await question.dismiss();
  await going;
  await page.evaluate(() => { window.print = () => undefined; });
  await dialog.getByRole('button', { name: '打印绑定单' }).click();
  await dialog.getByRole('button', { name: /^关\s*闭$/ }).last().click();
  await expect(dialog).toBeHidden();
  expect(() => stage.phone('zhaxicairang', lost)).toThrow(/refused/);
});

test('a new first password is shown once', async ({ page, stage }) => {
  // Nobody whom another test signs in.
  stage.user('完么措', 'wanmecuo', '632323', 'county');
  await page.goto('/people?text=wanmecuo');
  await page.getByRole('button', { name: '对完么措的操作' }).click();
  await page.getByRole('menuitem', { name: '取消身份验证器…' }).waitFor();
  await page.getByRole('menuitem', { name: '重设密码…' }).click();
  await accessible(page);
  await page.getByRole('dialog').getByRole('button', { name: /^确\s*定$/ }).click();
  await expect(page.getByText('只显示这一次；第一次登录时须改成自己的密码。')).toBeVisible();
  await accessible(page);
});
