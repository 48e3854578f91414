import { Navigate, useParams } from 'react-router';

import { useRecord } from '../api/queries';
import { Failed } from '../parts/failed';
import { Wait } from '../parts/wait';

/** A record of which no more than its id is known, as in the audit log: its kind makes its address. */
export default function RecordById() {
  const { id = '' } = useParams();
  const record = useRecord(id);
  if (record.error) return <Failed error={record.error} again={() => void record.refetch()} />;
  return record.data ? <Navigate to={`/records/${record.data.kind}/${id}`} replace /> : <Wait />;
}
