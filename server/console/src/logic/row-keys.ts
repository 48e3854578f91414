/** Going through a list by keys. */
import { useKeys } from './keys';

/** Up and down go from row to row: each row's link takes the focus, so that it is seen and Enter opens it. */
export function useRowKeys(): void {
  const step = (by: number): void => {
    const links = [...document.querySelectorAll<HTMLElement>('main .row-link')];
    const at = links.findIndex((link) => link === document.activeElement);
    const wanted = at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by;
    links[Math.max(0, Math.min(links.length - 1, wanted))]?.focus();
  };
  useKeys({ j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1) });
}
