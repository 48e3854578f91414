/** A user's first day: a password of their own, an authenticator app, recovery codes; and signing in with them. */
import { accessible, expect, expected, listen, picture, signIn, test } from './base';
import { STEP_S, totp } from './totp';

const OWN_PASSWORD = 'Tse-khog 3700 m';

test('a new user sets up the account, and signs in with a code', async ({ browser, stage }) => {
  stage.administer('user', 'second-factor', 'required');
  try {
    const who = stage.user('才让卓玛', 'cairangzhuoma', '632323', 'county');
    const page = await (await browser.newContext({ baseURL: stage.url })).newPage();
    expected.messages = [/401/, /422/];
    const said = listen(page);
    await page.goto('/');
    await signIn(page, who);
    await page.getByLabel('初始密码').fill(who.password);
    await page.getByLabel('新密码', { exact: true }).fill('short');
    await page.getByLabel('再输一遍新密码').fill('other');
    await page.getByRole('button', { name: '下一步' }).click();
    await expect(page.getByText('两次输入的不一样')).toBeVisible();
    await page.getByLabel('再输一遍新密码').fill('short');
    await page.getByRole('button', { name: '下一步' }).click();
    await expect(page.locator('.failed')).toContainText('密码至少 10 个字符');
    await accessible(page);
    await picture(page, 'set-up-password');
    await page.getByLabel('新密码', { exact: true }).fill(OWN_PASSWORD);
    await page.getByLabel('再输一遍新密码').fill(OWN_PASSWORD);
    await page.getByRole('button', { name: '下一步' }).click();
    await page.getByLabel('密码', { exact: true }).fill(OWN_PASSWORD);
    await page.getByRole('button', { name: '下一步' }).click();
    await expect(page.getByAltText('身份验证器的二维码')).toBeVisible();
    const secret = (await page.locator('.secret').textContent()) ?? '';
    await accessible(page);
    await picture(page, 'set-up-second-factor');
    const step = Math.floor(Date.now() / 1000 / STEP_S);
    await page.getByLabel('六位验证码').fill(totp(secret, step));
    await page.getByRole('button', { name: '下一步' }).click();
    await expect(page.locator('.codes li')).toHaveCount(10);
    const recovery = (await page.locator('.codes li').first().textContent()) ?? '';
    await accessible(page);
    await page.getByRole('button', { name: '已保存，开始工作' }).click();
    await expect(page.getByRole('navigation')).toBeVisible();

    await page.context().clearCookies();
    await page.goto('/');
    await signIn(page, { login: who.login, password: OWN_PASSWORD });
    // The code that set it up counts no more; the next step's is within what clocks may differ.
    await page.getByLabel('验证码').fill(totp(secret, step));
    await page.getByRole('button', { name: /^登\s*录$/ }).click();
    await expect(page.getByText('验证码不正确或已用过')).toBeVisible();
    await accessible(page);
    await picture(page, 'sign-in-code');
    await page.getByLabel('验证码').fill(recovery);
    await page.getByRole('button', { name: /^登\s*录$/ }).click();
    await expect(page.getByRole('navigation')).toBeVisible();
    expect(said.filter((line) => !expected.messages.some((known) => known.test(line)))).toEqual([]);
    await page.context().close();
  } finally {
    stage.administer('user', 'second-factor', 'optional');
  }
});
