/** What pages ask the server for. */
import { keepPreviousData, QueryClient, useQuery } from '@tanstack/react-query';

import { filterParams, type Filters } from '../logic/filters';
import { ApiProblem, answer, api, NotReached } from './client';
import type { paths } from './generated/schema';

/** A page of records. */
export const PAGE_SIZE = 100;
/** How often an open record is asked for again: two people may read it at once. */
const RECORD_REFETCH_MS = 10_000;
/** The day's page is left open: what waits is counted anew. */
const TODAY_REFETCH_MS = 60_000;
/** Lists are asked for again when they are older. */
const STALE_MS = 15_000;
const RETRIES_MAX = 2;

/** A lost connection is tried again by `connection`; what the server refused stays refused. */
function retries(failures: number, error: unknown): boolean {
  if (error instanceof NotReached) return false;
  return !(error instanceof ApiProblem && error.status < 500) && failures < RETRIES_MAX;
}

/** One cache for all pages. */
export const queryClient = new QueryClient({
  defaultOptions: { queries: { retry: retries, staleTime: STALE_MS, networkMode: 'always' }, mutations: { networkMode: 'always' } },
});

export const useMe = () =>
  useQuery({ queryKey: ['me'], queryFn: () => answer(api.GET('/me')), staleTime: Infinity, retry: false });

export const useKinds = () => useQuery({ queryKey: ['kinds'], queryFn: () => answer(api.GET('/kinds')) });

export const useKind = (kind: string | undefined) =>
  useQuery({
    queryKey: ['kind', kind],
    queryFn: () => answer(api.GET('/kinds/{kind}', { params: { path: { kind: kind ?? '' } } })),
    enabled: kind !== undefined,
  });

export const useUnits = () => useQuery({ queryKey: ['units'], queryFn: () => answer(api.GET('/units')) });

const fetchRecords = (kind: string, filters: Filters) =>
  answer(api.GET('/kinds/{kind}/records', { params: { path: { kind }, query: { ...filterParams(filters), limit: PAGE_SIZE } } }));

/** One page of a list. */
export const useRecords = (kind: string, filters: Filters) =>
  useQuery({
    queryKey: ['records', kind, filterParams(filters)],
    queryFn: () => fetchRecords(kind, filters),
    placeholderData: keepPreviousData,
  });

/** The page after one, for a record page that goes over its end. */
export const nextPage = (kind: string, filters: Filters) =>
  queryClient.fetchQuery({ queryKey: ['records', kind, filterParams(filters)], queryFn: () => fetchRecords(kind, filters) });

/** One record; asked for again and again while it is open. */
export const useRecord = (id: string) =>
  useQuery({
    queryKey: ['record', id],
    queryFn: () => answer(api.GET('/records/{id}', { params: { path: { id } } })),
    refetchInterval: RECORD_REFETCH_MS,
    staleTime: 0,
  });

/** The record with some masked fields in clear; the server logs who saw them. Kept nowhere. */
export const reveal = (id: string, fields: string[]) =>
  answer(api.GET('/records/{id}', { params: { path: { id }, query: { reveal: fields.join(',') } } }));

export const useQuarantine = (after: number, left: boolean) =>
  useQuery({
    queryKey: ['quarantine', after, left],
    queryFn: () => answer(api.GET('/quarantine', { params: { query: { after, left } } })),
  });

/** Kept while it is open only: what was decided waits no more, and nothing is to be found under its number. */
export const useQuarantined = (id: number) =>
  useQuery({
    queryKey: ['quarantined', id], gcTime: 0,
    queryFn: () => answer(api.GET('/quarantine/{id}', { params: { path: { id: String(id) } } })),
  });

/** The change with some masked fields in clear; the server logs who saw them. Kept nowhere. */
export const revealQuarantined = (id: number, fields: string[]) =>
  answer(api.GET('/quarantine/{id}', { params: { path: { id: String(id) }, query: { reveal: fields.join(',') } } }));

export const useDevices = () => useQuery({ queryKey: ['devices'], queryFn: () => answer(api.GET('/devices')) });

/** What came in and what waits; the server's usual days for silent devices and unanswered returns. */
export const useToday = () =>
  useQuery({ queryKey: ['today'], queryFn: () => answer(api.GET('/today')), refetchInterval: TODAY_REFETCH_MS });

/** Records that a record names, and those that name it. */
export const useRelated = (id: string) =>
  useQuery({ queryKey: ['related', id], queryFn: () => answer(api.GET('/records/{id}/related', { params: { path: { id } } })) });

/** Reasons that are offered for a kind. */
export const useReasons = (kind: string) =>
  useQuery({
    queryKey: ['reasons', kind], staleTime: Infinity,
    queryFn: () => answer(api.GET('/kinds/{kind}/reasons', { params: { path: { kind } } })),
  });

type DoublesQuery = NonNullable<paths['/doubles']['get']['parameters']['query']>;

/** Records that seem to be about the same person. */
export const useDoubles = (query: DoublesQuery) =>
  useQuery({
    queryKey: ['doubles', query], placeholderData: keepPreviousData,
    queryFn: () => answer(api.GET('/doubles', { params: { query } })),
  });

export const useDouble = (id: string) =>
  useQuery({ queryKey: ['double', id], queryFn: () => answer(api.GET('/doubles/{id}', { params: { path: { id } } })), staleTime: 0 });

/** The proposal with some masked fields in clear, of all its records; the server logs who saw them. Kept nowhere. */
export const revealDouble = (id: string, fields: string[]) =>
  answer(api.GET('/doubles/{id}', { params: { path: { id }, query: { reveal: fields.join(',') } } }));

/** What was decided about doubles, newest first. */
export const useDecidedDoubles = (after: number | undefined) =>
  useQuery({ queryKey: ['doubles', 'decided', after], queryFn: () => answer(api.GET('/doubles/decided', { params: { query: { after } } })) });

type ExchangesQuery = NonNullable<paths['/exchanges']['get']['parameters']['query']>;

export const useExchanges = (query: ExchangesQuery) =>
  useQuery({
    queryKey: ['exchanges', query], placeholderData: keepPreviousData,
    queryFn: () => answer(api.GET('/exchanges', { params: { query } })),
  });

export const useExchange = (id: number) =>
  useQuery({ queryKey: ['exchange', id], queryFn: () => answer(api.GET('/exchanges/{id}', { params: { path: { id: String(id) } } })) });

type OverviewQuery = NonNullable<paths['/overview']['get']['parameters']['query']>;

export const useOverview = (query: OverviewQuery) =>
  useQuery({
    queryKey: ['overview', query], placeholderData: keepPreviousData,
    queryFn: () => answer(api.GET('/overview', { params: { query } })),
  });

/** Positions of records; nothing is asked for without a kind. */
export const usePoints = (kind: string | undefined, query: Omit<OverviewQuery, 'kind'>) =>
  useQuery({
    queryKey: ['points', kind, query], placeholderData: keepPreviousData, enabled: kind !== undefined,
    queryFn: () => answer(api.GET('/kinds/{kind}/points', { params: { path: { kind: kind ?? '' }, query } })),
  });
