import { Navigate } from 'react-router';

import { useKinds } from '../api/queries';
import { Failed } from '../parts/failed';
import { Wait } from '../parts/wait';

/** The first thing to see: what waits for review, in the kind with the most records. */
export function Home() {
  const kinds = useKinds();
  if (kinds.error) return <Failed error={kinds.error} again={() => void kinds.refetch()} />;
  if (!kinds.data) return <Wait />;
  const size = (states: Record<string, number>) => Object.values(states).reduce((sum, count) => sum + count, 0);
  const first = [...kinds.data].sort((one, other) => size(other.states) - size(one.states))[0];
  return first ? <Navigate to={`/records/${first.kind}`} replace /> : null;
}
