import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import openapiTs, { astToString, COMMENT_HEADER } from 'openapi-typescript';
import { expect, test } from 'vitest';

// @vitest-environment node

test('the client is the one that docs/openapi.json makes: `npm run api` writes it', async () => {
  const made = await openapiTs(pathToFileURL(resolve('../../docs/openapi.json')));
  expect(readFileSync('src/api/generated/schema.d.ts', 'utf8')).toBe(COMMENT_HEADER + astToString(made));
});
