import { Button, Table, type TableColumnsType } from 'antd';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Link } from 'react-router';

import type { Shapes } from '../api/client';
import { useForms } from '../api/supervision';
import { pick } from '../i18n';
import { moment } from '../logic/values';
import { Failed } from '../parts/failed';
import { Notes, Preview } from '../parts/preview';
import { Trial } from '../parts/trial';
import { UploadForm } from '../parts/upload';
import '../supervision.css';

interface Uploaded {
  page: Shapes['PreviewPage'];
  name: string;
}

/** Kinds of records with the versions of their forms; a new version is uploaded, tried out and published. */
export default function Forms() {
  const { t } = useTranslation();
  const [uploaded, setUploaded] = useState<Uploaded>();
  const form = uploaded?.page.form;
  const close = (): void => setUploaded(undefined);
  if (form) {
    return (
      <>
        <div className="trial-head">
          <Button onClick={close}>↑ {t('nav.forms')}</Button>
          <h1>{t('forms.title_version', { title: form.title, version: form.version })}</h1>
          <span className="by">{uploaded.name}</span>
        </div>
        <Trial tried={{ digest: form.digest }} title={form.title}>
          <Preview form={form} warnings={uploaded.page.warnings} published={close} />
        </Trial>
      </>
    );
  }
  return (
    <>
      <h1>{t('nav.forms')}</h1>
      <UploadForm done={(page, name) => setUploaded({ page, name })} />
      {uploaded && <Notes wrong title={t('forms.errors', { name: uploaded.name, count: uploaded.page.errors.length })} notes={uploaded.page.errors} />}
      {uploaded && <Notes title={t('forms.warnings', { count: uploaded.page.warnings.length })} notes={uploaded.page.warnings} />}
      <Kinds />
    </>
  );
}

interface Row {
  kind: Shapes['FormKind'];
  version: Shapes['FormVersion'];
  /** Rows of its kind, where it is the first of them. */
  rows: number;
}

/** Versions of a kind that are shown at first. */
const VERSIONS_SHOWN = 3;

function rowsOf(kinds: Shapes['FormKind'][], all: boolean): Row[] {
  return kinds.flatMap((kind) => {
    const versions = all ? kind.versions : kind.versions.slice(0, VERSIONS_SHOWN);
    return versions.map((version, at) => ({ kind, version, rows: at === 0 ? versions.length : 0 }));
  });
}

function Kinds() {
  const { t } = useTranslation();
  const forms = useForms();
  const [all, setAll] = useState(false);
  const columns: TableColumnsType<Row> = [
    { key: 'kind', title: t('forms.form'), onCell: (row) => ({ rowSpan: row.rows }), render: (_, row) => <Kind kind={row.kind} /> },
    {
      key: 'version', title: t('forms.version'), width: 130,
      render: (_, row) => <>{row.version.version} {row.rows > 0 && <span className="by">{t('forms.newest')}</span>}</>,
    },
    { key: 'published', title: t('forms.published_at'), width: 140, render: (_, row) => moment(row.version.published_ms) },
    { key: 'publisher', title: t('forms.publisher'), width: 130, render: (_, row) => row.version.publisher_name ?? <span className="by">{t('forms.by_server')}</span> },
    { key: 'unit', title: t('forms.publish_unit'), width: 170, render: (_, row) => row.version.unit_name },
    {
      key: 'act', title: t('device.act'), width: 90,
      render: (_, row) => (
        <Link to={`/forms/${encodeURIComponent(row.kind.kind)}/${encodeURIComponent(row.version.version)}`} className="row-link"
          aria-label={t('forms.try_of', { title: pick(row.kind.titles, row.kind.title), version: row.version.version })}>
          {t('forms.try')}
        </Link>
      ),
    },
  ];
  if (forms.error) return <Failed error={forms.error} again={() => void forms.refetch()} />;
  const more = forms.data?.some((kind) => kind.versions.length > VERSIONS_SHOWN);
  return (
    <>
      <Table<Row> className="plain-table" size="small" rowKey={(row) => `${row.kind.kind} ${row.version.version}`} columns={columns} dataSource={forms.data && rowsOf(forms.data, all)}
        loading={!forms.data} pagination={false} locale={{ emptyText: t('forms.none') }} />
      {more && !all && (
        <div className="pager">
          <Button onClick={() => setAll(true)}>{t('forms.all_versions')}</Button>
        </div>
      )}
    </>
  );
}

function Kind({ kind }: { kind: Shapes['FormKind'] }) {
  const { t } = useTranslation();
  return (
    <>
      {pick(kind.titles, kind.title)} <span className="by">{kind.kind}</span>
      {kind.reading_again && (
        <div className="warn" role="status">
          ⟳ {t('forms.reading_again')}
        </div>
      )}
    </>
  );
}
