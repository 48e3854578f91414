/** Rows of a list that are picked for one decision on all of them. */
import { useEffect, useState } from 'react';

/** What is picked of `rows`; another `list` begins with none. Each row's link has the id `row-…`. */
export function usePicked<Row extends { id: string | number }>(rows: Row[] | undefined, list: unknown) {
  const [picked, setPicked] = useState<Row[]>([]);
  useEffect(() => setPicked([]), [list]);
  /** Picks the row that has the keyboard, or lets it go. */
  const turn = (): void => {
    const row = rows?.find((one) => `row-${one.id}` === document.activeElement?.id);
    if (row) setPicked(picked.some((one) => one.id === row.id) ? picked.filter((one) => one.id !== row.id) : [...picked, row]);
  };
  return { picked, setPicked, turn };
}
