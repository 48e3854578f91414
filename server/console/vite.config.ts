import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

/** Replaced by the server in every page that it gives out: `server/src/console.rs`. */
const NONCE_MARK = 'FIELDBOOK_NONCE';

export default defineConfig({
  plugins: [react()],
  html: { cspNonce: NONCE_MARK },
  build: {
    // The age of browsers on many office PCs.
    target: 'chrome87',
    // dist/.gitignore stays: the server's build needs the folder.
    emptyOutDir: false,
    modulePreload: { polyfill: false },
    // Inlined files would be `data:` addresses, which the page's policy allows for pictures only.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2_000,
  },
  server: { proxy: { '/api': { target: process.env.FIELDBOOK_URL ?? 'https://127.0.0.1:8443', secure: false } } },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'] },
});
