//! What the lists, the search, the counts and the export of a phone show: held against the phone's own records.

use std::collections::{BTreeMap, BTreeSet};

use fieldbook_core::client::{ClientError, Fieldbook, RecordView};
use fieldbook_core::document::RecordState;
use fieldbook_core::ids::RecordId;
use fieldbook_core::store::{ListFilter, ListRow, SyncState};
use serde_json::Value as Json;

use super::Wrong;
use super::forms::KINDS;
use super::work::failed;
use super::world::World;

/// Rows of a page.
const LIMITS: [usize; 4] = [1, 2, 5, 50];
/// Records that a search shows.
const FOUND_MAX: usize = 1_000;

/// Somebody looks through a list, a page at a time, and searches.
pub fn read(world: &mut World, number: usize) -> Result<(), Wrong> {
    let (kind, limit) = (KINDS[world.chance.below(KINDS.len())].0, LIMITS[world.chance.below(LIMITS.len())]);
    let filter = match world.chance.below(6) {
        0 => ListFilter { state: Some(RecordState::Submitted), ..ListFilter::default() },
        1 => ListFilter { sync: Some(SyncState::OnServer), ..ListFilter::default() },
        2 => ListFilter { in_conflict: true, ..ListFilter::default() },
        3 => ListFilter { with_problems: true, ..ListFilter::default() },
        _ => ListFilter::default(),
    };
    let typed = format!("W{}", 1 + world.chance.below(world.model.written.len()));
    let Some(process) = &world.devices[number].process else { return Ok(()) };
    let book = std::sync::Arc::clone(&process.book);
    let shown = records(&book, kind).and_then(|records| {
        let listed = listed(&book, kind, &filter, limit, &records)?;
        let counted = counted(&book, kind, &records)?;
        // Of long texts only the beginning of a record is indexed.
        let found = if world.plan.long { None } else { found(&book, kind, &typed, &records)? };
        Ok(listed.or(counted).or(found))
    });
    match shown {
        Ok(None) => Ok(()),
        Ok(Some(wrong)) => Err(format!("{} shows {wrong}", world.devices[number].name)),
        Err(error) if error.kind == fieldbook_core::client::ErrorKind::NotFound => Ok(()),
        Err(error) => failed(world, number, "reading a list", &error),
    }
}

/// In the end: every list of every phone, every count, and what an export writes.
pub fn everything(name: &str, book: &Fieldbook) -> Result<(), Wrong> {
    for (kind, _) in KINDS {
        let shown = || {
            let records = match records(book, kind) {
                Err(error) if error.kind == fieldbook_core::client::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            let listed = listed(book, kind, &ListFilter::default(), 3, &records)?;
            Ok::<_, ClientError>(listed.or(counted(book, kind, &records)?).or(exported(book, kind, &records)?))
        };
        match shown() {
            Ok(None) => {}
            Ok(Some(wrong)) => return Err(format!("{name} shows {wrong}")),
            Err(error) => return Err(format!("{name} cannot be read: {error:?}")),
        }
    }
    Ok(())
}

type Records = BTreeMap<RecordId, RecordView>;

/// Every record of a kind, read by itself.
fn records(book: &Fieldbook, kind: &str) -> Result<Records, ClientError> {
    let listed = book.list(kind, &ListFilter::default(), None, FOUND_MAX)?;
    listed.into_iter().map(|row| Ok((row.id, book.record(row.id)?))).collect()
}

fn fits(view: &RecordView, filter: &ListFilter) -> bool {
    filter.state.is_none_or(|state| view.state == state)
        && filter.sync.is_none_or(|sync| view.sync == sync)
        && (!filter.in_conflict || !view.conflicts.is_empty())
        && (!filter.with_problems || !view.problems.is_empty())
}

/// A list, page by page, shows each record that fits once, as the record itself is shown.
fn listed(
    book: &Fieldbook,
    kind: &str,
    filter: &ListFilter,
    limit: usize,
    records: &Records,
) -> Result<Option<Wrong>, ClientError> {
    let mut rows: Vec<ListRow> = Vec::new();
    loop {
        let page = book.list(kind, filter, rows.last().map(|row| row.place), limit)?;
        let last = page.len() < limit;
        rows.extend(page);
        if last || rows.len() > FOUND_MAX {
            break;
        }
    }
    let there: BTreeSet<RecordId> = rows.iter().map(|row| row.id).collect();
    let wanted = records.values().filter(|view| fits(view, filter)).map(|view| view.id);
    if there.len() != rows.len() || there != wanted.collect() {
        let rows: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        return Ok(Some(format!("{rows:?} of {kind} by {filter:?}, {limit} a page: not each that fits once")));
    }
    let unlike = rows.iter().find(|row| records.get(&row.id).is_none_or(|view| !is_like(row, view)));
    Ok(unlike.map(|row| format!("{} in a list otherwise than by itself: {row:?}", row.id)))
}

fn is_like(row: &ListRow, view: &RecordView) -> bool {
    let columns: Json = serde_json::from_str(&row.list).unwrap_or_default();
    let same = ["title", "phone"].iter().all(|field| columns.get(*field) == view.values.get(*field));
    let (conflicts, problems) = (view.conflicts.len(), view.problems.len());
    same && (row.state, row.sync, &row.title, &row.unit) == (view.state, view.sync, &view.title, &view.unit)
        && (row.conflicts as usize, row.problems as usize) == (conflicts, problems)
}

/// What is said of a kind, and of all records together, is what there is.
fn counted(book: &Fieldbook, kind: &str, records: &Records) -> Result<Option<Wrong>, ClientError> {
    let Some(info) = book.kinds()?.into_iter().find(|info| info.kind == kind) else { return Ok(None) };
    let count = |counts: fn(&RecordView) -> bool| records.values().filter(|view| counts(view)).count() as u64;
    let wanted = (
        records.len() as u64,
        count(|view| !view.conflicts.is_empty()),
        count(|view| view.sync != SyncState::OnServer),
    );
    let told = (info.records, info.in_conflict, info.unsynced);
    Ok((told != wanted).then(|| format!("{told:?} records, conflicts, unsent of {kind}, and there are {wanted:?}")))
}

/// A search finds the records of which an answer that is searched has a word that begins so, and no other.
fn found(book: &Fieldbook, kind: &str, typed: &str, records: &Records) -> Result<Option<Wrong>, ClientError> {
    let found = book.search(typed, FOUND_MAX)?.into_iter().filter(|row| row.kind == kind).map(|row| row.id);
    let (found, begins): (BTreeSet<RecordId>, String) = (found.collect(), typed.to_lowercase());
    let holds = |value: &Json| {
        let words = value.as_str().unwrap_or_default().split(|letter: char| !letter.is_alphanumeric());
        words.into_iter().any(|word| word.starts_with(&begins))
    };
    let wanted = records.values().filter(|view| {
        let names = view.values["people"].as_array().into_iter().flatten().map(|row| &row["name"]);
        std::iter::once(&view.values["remark"]).chain(names).any(holds)
    });
    let wanted: BTreeSet<RecordId> = wanted.map(|view| view.id).collect();
    Ok((found != wanted).then(|| format!("{found:?} for {typed}, and {wanted:?} hold it")))
}

/// An export writes each record once, as it is shown.
fn exported(book: &Fieldbook, kind: &str, records: &Records) -> Result<Option<Wrong>, ClientError> {
    let mut lines = Vec::new();
    book.export(kind, &mut |line| {
        lines.push((line["id"].as_str().unwrap_or_default().to_owned(), line["values"].clone()));
        Ok::<_, ClientError>(())
    })?;
    lines.sort_by(|one, other| one.0.cmp(&other.0));
    let mut wanted: Vec<_> = records.values().map(|view| (view.id.to_string(), view.values.clone())).collect();
    wanted.sort_by(|one, other| one.0.cmp(&other.0));
    Ok((lines != wanted).then(|| format!("{} records of {kind} in an export otherwise than there are", lines.len())))
}
