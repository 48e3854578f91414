// Empties dist/ but for its .gitignore, without which the server does not compile.
import { readdirSync, rmSync } from 'node:fs';

const dist = new URL('../dist/', import.meta.url);
for (const name of readdirSync(dist)) if (name !== '.gitignore') rmSync(new URL(name, dist), { recursive: true });
