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

/** People whom one sheet can invite, as many as the server takes at once. */
const SHEET_MAX = 2_000;

/** Everybody of a unit and below who has a role and no device. */
export const useWithoutDevice = (unit: string | undefined) =>
  useQuery({
    queryKey: ['people', 'without_device', unit], gcTime: 0,
    queryFn: async () => {
      const people: Person[] = [];
      let after: string | undefined;
      do {
        const page = await answer(api.GET('/users', { params: { query: { unit, without_device: true, limit: 200, after } } }));
        people.push(...page.users);
        after = page.next ?? undefined;
      } while (after !== undefined && people.length < SHEET_MAX);
      return people;
    },
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
/** A link that works for so many days; one that the person had and did not use works no longer. */
export const enrol = (id: string, days: number) => changed(answer(api.POST('/users/{id}/enrolment', { ...at(id), body: { days } })));
/** The same for many, all or none. */
export const enrolAll = (users: string[], days: number) => changed(answer(api.POST('/enrolments', { body: { users, days } })));

/** What a staff list would do, row by row. */
export const previewStaff = (file: File) =>
  answer(
    api.POST('/staff/previews', {
      // The API's document knows bytes as a list of numbers; what travels is the file.
      body: file as never, bodySerializer: (body) => body as never, headers: { 'Content-Type': 'application/octet-stream' },
    }),
  );

/** Adds the people of a list, all or none. */
export const addStaff = (rows: Shapes['StaffEntryBody'][], days: number) => changed(answer(api.POST('/staff', { body: { rows, days } })));
