/** What the page on people asks the server for. */
import { keepPreviousData, useQuery } from '@tanstack/react-query';

import { answer, api, type Shapes } from './client';
import { queryClient } from './queries';

export type Person = Shapes['Person'];
export type Grant = Shapes['GrantBody'];
/** Roles in the order in which they are offered. */
export const ROLES = ['field', 'township', 'county', 'prefecture', 'province', 'finance', 'lawyer', 'health', 'auditor', 'hub'] as const;

interface PeopleQuery {
  unit?: string | undefined;
  text?: string | undefined;
  after?: string | undefined;
}

/** Users of the units that the reader supervises. */
export const usePeople = (query: PeopleQuery) =>
  useQuery({
    queryKey: ['people', query], placeholderData: keepPreviousData,
    queryFn: () => answer(api.GET('/users', { params: { query: { ...query, limit: 100 } } })),
  });

const changed = async <T>(call: Promise<T>): Promise<T> => {
  const done = await call;
  await queryClient.invalidateQueries({ queryKey: ['people'] });
  return done;
};

const at = (id: string) => ({ params: { path: { id } } });

export const addPerson = (body: Shapes['AddUserRequest']) => changed(answer(api.POST('/users', { body })));
export const setRoles = (id: string, roles: Grant[]) => changed(answer(api.PUT('/users/{id}/roles', { ...at(id), body: { roles } })));
export const transfer = (id: string, body: Shapes['TransferRequest']) => changed(answer(api.POST('/users/{id}/transfer', { ...at(id), body })));
export const resetFactor = (id: string) => changed(answer(api.POST('/users/{id}/reset-factor', at(id))));
export const resetPassword = (id: string) => changed(answer(api.POST('/users/{id}/reset-password', at(id))));
export const disable = (id: string) => changed(answer(api.POST('/users/{id}/disable', at(id))));
export const enrol = (id: string) => answer(api.POST('/users/{id}/enrolment', at(id)));

/** What a staff list would do, row by row. */
export const previewStaff = (file: File) =>
  answer(
    api.POST('/staff/previews', {
      // The API's document knows bytes as a list of numbers; what travels is the file.
      body: file as never, bodySerializer: (body) => body as never, headers: { 'Content-Type': 'application/octet-stream' },
    }),
  );

/** Adds the people of a list, all or none. */
export const addStaff = (rows: Shapes['StaffEntryBody'][]) => changed(answer(api.POST('/staff', { body: { rows } })));
