/** Forms tried out and published, a user's own account, and the audit log. */
import { readFileSync } from 'node:fs';

import { accessible, expect, expected, listen, picture, signedIn, signIn, test } from './base';
import { STEP_S, totp } from './totp';
import { workbook } from './workbook';

const NEW_PASSWORD = 'Henan 9 mdo smad';

/** The visit form with a label changed, a field taken out, and one added that must be answered. */
function changed(survey: string): string {
  const cells = survey.split('\n')[0]?.split(',').length ?? 0;
  const added = ['integer', 'minutes', '走访时长（分钟）', 'Minutes', '', '', 'yes'];
  const row = [...added, ...Array.from({ length: cells - added.length }, () => '')].join(',');
  return survey
    .replace('下次走访日期,Next visit', '计划下次走访日期,Next visit planned')
    .replace(/^text,remarks,.*\n/m, `${row}\n`)
    .replace('照片类别,Kind', '照片内容,Kind');
}

test('forms and their versions', async ({ page }) => {
  await page.goto('/forms');
  await expect(page.getByRole('cell', { name: '走访记录 visit' })).toBeVisible();
  await accessible(page);
  await picture(page, 'forms');
  await page.getByRole('link', { name: '试填：走访记录 第 1 版' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('走访记录 第 1 版');
});

test('a published form is filled in as on a phone, and keeps nothing', async ({ page }) => {
  await page.goto('/forms/household/1');
  const phone = page.locator('.phone');
  const onward = page.getByRole('button', { name: '下一屏' });
  await phone.getByLabel('现住址').fill('热旭日村2社17号');
  await onward.click();
  await phone.getByLabel('姓名').fill('才让卓玛');
  await phone.getByLabel('身份证号码').fill('63232319900101001');
  await phone.getByLabel('身份证号码').press('Enter');
  await expect(phone.locator('.mark-problem')).toBeVisible();
  await phone.getByLabel('证件类型').selectOption('none');
  await expect(phone.getByLabel('无证件原因')).toBeVisible();
  await expect(phone.getByLabel('身份证号码')).toHaveCount(0);
  await page.getByRole('button', { name: '撤销一步' }).click();
  await expect(phone.getByLabel('身份证号码')).toHaveValue('63232319900101001');
  await accessible(page);
  await picture(page, 'form-trial');
  await page.getByLabel('语言').press('Enter');
  await page.getByTitle('英语').click();
  await expect(phone.getByLabel('ID number')).toBeVisible();
  await page.getByRole('button', { name: '从头再来' }).click();
  await expect(phone.getByText('1 / ')).toBeVisible();
});

test('rows, choices, and what is missing at the end', async ({ page }) => {
  await page.goto('/forms/household/1');
  const phone = page.locator('.phone');
  const onward = page.getByRole('button', { name: '下一屏' });
  for (const screen of [2, 3, 4, 5]) {
    await onward.click();
    await expect(phone.getByText(`${screen} / `)).toBeVisible();
  }
  await phone.getByRole('button', { name: '添加：家庭成员' }).click();
  await expect(phone.getByRole('heading', { name: '家庭成员 1', exact: true })).toBeVisible();
  await phone.getByLabel('与建档职工的关系').selectOption({ index: 2 });
  await phone.getByRole('checkbox', { name: '城乡居民医保' }).check();
  await phone.getByLabel('月收入').fill('180000');
  await phone.getByLabel('月收入').blur();
  await expect(phone.getByText('= 1,800.00 元')).toBeVisible();
  await page.getByRole('button', { name: '检查全部' }).click();
  await expect(page.locator('.why-not li').first()).toBeVisible();
  await accessible(page);
  await picture(page, 'form-trial-rows');
  await phone.getByRole('button', { name: '删除：家庭成员 1' }).click();
  await expect(phone.getByRole('heading', { name: '家庭成员 1', exact: true })).toHaveCount(0);
  await page.locator('.why-not li button').first().click();
  await expect(phone.getByText('1 / ')).toBeVisible();
});

test('a workbook with mistakes says where', async ({ page }) => {
  await page.goto('/forms');
  const buffer = workbook('visit', '2', (survey) => survey.replaceAll("${type} != 'phone'", "${kind_of_visit} != 'phone'"));
  await page.getByLabel('表单文件').setInputFiles({ name: '走访记录.zip', mimeType: 'application/zip', buffer });
  await expect(page.getByRole('alert').getByText('survey').first()).toBeVisible();
  await expect(page.getByRole('alert')).toContainText('relevant');
  await accessible(page);
  await picture(page, 'form-errors');
  expected.messages = [/422/];
  const dragged = await page.evaluateHandle(() => {
    const files = new DataTransfer();
    files.items.add(new File(['no form'], 'notes.txt'));
    return files;
  });
  await page.locator('.drop').dispatchEvent('drop', { dataTransfer: dragged });
  await expect(page.getByText('这个文件不能用作表单')).toBeVisible();
});

test('a new version: what changes, tried out, published', async ({ page }) => {
  await page.goto('/forms');
  await page.getByLabel('表单文件').setInputFiles({ name: '走访记录.zip', mimeType: 'application/zip', buffer: workbook('visit', '2', changed) });
  await expect(page.getByText(/与第 1 版相比：\d+ 处不同/)).toBeVisible();
  await expect(page.getByRole('cell', { name: '新增', exact: true })).toBeVisible();
  await expect(page.locator('.phone').getByText('走访对象')).toBeVisible();
  await accessible(page);
  await picture(page, 'form-preview');
  await page.getByRole('button', { name: /^发\s*布$/ }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByText('4 份已有档案将按新版本重新读取和检查。')).toBeVisible();
  await accessible(page);
  await picture(page, 'form-publish');
  await dialog.getByRole('button', { name: /^发\s*布$/ }).click();
  await expect(page.getByRole('link', { name: '试填：走访记录 第 2 版' })).toBeVisible();
  await expect(page.getByRole('cell', { name: '李措毛' })).toBeVisible();
  // The same content again is the same version; other content under its number is not.
  const other = workbook('visit', '2', (survey) => changed(survey).replace('走访时长（分钟）', '走访用时（分钟）'));
  await page.getByLabel('表单文件').setInputFiles({ name: '走访记录.zip', mimeType: 'application/zip', buffer: other });
  await expect(page.getByText('请换一个版本号再上传')).toBeVisible();
  await expect(page.getByRole('button', { name: /^发\s*布$/ })).toBeDisabled();
});

test('the account: sessions, password, second factor', async ({ browser, stage }) => {
  const who = stage.user('德吉措', 'dejicuo', '632323', 'county');
  const page = await (await browser.newContext({ baseURL: stage.url })).newPage();
  expected.messages = [/401/, /422/];
  const said = listen(page);
  await page.goto('/');
  await signIn(page, who);
  const elsewhere = await (await browser.newContext({ baseURL: stage.url })).newPage();
  await elsewhere.goto('/');
  await signIn(elsewhere, who);
  await expect(elsewhere.getByRole('navigation')).toBeVisible();
  await page.getByRole('button', { name: /德吉措/ }).click();
  await page.getByText('我的账号').click();
  await expect(page.getByText('没有可用的恢复码')).toBeVisible();
  await expect(page.getByText('本次登录')).toBeVisible();
  await accessible(page);
  await picture(page, 'account');
  await page.getByRole('button', { name: /^结束 .* 的登录/ }).click();
  await expect(page.getByRole('button', { name: /^结束 .* 的登录/ })).toHaveCount(0);
  await page.getByLabel('现在的密码').fill('not this one');
  await page.getByLabel('新密码', { exact: true }).fill(NEW_PASSWORD);
  await page.getByLabel('再输一遍新密码').fill(NEW_PASSWORD);
  await page.getByRole('button', { name: '修改密码' }).click();
  await expect(page.locator('.failed')).toBeVisible();
  await page.getByLabel('现在的密码').fill(who.password);
  await page.getByRole('button', { name: '修改密码' }).click();
  await expect(page.getByText('密码已修改')).toBeVisible();
  await page.getByRole('button', { name: '重新设置验证器' }).click();
  await page.getByLabel('密码', { exact: true }).fill(NEW_PASSWORD);
  await page.getByRole('button', { name: '下一步' }).click();
  const secret = (await page.locator('.secret').textContent()) ?? '';
  await accessible(page);
  await picture(page, 'account-second-factor');
  await page.getByLabel('六位验证码').fill(totp(secret, Math.floor(Date.now() / 1000 / STEP_S)));
  await page.getByRole('button', { name: '下一步' }).click();
  await expect(page.locator('.codes li')).toHaveCount(10);
  await accessible(page);
  await page.getByRole('button', { name: '已保存好' }).click();
  await expect(page.getByText('还有 10 个恢复码可用。')).toBeVisible();
  expect(said.filter((line) => !expected.messages.some((known) => known.test(line)))).toEqual([]);
  await elsewhere.context().close();
  await page.context().close();
});

test('the audit log: filtered, in the address, as CSV', async ({ page }) => {
  await page.goto('/audit');
  await expect(page.getByRole('button', { name: '添加人员' }).first()).toBeVisible();
  await accessible(page);
  await picture(page, 'audit');
  await page.getByRole('button', { name: '添加人员' }).first().click();
  await expect(page).toHaveURL(/action=user_added/);
  await expect(page.getByText('县级（泽库县总工会）').first()).toBeVisible();
  await page.getByLabel('从').fill('2030-01-01');
  await page.getByLabel('从').press('Enter');
  await expect(page.getByText('没有符合条件的记录。')).toBeVisible();
  await page.reload();
  await expect(page.getByLabel('从')).toHaveValue('2030-01-01');
  await page.getByRole('button', { name: '清除条件' }).click();
  await page.getByLabel('操作人').fill('licuomao');
  await page.getByLabel('操作人').press('Enter');
  await expect(page).toHaveURL(/user=licuomao/);
  // The people of the staff list were added by her too; what the command line did is not hers.
  await expect(page.getByText('（服务器命令行）')).toHaveCount(0);
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: /下载 CSV/ }).click()]);
  expect(readFileSync(await file.path(), 'utf8')).toMatch(/^\uFEFFnumber,time_ms,user,/);
  // That it was taken is a row too.
  await expect(page.getByRole('button', { name: '导出' })).toBeVisible();
});

test('who may not read the audit log is told who may', async ({ browser, stage }) => {
  expected.messages = [/403/];
  const who = stage.user('彭毛措', 'pengmaocuo', '632323100', 'township');
  const page = await (await browser.newContext({ baseURL: stage.url })).newPage();
  await page.goto('/');
  await signIn(page, who);
  await expect(page.getByRole('link', { name: '设备' })).toBeVisible();
  await expect(page.getByRole('link', { name: '操作日志' })).toHaveCount(0);
  await page.goto('/audit');
  await expect(page.getByText('只有最上级单位的审核人员和审计员可以查看操作日志。')).toBeVisible();
  await accessible(page);
  await picture(page, 'audit-not-yours');
  await page.context().close();
});

test('forms, account and audit log in English', async ({ browser, stage }) => {
  const page = await signedIn(browser, stage, 1);
  await page.getByRole('button', { name: 'English' }).click();
  await page.goto('/forms/visit/1');
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Visit, version 1');
  await accessible(page);
  await page.goto('/audit');
  await expect(page.getByRole('columnheader', { name: 'Subject' })).toBeVisible();
  await accessible(page);
  await page.context().close();
});
