/** Whether the server is reached. A lost connection is said on every page and tried again by itself. */
import { useSyncExternalStore } from 'react';

const FIRST_RETRY_MS = 2_000;
const RETRY_MS_MAX = 15_000;
/** A server that does not answer a try for so long is not there. */
const ANSWER_TIMEOUT_MS = 8_000;

type Listener = () => void;

let isLost = false;
let retryMs = FIRST_RETRY_MS;
let timer: number | undefined;
const listeners = new Set<Listener>();
const returned = new Set<Listener>();

function tell(): void {
  for (const listener of listeners) listener();
}

async function retry(): Promise<void> {
  const ended = new AbortController();
  const timeout = window.setTimeout(() => ended.abort(), ANSWER_TIMEOUT_MS);
  try {
    const answer = await fetch('/healthz', { cache: 'no-store', signal: ended.signal });
    if (answer.ok) return connection.reached();
  } catch {
    // Still away.
  } finally {
    window.clearTimeout(timeout);
  }
  retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
  timer = window.setTimeout(() => void retry(), retryMs);
}

export const connection = {
  /** An answer came. */
  reached(): void {
    if (!isLost) return;
    isLost = false;
    retryMs = FIRST_RETRY_MS;
    window.clearTimeout(timer);
    tell();
    for (const listener of returned) listener();
  },
  /** No answer came: says so, and tries until one does. */
  lost(): void {
    if (isLost) return;
    isLost = true;
    timer = window.setTimeout(() => void retry(), retryMs);
    tell();
  },
  /** Tries now. */
  tryNow(): void {
    window.clearTimeout(timer);
    void retry();
  },
  /** Calls `listener` each time that the server is reached again; returns what ends that. */
  onReturn(listener: Listener): Listener {
    returned.add(listener);
    return () => returned.delete(listener);
  },
};

/** Whether the connection is lost. */
export function useConnectionLost(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => isLost,
  );
}
