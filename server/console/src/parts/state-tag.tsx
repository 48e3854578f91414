import { useTranslation } from 'react-i18next';

import type { Key } from '../i18n';
import { STATES } from '../logic/filters';

/** A sign beside the colour, for who sees no colours. */
const SIGNS: Record<string, string> = {
  draft: '○', submitted: '●', returned: '↩', approved: '✓', amended: '✎', archived: '▣', voided: '✕',
};

/** The catalogue's word for a state. */
export function stateKey(state: string): Key {
  return `state.${STATES.find((known) => known === state) ?? 'draft'}`;
}

/** Where a record stands. */
export function StateTag({ state }: { state: string }) {
  const { t } = useTranslation();
  return (
    <span className={`state state-${state}`}>
      <span aria-hidden="true">{SIGNS[state] ?? '?'}</span> {t(stateKey(state))}
    </span>
  );
}
