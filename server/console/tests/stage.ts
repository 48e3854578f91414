/** A server process with records from real phones: what the browser tests look at. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { household, visit } from './people';

const ROOT = process.env.FIELDBOOK_ROOT ?? resolve(process.cwd(), '../..');
const PROGRAMS = process.env.FIELDBOOK_PROGRAMS ?? join(ROOT, 'target/debug');
const COUNTY = '632323';
const TOWNSHIPS = [['100', '泽曲镇'], ['101', '麦秀镇'], ['102', '和日镇'], ['103', '宁秀镇'], ['200', '王家乡'], ['201', '西卜沙乡'], ['202', '多禾茂乡']] as const;

/** The family on which two phones disagree. */
export const FAMILY = id(1);
/** The record whose number of persons breaks the form's rule. */
export const BROKEN = id(2);
/** The record that was approved and then changed. */
export const AMENDED = id(3);

/** Two files of one family, made in two townships. */
export const TWICE = { first: id(14), second: id(90_000_001), person: 14 };

export interface Login {
  login: string;
  password: string;
}

function id(number: number): string {
  return `5b1f6f0e-3a57-4c55-9d0c-${String(number).padStart(12, '0')}`;
}

/** Id of household `number`, from 1. */
export const familyId = id;

/** A phone of one user. */
export class Phone {
  constructor(private readonly home: string) {}

  run(...args: string[]): string {
    return execFileSync(join(PROGRAMS, 'fieldbook-phone'), ['--home', this.home, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  }

  feed(command: string[], lines: unknown[]): string {
    const file = `${this.home}.ndjson`;
    writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return this.run(...command, file);
  }

  sync(): void {
    this.run('sync', '--json');
  }
}

/** The server's process with its data, until [`end`]. */
export class Stage {
  readonly folder = mkdtempSync(join(tmpdir(), 'fieldbook-console-'));
  url = '';
  private child?: ChildProcess;
  readonly supervisors: Login[] = [];
  readonly phones = new Map<string, Phone>();

  administer(...args: string[]): string {
    const program = join(PROGRAMS, 'fieldbook-server');
    return execFileSync(program, ['--data', join(this.folder, 'server'), '--lang', 'en', ...args], { encoding: 'utf8' });
  }

  /** Starts the server: the first time on a free port, later where it was. */
  async start(): Promise<void> {
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const child = spawn(join(PROGRAMS, 'fieldbook-server'), ['--data', join(this.folder, 'server'), '--lang', 'en', 'serve', '--listen', listen], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.child = child;
    this.url = await new Promise<string>((found, failed) => {
      let printed = '';
      child.on('exit', (code) => failed(new Error(`the server ended with ${code}: ${printed}`)));
      child.stdout?.on('data', (bytes: Buffer) => {
        printed += bytes.toString();
        const url = /https:\/\/[0-9.]+:\d+/.exec(printed);
        if (url && printed.includes('root pin: ')) found(url[0]);
      });
    });
  }

  /** Ends the server's process; its data stays. */
  async stop(): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((ended) => child.once('exit', ended));
    child.removeAllListeners('exit');
    child.once('exit', () => undefined);
    child.kill('SIGKILL');
    await Promise.race([gone, new Promise((ended) => setTimeout(ended, 2_000))]);
  }

  async end(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  user(name: string, login: string, unit: string, role: string): Login {
    const printed = this.administer('user', 'add', name, '--unit', unit, '--role', role, '--login', login);
    const password = /password (\S+)/.exec(printed)?.[1];
    return { login, password: password ?? '' };
  }

  /** An enrolment link. */
  invite(login: string): string {
    const link = /fieldbook:\/\/\S+/.exec(this.administer('device', 'enrol', login))?.[0];
    if (!link) throw new Error(`no link for ${login}`);
    return link;
  }

  phone(login: string, link = this.invite(login)): Phone {
    const home = join(this.folder, `phone-${login}-${this.phones.size}`);
    mkdirSync(home, { recursive: true });
    const phone = new Phone(home);
    phone.run('enrol', link, '--name', `红米 Note（${login}）`);
    this.phones.set(login, phone);
    return phone;
  }

  /** The supervisors' API as a script uses it. */
  async call(login: Login, method: string, path: string, body?: unknown): Promise<unknown> {
    const token = await this.token(login);
    const answer = await fetch(`${this.url}/api/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  private readonly tokens = new Map<string, string>();

  private async token(login: Login): Promise<string> {
    const known = this.tokens.get(login.login);
    if (known) return known;
    const answer = await fetch(`${this.url}/api/v1/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(login),
    });
    const { token } = (await answer.json()) as { token: string };
    this.tokens.set(login.login, token);
    return token;
  }
}

/** Units, users, phones, and `count` households, of which most wait for review. */
export async function setUp(count: number): Promise<Stage> {
  // The server signs its own certificate; phones are told its key, this process is not.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  const stage = new Stage();
  stage.administer('unit', 'add', COUNTY, '泽库县总工会', '--division', COUNTY);
  for (const [code, name] of TOWNSHIPS) stage.administer('unit', 'add', COUNTY + code, `${name}工会`, '--parent', COUNTY);
  stage.user('多杰', 'duojie', `${COUNTY}100`, 'field');
  stage.user('马秀英', 'maxiuying', `${COUNTY}100`, 'field');
  stage.user('王建国', 'wangjianguo', `${COUNTY}101`, 'field');
  stage.supervisors.push(stage.user('李措毛', 'licuomao', COUNTY, 'county'), stage.user('张海燕', 'zhanghaiyan', COUNTY, 'county'));
  stage.administer('user', 'second-factor', 'optional');
  await stage.start();
  for (const login of ['duojie', 'maxiuying', 'wangjianguo']) stage.phone(login).sync();
  fill(stage, count);
  await disagree(stage, count);
  return stage;
}

function fill(stage: Stage, count: number): void {
  const first = Math.max(3, Math.floor(count * 0.7));
  const families = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => from + at).map((number) => ({
      id: id(number), values: household(number, number === 2), submit: number === 2 || (number > 3 && number % 5 !== 0 && number !== count),
    }));
  const [duojie, , wangjianguo] = [...stage.phones.values()] as [Phone, Phone, Phone];
  duojie.feed(['import', 'household'], families(1, first));
  duojie.feed(['import', 'visit'], [1, 2, 3, 4].map((number) => ({ values: visit(id(number), number) })));
  duojie.sync();
  wangjianguo.feed(['import', 'household'], [...families(first, count + 1), { id: TWICE.second, values: household(TWICE.person), submit: true }]);
  wangjianguo.sync();
}

/** Two phones change one family without hearing of each other; one record is approved and changed all the same. */
async function disagree(stage: Stage, count: number): Promise<void> {
  const [duojie, maxiuying, wangjianguo] = [...stage.phones.values()] as [Phone, Phone, Phone];
  const supervisor = stage.supervisors[0] as Login;
  maxiuying.sync();
  duojie.feed(['edit'], [
    { id: FAMILY, set: { 'economy/annual_income': 1_980_000, 'basic/address': '热旭日村2社17号' } },
    { id: AMENDED, set: { 'economy/other_income': 60_000 }, submit: true },
  ]);
  maxiuying.feed(['edit'], [
    { id: FAMILY, set: { 'economy/annual_income': 2_340_000, 'head/phone': '13997600777' }, submit: true },
    { id: AMENDED, set: { 'head_work/employer': '泽库县蔬菜批发市场', 'head_work/monthly_income': 250_000 } },
  ]);
  duojie.sync();
  const { heads } = (await stage.call(supervisor, 'GET', `records/${AMENDED}`)) as { heads: string[] };
  await stage.call(supervisor, 'POST', `records/${AMENDED}/approve`, { heads });
  maxiuying.sync();
  // A role that was withdrawn while its holder was on the road: what he then brings waits in quarantine.
  wangjianguo.feed(['edit'], [{ id: id(count), set: { 'economy/annual_income': 2_000_000, 'assets/area': 75 } }]);
  stage.administer('user', 'role', 'wangjianguo', '--take', `field@${COUNTY}101`);
  wangjianguo.sync();
}
