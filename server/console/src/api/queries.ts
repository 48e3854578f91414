/** What pages ask the server for. */
import { keepPreviousData, QueryClient, useQuery } from '@tanstack/react-query';

import { filterParams, type Filters } from '../logic/filters';
import { ApiProblem, answer, api, NotReached } from './client';

/** A page of records. */
export const PAGE_SIZE = 100;
/** How often an open record is asked for again: two people may read it at once. */
const RECORD_REFETCH_MS = 10_000;
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

export const useQuarantine = (after: number) =>
  useQuery({
    queryKey: ['quarantine', after],
    queryFn: () => answer(api.GET('/quarantine', { params: { query: { after } } })),
  });

export const useQuarantined = (id: number) =>
  useQuery({
    queryKey: ['quarantined', id],
    queryFn: () => answer(api.GET('/quarantine/{id}', { params: { path: { id: String(id) } } })),
  });

export const useDevices = () => useQuery({ queryKey: ['devices'], queryFn: () => answer(api.GET('/devices')) });
