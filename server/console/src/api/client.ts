/** The supervisors' API, typed by the OpenAPI document. */
import createClient, { type Middleware } from 'openapi-fetch';

import { language } from '../i18n';
import { isBackground, watchAttention } from '../logic/attention';
import { connection } from '../logic/connection';
import { session } from '../logic/session';
import type { components, paths } from './generated/schema';

/** Shapes of what the API takes and gives. */
export type Shapes = components['schemas'];

/** An error that the server told: problem+json. */
export class ApiProblem extends Error {
  constructor(
    /** Stable word, as the API's document lists them. */
    readonly word: string,
    /** What went wrong and what to do, in the reader's language. */
    title: string,
    /** HTTP status. */
    readonly status: number,
    /** All that the server said, with what single problems add. */
    readonly body: Record<string, unknown> = {},
  ) {
    super(title);
  }
}

/** The server was not reached: nothing is known about what it did. */
export class NotReached extends Error {}

const around: Middleware = {
  onRequest({ request }) {
    request.headers.set('Accept-Language', language());
    // No other site's page can send this header: the server asks for it where something changes.
    request.headers.set('X-Fieldbook-Console', '1');
    // What the page asks for by itself does not keep a session alive.
    if (isBackground(request.method)) request.headers.set('X-Fieldbook-Background', '1');
    return request;
  },
  onResponse({ response, schemaPath }) {
    connection.reached();
    if (response.status === 401 && schemaPath !== '/login') session.ended();
    return response;
  },
  onError({ error }) {
    if (error instanceof DOMException && error.name === 'AbortError') return error;
    connection.lost();
    return new NotReached(String(error));
  },
};

/** Typed calls; pass what they return to [`answer`]. */
export const api = createClient<paths>({ baseUrl: `${window.location.origin}/api/v1` });
api.use(around);
watchAttention();

interface Called<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What a call answered; throws [`ApiProblem`] or [`NotReached`]. */
export async function answer<T>(call: Promise<Called<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (response.ok) return data as T;
  throw problemOf(error, response.status);
}

/** The error that a body tells; a proxy's page becomes one with the status alone. */
export function problemOf(body: unknown, status: number): ApiProblem {
  const told = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const word = typeof told.type === 'string' ? told.type : 'unknown';
  const title = typeof told.title === 'string' ? told.title : `HTTP ${status}`;
  return new ApiProblem(word, title, status, told);
}
