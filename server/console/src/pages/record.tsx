import { Button } from 'antd';
import { useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, useLocation, useNavigate, useParams, useSearchParams } from 'react-router';

import { answer, api, type Shapes } from '../api/client';
import { queryClient, reveal, useKind, useRecord } from '../api/queries';
import { pick } from '../i18n';
import { filtersOf } from '../logic/filters';
import { movedOn } from '../logic/history';
import { useKeys } from '../logic/keys';
import { readingOf } from '../logic/reveal';
import { useNeighbours, type Neighbours } from '../logic/walk';
import { answerAt, moment, shown as asText, type KindForm } from '../logic/values';
import { Amended } from '../parts/amended';
import { Conflicts } from '../parts/conflicts';
import { Decisions, useDecisions } from '../parts/decisions';
import { Failed } from '../parts/failed';
import { FormView } from '../parts/form-view';
import { MoveRecord } from '../parts/move-record';
import { MovedOn } from '../parts/moved-on';
import { Related, untitled } from '../parts/related';
import { useReveal, type Show } from '../parts/reveal';
import { StateTag } from '../parts/state-tag';
import { Timeline } from '../parts/timeline';
import { Wait } from '../parts/wait';

type Page = Shapes['RecordPage'];

/** One record among those of a list. */
export default function RecordPage() {
  const { kind = '', id = '' } = useParams();
  const [search] = useSearchParams();
  const neighbours = useNeighbours(kind, filtersOf(search), id);
  const { next } = neighbours;
  useEffect(() => {
    if (next) void queryClient.prefetchQuery({ queryKey: ['record', next], queryFn: () => answer(api.GET('/records/{id}', { params: { path: { id: next } } })) });
  }, [next]);
  return <OneRecord key={id} id={id} kind={kind} neighbours={neighbours} />;
}

/**
 * The record as it is on the screen, and the latest. They differ when it moved on while it was read: the screen keeps
 * what was read, since decisions are pinned to it, until the reader asks for the latest.
 */
function useShown(id: string) {
  const record = useRecord(id);
  const [kept, setKept] = useState<Page>();
  const latest = record.data;
  const fresh = record.isFetchedAfterMount;
  useEffect(() => {
    if (!latest) return;
    setKept((before) => (before && fresh && movedOn(before, latest) && before !== latest ? before : latest));
  }, [latest, fresh]);
  const take = async (): Promise<void> => {
    const { data } = await record.refetch();
    if (data) setKept(data);
  };
  const moved = kept && latest && fresh ? movedOn(kept, latest) : undefined;
  return { record, page: kept ?? latest, moved, take };
}

interface Props {
  id: string;
  kind: string;
  neighbours: Neighbours;
}

function OneRecord({ id, kind, neighbours }: Props) {
  const { t } = useTranslation();
  const form = useKind(kind);
  const { record, page, moved, take } = useShown(id);
  const address = useLocation().search;
  const navigate = useNavigate();
  const [empty, setEmpty] = useState(false);
  const go = (to: string | undefined) => (to === undefined ? undefined : () => void navigate(`/records/${kind}/${to}${address}`));
  const up = () => void navigate(`/records/${kind}${address}`, { state: { from: id } });
  const decided = async (): Promise<void> => {
    await take();
    await queryClient.invalidateQueries({ queryKey: ['records'] });
    await queryClient.invalidateQueries({ queryKey: ['kinds'] });
  };
  const refresh = () => void record.refetch();
  const { page: seen, show } = useReveal({ page, reading: readingOf, ask: (fields) => reveal(id, fields), moved: 'record.reveal_moved', refresh });
  const decisions = useDecisions({ page, decided, next: go(neighbours.next), refresh });
  const focus = (place: string) => () => document.getElementById(place)?.focus();
  useKeys({
    j: go(neighbours.next), ArrowRight: go(neighbours.next), k: go(neighbours.previous), ArrowLeft: go(neighbours.previous),
    u: up, a: decisions.approve, r: decisions.askReturn, v: decisions.askVoid, e: () => setEmpty(!empty),
    c: focus('conflicts'), t: focus('timeline'), n: moved ? () => void take() : undefined,
  });
  const error = record.error ?? form.error;
  if (error && !page) return <Failed error={error} again={refresh} />;
  if (!page || !seen || !form.data) return <Wait />;
  return (
    <>
      <Head page={page} form={form.data} neighbours={neighbours} go={go} up={up} />
      <div className="record">
        <Reading page={page} seen={seen} show={show} form={form.data} empty={empty} setEmpty={setEmpty} moved={() => void decided()} />
        <aside className="record-side" aria-label={t('record.side')}>
          {moved && <MovedOn moved={moved} form={form.data} take={() => void take()} />}
          <Decisions page={page} form={form.data} decisions={decisions} />
          <Amended page={seen} form={form.data} show={show} />
          <Conflicts page={seen} form={form.data} show={show} resolved={() => void decided()} />
          <Related page={page} />
          <Timeline page={seen} form={form.data} show={show} />
        </aside>
      </div>
    </>
  );
}

/** What the record is called: its form's list columns. */
function titleOf(page: Page, form: KindForm): string {
  const listed = form.fields.filter((field) => field.list && !field.repeat).slice(0, 2);
  const texts = listed.map((field) => asText(form, field, answerAt(page.values, field.path)));
  return texts.filter((text) => text !== '—').join(' · ') || untitled(page.id);
}

interface HeadProps {
  page: Page;
  form: KindForm;
  neighbours: Neighbours;
  go: (id: string | undefined) => (() => void) | undefined;
  up: () => void;
}

function Head({ page, form, neighbours, go, up }: HeadProps) {
  const { t } = useTranslation();
  const place = neighbours.at > 0 ? t('record.place', { at: neighbours.at, of: neighbours.total }) : '';
  return (
    <div className="record-head">
      <Button onClick={up} aria-keyshortcuts="u">
        ↑ {pick(form.titles, form.title)}
      </Button>
      <h1>{titleOf(page, form)}</h1>
      <StateTag state={page.state} />
      <span>{page.unit_name}</span>
      <span className="by">{t('record.received', { time: moment(page.received_ms) })}</span>
      <span className="space" />
      <span className="by">{place}</span>
      <Button disabled={!neighbours.previous} onClick={go(neighbours.previous)} aria-keyshortcuts="k">
        {t('record.previous')}
      </Button>
      <Button disabled={!neighbours.next} onClick={go(neighbours.next)} aria-keyshortcuts="j">
        {t('record.next')}
      </Button>
    </div>
  );
}

interface ReadingProps {
  page: Page;
  /** The same with what was asked to be shown in clear. */
  seen: Page;
  show: Show;
  form: KindForm;
  empty: boolean;
  setEmpty: (empty: boolean) => void;
  /** It belongs to another unit now. */
  moved: () => void;
}

/** The answers in the shape of the form. */
function Reading({ page, seen, show, form, empty, setEmpty, moved }: ReadingProps) {
  const { t } = useTranslation();
  const [moving, setMoving] = useState(false);
  return (
    <div>
      <FormView form={form} page={seen} show={show} empty={empty} />
      <p className="by">
        <Button type="link" onClick={() => setEmpty(!empty)} aria-keyshortcuts="e">
          {empty ? t('record.hide_empty') : t('record.show_empty')}
        </Button>
        {t(page.created_version === page.form_version ? 'record.version' : 'record.versions', { created: page.created_version, shown: page.form_version })}{' '}
        <Link to={`/records/${page.kind}?unit=${page.unit}`}>{t('record.same_unit')}</Link>
        <Button type="link" onClick={() => setMoving(true)}>
          {t('move.open')}
        </Button>
      </p>
      {moving && <MoveRecord page={page} close={() => setMoving(false)} moved={moved} />}
    </div>
  );
}
