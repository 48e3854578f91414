/** Shortcuts of one key. */
import { useEffect, useRef } from 'react';

/** What each key does. A key that does nothing here is left to the browser. */
export type Keys = Record<string, (() => void) | undefined>;

/** A box that was just ticked takes no letters: the keys go on working. */
const TICKED = ['checkbox', 'radio'];

function types(target: EventTarget | null): boolean {
  if (target instanceof HTMLInputElement && TICKED.includes(target.type)) return false;
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function inDialog(): boolean {
  return document.querySelector('[role="dialog"]:not([hidden])') !== null && [...document.querySelectorAll<HTMLElement>('[role="dialog"]')].some((dialog) => dialog.offsetParent !== null);
}

/** Reacts to single keys while the component is there: not while somebody types, and not behind a dialog. */
export function useKeys(keys: Keys): void {
  const current = useRef(keys);
  useEffect(() => {
    current.current = keys;
  });
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (types(event.target) || inDialog()) return;
      const act = current.current[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    window.addEventListener('keydown', pressed);
    return () => window.removeEventListener('keydown', pressed);
  }, []);
}
