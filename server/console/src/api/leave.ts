/** Signing out. */
import { answer, api } from './client';

export async function leave(): Promise<void> {
  await answer(api.POST('/logout')).catch(() => undefined);
  // Nothing of this user stays in the memory of the page.
  window.location.assign('/');
}
