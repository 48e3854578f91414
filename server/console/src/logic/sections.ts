/** A record in the shape of its form: sections, and rows inside repeats. */
import { answerAt, type Answer, type Field, type KindForm } from './values';

/** One answer with its path, row and all. */
export interface Item {
  path: string;
  field: Field;
  answer: Answer;
}

/** One row of a repeat. */
export interface Row {
  id: string;
  items: Item[];
  sections: Section[];
}

/** A group of questions, or a repeat with its rows. */
export interface Section {
  path: string;
  label: Record<string, string>;
  items: Item[];
  rows: Row[] | undefined;
  sections: Section[];
}

type Group = KindForm['groups'][number];

/** Notes and what the app fills are no answers; what a form computes without a label is its own business. */
function isShown(field: Field): boolean {
  if (['note', 'phone', 'meta'].includes(field.field_type)) return false;
  return !field.calculated || Object.values(field.label).some((label) => label !== '');
}

function parent(path: string): string {
  const at = path.lastIndexOf('/');
  return at < 0 ? '' : path.slice(0, at);
}

/** The sections of a record, in the order of its form. */
export function sectionsOf(form: KindForm, values: unknown): Section[] {
  const top: Group = { path: '', label: {}, repeat: false };
  const made = section(form, top, values, '', '');
  return made.items.length > 0 ? [{ ...made, sections: [] }, ...made.sections] : made.sections;
}

/** `base` is the group's path, and `shownBase` the same with rows; `values` are those of the nearest row. */
function section(form: KindForm, group: Group, values: unknown, rowBase: string, rowPath: string): Section {
  const items = form.fields
    .filter((field) => parent(field.path) === group.path && isShown(field))
    .map((field) => {
      const inner = field.path.slice(rowBase.length).replace(/^\//, '');
      return { path: rowPath === '' ? inner : `${rowPath}/${inner}`, field, answer: answerAt(values, inner) };
    });
  const sections = form.groups
    .filter((child) => child.path !== '' && parent(child.path) === group.path)
    .map((child) => (child.repeat ? repeat(form, child, values, rowBase) : section(form, child, values, rowBase, rowPath)));
  return { path: group.path, label: group.label, items, rows: undefined, sections };
}

function repeat(form: KindForm, group: Group, values: unknown, rowBase: string): Section {
  const found = answerAt(values, group.path.slice(rowBase.length).replace(/^\//, ''));
  const rows = (Array.isArray(found) ? found : []).map((row: Record<string, unknown>) => {
    const id = String(row._row ?? '');
    const inside = section(form, group, row, group.path, `${group.path}[${id}]`);
    return { id, items: inside.items, sections: inside.sections };
  });
  return { path: group.path, label: group.label, items: [], rows, sections: [] };
}

/** Whether anything in it was answered. */
export function hasAnswers(section: Section): boolean {
  const answered = (items: Item[]) => items.some((item) => item.answer !== undefined && item.answer !== null && item.answer !== '');
  return answered(section.items) || (section.rows?.length ?? 0) > 0 || section.sections.some(hasAnswers);
}
