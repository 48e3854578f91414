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
  /** Place in the list, from 1; 0 where what was loaded does not hold the record. */
  at: number;
  /** Records of the list, on all its pages. */
  total: number;
}

/** Where a page of a list begins, or ends. */
type Place = Pick<Filters, 'after' | 'before'>;

/** What stands before and after `id` in the list with these filters. */
export function useNeighbours(kind: string, filters: Filters, id: string): Neighbours {
  const { after, before, ...others } = filterParams(filters);
  const pages = useInfiniteQuery({
    queryKey: ['walk', kind, filterParams(filters)],
    initialPageParam: { after, before } as Place,
    queryFn: ({ pageParam }) =>
      answer(api.GET('/kinds/{kind}/records', { params: { path: { kind }, query: { ...others, ...pageParam, limit: PAGE_SIZE } } })),
    getNextPageParam: (last): Place | undefined => (last.next ? { after: last.next } : undefined),
    getPreviousPageParam: (first): Place | undefined => (first.previous ? { before: first.previous } : undefined),
    staleTime: Infinity,
  });
  const ids = pages.data?.pages.flatMap((page) => page.records.map((row) => row.id)) ?? [];
  const at = ids.indexOf(id);
  const first = pages.data?.pages[0];
  const { hasNextPage, hasPreviousPage, isFetching, fetchNextPage, fetchPreviousPage } = pages;
  const nearEnd = at >= 0 && at >= ids.length - AHEAD && hasNextPage;
  const nearStart = at >= 0 && at < AHEAD && hasPreviousPage;
  useEffect(() => {
    if (isFetching) return;
    if (nearEnd) void fetchNextPage();
    else if (nearStart) void fetchPreviousPage();
  }, [nearEnd, nearStart, isFetching, fetchNextPage, fetchPreviousPage]);
  return {
    previous: at > 0 ? ids[at - 1] : undefined,
    next: at >= 0 ? ids[at + 1] : undefined,
    at: at < 0 ? 0 : (first?.before ?? 0) + at + 1, total: first?.total ?? ids.length,
  };
}

/** A list is looked at anew: the next walk begins with what it shows then. */
export function forgetWalks(): void {
  queryClient.removeQueries({ queryKey: ['walk'] });
}
