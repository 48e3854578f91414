/** Going from record to record in the order in which a list showed them, whatever has been decided meanwhile. */
import { useInfiniteQuery } from '@tanstack/react-query';
import { useEffect } from 'react';

import { answer, api } from '../api/client';
import { PAGE_SIZE, queryClient } from '../api/queries';
import { filterParams, type Filters } from './filters';

/** The next page is asked for when so few records are left. */
const AHEAD = 3;

export interface Neighbours {
  previous: string | undefined;
  next: string | undefined;
  /** Place among those loaded, from 1; 0 where the list does not hold the record. */
  at: number;
  loaded: number;
  more: boolean;
}

/** What stands before and after `id` in the list with these filters. */
export function useNeighbours(kind: string, filters: Filters, id: string): Neighbours {
  const pages = useInfiniteQuery({
    queryKey: ['walk', kind, filterParams(filters)],
    initialPageParam: filters.after,
    queryFn: ({ pageParam }) =>
      answer(api.GET('/kinds/{kind}/records', { params: { path: { kind }, query: { ...filterParams(filters), after: pageParam, limit: PAGE_SIZE } } })),
    getNextPageParam: (last) => last.next ?? undefined,
    staleTime: Infinity,
  });
  const ids = pages.data?.pages.flatMap((page) => page.records.map((row) => row.id)) ?? [];
  const at = ids.indexOf(id);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = pages;
  const nearEnd = at >= 0 && at >= ids.length - AHEAD;
  useEffect(() => {
    if (nearEnd && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [nearEnd, hasNextPage, isFetchingNextPage, fetchNextPage]);
  return {
    previous: at > 0 ? ids[at - 1] : undefined,
    next: at >= 0 ? ids[at + 1] : undefined,
    at: at + 1, loaded: ids.length, more: hasNextPage,
  };
}

/** A list is looked at anew: the next walk begins with what it shows then. */
export function forgetWalks(): void {
  queryClient.removeQueries({ queryKey: ['walk'] });
}
