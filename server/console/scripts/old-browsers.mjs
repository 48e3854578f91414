// Fails where the built program calls what Chromium 87 does not have: the build mends syntax, not calls.
import { readFileSync, readdirSync } from 'node:fs';

const TOO_NEW = [
  /\.at\(-?\d/, /structuredClone\(/, /Object\.hasOwn\(/, /\.findLast(Index)?\(/, /\.randomUUID\(/, /\.to(Sorted|Reversed|Spliced)\(/,
  /AbortSignal\.(timeout|any)\(/, /Object\.groupBy\(/, /Promise\.withResolvers\(/, /Array\.fromAsync\(/, /\.(union|isSubsetOf|isSupersetOf)\(/,
];
/** Rectangles of the charts' library have a method `union` of their own. */
const OWN = { file: /^chart-/, call: 'union' };

const assets = new URL('../dist/assets/', import.meta.url);
const found = readdirSync(assets).filter((name) => /\.(js|css)$/.test(name)).flatMap((name) => {
  const text = readFileSync(new URL(name, assets), 'utf8');
  const patterns = name.endsWith('.css') ? [/:has\(/, /:where\(/, /:is\(/, /@container/, /@layer/, /color-mix\(/] : TOO_NEW;
  return patterns.filter((pattern) => pattern.test(OWN.file.test(name) ? text.replaceAll(`.${OWN.call}(`, '(') : text)).map((pattern) => `${name}: ${pattern.source}`);
});
if (found.length > 0) {
  console.error(`Newer than Chromium 87:\n${found.join('\n')}`);
  process.exit(1);
}
