// Puts a Brotli copy beside every built file that it makes smaller, and says what a first visit loads.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';

const dist = new URL('../dist/', import.meta.url);
const params = { [constants.BROTLI_PARAM_QUALITY]: 11 };
const sizes = new Map();
for (const name of readdirSync(dist, { recursive: true })) {
  if (!/\.(js|css|svg)$/.test(name)) continue;
  const plain = readFileSync(new URL(name, dist));
  const small = brotliCompressSync(plain, { params });
  if (small.length < plain.length) writeFileSync(new URL(`${name}.br`, dist), small);
  sizes.set(name, Math.min(small.length, plain.length));
}
const html = readFileSync(new URL('index.html', dist), 'utf8');
const first = [...html.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((match) => match[1]);
const sum = (names) => names.reduce((total, name) => total + (sizes.get(name) ?? 0), 0);
const kB = (bytes) => `${Math.round(bytes / 1000)} kB`;
console.log(`Brotli: the page's own files ${kB(sum(first))}, all ${kB(sum([...sizes.keys()]))}`);
