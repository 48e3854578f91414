import { Button, Input, Popover, Select } from 'antd';
import { useTranslation } from 'react-i18next';

import { enumerated, pick } from '../i18n';
import { choicesOf, rangeOf, rangeText, TIMES, withChoices, type Filters } from '../logic/filters';
import { fieldLabel, type Field, type KindForm } from '../logic/values';

interface Props {
  form: KindForm | undefined;
  filters: Filters;
  change: (wanted: Partial<Filters>) => void;
}

/** Listed fields with choices that a list can be filtered by. */
function choosable(form: KindForm | undefined): Field[] {
  return (form?.fields ?? []).filter((field) => field.list && !field.repeat && field.choices && field.sensitivity !== 'sensitive');
}

/** Times and choices: what is asked for more rarely. */
export function MoreFilters({ form, filters, change }: Props) {
  const { t } = useTranslation();
  const chosen = choicesOf(filters.choice);
  const content = (
    <div className="more-filters" role="dialog" aria-label={t('filter.more')}>
      {TIMES.map((name) => {
        const [from, to] = rangeOf(filters[name]);
        const label = t(`column.${name}`);
        return (
          <div key={name} role="group" aria-label={label} className="range">
            <span>{label}</span>
            <Input type="date" aria-label={t('filter.from', { what: label })} value={from} onChange={(event) => change({ [name]: rangeText(event.target.value, to) })} />
            <span aria-hidden="true">–</span>
            <Input type="date" aria-label={t('filter.to', { what: label })} value={to} onChange={(event) => change({ [name]: rangeText(from, event.target.value) })} />
          </div>
        );
      })}
      {choosable(form).map((field) => (
        <div key={field.path} className="range">
          <span>{fieldLabel(field, field.path)}</span>
          <Select
            aria-label={fieldLabel(field, field.path)} mode="multiple" allowClear value={chosen[field.path] ?? []} showSearch={{ optionFilterProp: 'label' }}
            options={(form?.choices[field.choices ?? ''] ?? []).map((choice) => ({ value: choice.name, label: pick(choice.label, choice.name) }))}
            onChange={(names: string[]) => change({ choice: withChoices(filters.choice, field.path, names) })}
          />
        </div>
      ))}
    </div>
  );
  return (
    <Popover content={content} trigger="click" placement="bottomRight">
      <Button>{t('filter.more')} ▾</Button>
    </Popover>
  );
}

/** Filters that no control of the bar shows: each can be taken away. */
export function Chips({ form, filters, change }: Props) {
  const { t } = useTranslation();
  const chips: { text: string; without: Partial<Filters> }[] = [];
  for (const name of TIMES) {
    const [from, to] = rangeOf(filters[name]);
    if (filters[name]) chips.push({ text: t('filter.range', { what: t(`column.${name}`), from: from || '…', to: to || '…' }), without: { [name]: undefined } });
  }
  const chosen = choicesOf(filters.choice);
  for (const field of choosable(form).filter((one) => chosen[one.path])) {
    const list = form?.choices[field.choices ?? ''] ?? [];
    const names = (chosen[field.path] ?? []).map((name) => pick(list.find((choice) => choice.name === name)?.label, name));
    chips.push({ text: t('named', { name: fieldLabel(field, field.path) }) + enumerated(names), without: { choice: withChoices(filters.choice, field.path, []) } });
  }
  if (filters.unit_alone) chips.push({ text: t('filter.unit_alone'), without: { unit_alone: undefined } });
  if (filters.decidable) chips.push({ text: t('filter.decidable'), without: { decidable: undefined } });
  if (filters.refers) chips.push({ text: t('filter.refers'), without: { refers: undefined } });
  if (filters.author) chips.push({ text: t('filter.author'), without: { author: undefined } });
  return chips.map((chip) => (
    <Button key={chip.text} className="chip" onClick={() => change(chip.without)} aria-label={t('filter.without_chip', { filter: chip.text })}>
      {chip.text} ✕
    </Button>
  ));
}
