/** What a page shows stands in its address: it can be saved, sent, and gone back to. */
import { useSearchParams } from 'react-router';

/** The address's part behind `?`, and what changes some of it; what is `undefined` is taken out. */
export function useAddress(): [URLSearchParams, (wanted: Record<string, string | undefined>) => void] {
  const [search, setSearch] = useSearchParams();
  const put = (wanted: Record<string, string | undefined>): void => {
    const next = new URLSearchParams(search);
    for (const [name, value] of Object.entries(wanted)) {
      if (value === undefined) next.delete(name);
      else next.set(name, value);
    }
    setSearch(next);
  };
  return [search, put];
}
