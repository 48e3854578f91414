/** What the pages on forms, on the account and on the audit log ask the server for. */
import { keepPreviousData, useQuery } from '@tanstack/react-query';

import { logQuery, type LogFilters } from '../logic/log';
import type { Step } from '../logic/trial';
import { answer, api, type Shapes } from './client';
import { queryClient } from './queries';

/** A page of the audit log. */
export const LOG_PAGE = 100;
/** How often forms are asked for while records are read under a new version. */
const READING_MS = 3_000;
/** Answers of one trial are let go so soon after: each step has its own. */
const TRIAL_KEPT_MS = 20_000;

/** The kinds with the versions of their forms; asked for again while records are read anew. */
export const useForms = () =>
  useQuery({
    queryKey: ['forms'],
    queryFn: () => answer(api.GET('/forms')),
    refetchInterval: (query) => (query.state.data?.some((kind) => kind.reading_again) ? READING_MS : false),
  });

/** The form that is tried out: an upload by its digest, or a published version. */
export type Tried = { digest: string } | { kind: string; version: string };

function run(tried: Tried, language: string | undefined, steps: Step[]): Promise<Shapes['RunPage']> {
  // The API's document says no more of a value than that it is JSON.
  const body = { language: language ?? null, steps: steps as Shapes['StepBody'][] };
  if ('digest' in tried) return answer(api.POST('/forms/previews/{digest}/run', { params: { path: tried }, body }));
  return answer(api.POST('/forms/{kind}/{version}/run', { params: { path: tried }, body }));
}

/** The form after the steps so far; until the server has answered, as it was before the last one. */
export const useRun = (tried: Tried, language: string | undefined, steps: Step[]) =>
  useQuery({
    queryKey: ['run', tried, language, steps],
    queryFn: () => run(tried, language, steps),
    placeholderData: keepPreviousData, staleTime: Infinity, gcTime: TRIAL_KEPT_MS,
  });

/** Compiles an XLSForm; the server keeps it for an hour. */
export const upload = (file: File): Promise<Shapes['PreviewPage']> =>
  answer(
    api.POST('/forms/previews', {
      params: { query: { name: file.name } },
      headers: { 'Content-Type': 'application/octet-stream' },
      // The API's document says bytes.
      body: file as never,
      bodySerializer: (body: unknown) => body as File,
    }),
  );

/** Publishes what was uploaded. */
export async function publish(digest: string, unit: string | undefined): Promise<Shapes['PublishedForm']> {
  const done = await answer(api.POST('/forms/previews/{digest}/publish', { params: { path: { digest } }, body: { unit: unit ?? null } }));
  // Lists, columns and records may all look different under it.
  await queryClient.invalidateQueries();
  return done;
}

/** The reader's own account. */
export const useAccount = () => useQuery({ queryKey: ['account'], queryFn: () => answer(api.GET('/account')), staleTime: 0 });

/** One page of the audit log, newest first. */
export const useLog = (filters: LogFilters) =>
  useQuery({
    queryKey: ['audit', filters],
    queryFn: () => answer(api.GET('/audit', { params: { query: { ...logQuery(filters), limit: LOG_PAGE } } })),
    placeholderData: keepPreviousData, staleTime: 0,
  });

/** The same rows as CSV, from the newest on; the server logs that they were taken. */
export async function logFile(filters: LogFilters): Promise<Blob> {
  const query = logQuery({ ...filters, before: undefined });
  const file: unknown = await answer(api.GET('/audit.csv', { params: { query }, parseAs: 'blob' }));
  await queryClient.invalidateQueries({ queryKey: ['audit'] });
  return file as Blob;
}
