/** Whether the session that the pages were loaded in has ended: then they stay as they are, and ask to sign in again. */
import { useSyncExternalStore } from 'react';

let hasEnded = false;
let isOpen = false;
const listeners = new Set<() => void>();

function set(ended: boolean): void {
  if (hasEnded === ended) return;
  hasEnded = ended;
  for (const listener of listeners) listener();
}

export const session = {
  /** Somebody is signed in. */
  opened(): void {
    isOpen = true;
    set(false);
  },
  /** The server knows the session no more. Before anybody signed in that is no news. */
  ended(): void {
    if (isOpen) set(true);
  },
};

/** Whether the session has ended under the page. */
export function useSessionEnded(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => hasEnded,
  );
}
