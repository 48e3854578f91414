/** What a browser calls itself, in short. */

const BROWSERS: [RegExp, string][] = [
  [/MicroMessenger\/(\d+)/, 'WeChat'], [/Edg\/(\d+)/, 'Edge'], [/360(?:SE|EE)/, '360'], [/QQBrowser\/(\d+)/, 'QQBrowser'], [/Firefox\/(\d+)/, 'Firefox'],
  [/(?:Headless)?Chrome\/(\d+)/, 'Chrome'], [/Version\/(\d+).*Safari/, 'Safari'],
];
const SYSTEMS: [RegExp, string][] = [
  [/Windows NT 10/, 'Windows'], [/Windows NT 6\.1/, 'Windows 7'], [/Windows/, 'Windows'], [/HarmonyOS/, 'HarmonyOS'], [/Android/, 'Android'],
  [/iPhone|iPad/, 'iOS'], [/Mac OS X/, 'macOS'], [/Linux/, 'Linux'],
];
const CHARS_MAX = 60;

/** The browser and its system, such as `Chrome 120 · Windows`; what is not known is cut short. */
export function agentText(agent: string): string {
  const first = (known: [RegExp, string][]) => {
    const found = known.find(([pattern]) => pattern.test(agent));
    return found && [found[1], found[0].exec(agent)?.[1]].filter(Boolean).join(' ');
  };
  const named = [first(BROWSERS), first(SYSTEMS)].filter(Boolean).join(' · ');
  return named || agent.slice(0, CHARS_MAX);
}
