/**
 * Whether somebody is at the screen. Pages ask the server again and again by themselves; did that count as use, a session
 * that nobody attends would never end. Which of the requests a reader caused cannot be seen from a query: it may be run
 * by a click, by a timer, or by both at once. What can be seen is when somebody last touched anything.
 */

/**
 * What is asked for so long after the last input is nobody's doing. Longer than the retries and pages that follow a click
 * take, and so short that a session outlives its reader by no more than this.
 */
export const UNATTENDED_MS = 60_000;

/** Not `pointermove`: browsers make that up when a page moves under a pointer that rests. */
const INPUTS = ['pointerdown', 'click', 'keydown', 'input', 'wheel'] as const;

// A clock that nobody sets.
const now = (): number => window.performance.now();

let lastInputMs = now();

/** Whether a request is made by the page alone. Only reading is ever repeated: what changes something was wanted. */
export function isBackground(method: string, atMs: number = now()): boolean {
  return method === 'GET' && atMs - lastInputMs > UNATTENDED_MS;
}

/** Somebody is there. */
export function attended(atMs: number = now()): void {
  lastInputMs = atMs;
}

/** Notes from now on when somebody touches anything or comes back to the window. */
export function watchAttention(): void {
  const noted = (event: Event): void => {
    // Scripts dispatch events too.
    if (event.isTrusted) attended();
  };
  // Before any handler that asks the server for something, and also where one stops the event.
  for (const input of INPUTS) window.addEventListener(input, noted, { capture: true, passive: true });
  // Without `capture`: the focus of the window, not that of whatever a script focuses inside.
  window.addEventListener('focus', noted);
  document.addEventListener('visibilitychange', (event) => { if (document.visibilityState === 'visible') noted(event); });
}
