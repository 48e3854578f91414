//! What people read at the console: lists, filters, counts, one record, the quarantine. It is held against the records
//! themselves and against what was written; nobody sees what is outside of their scope.

use std::collections::{BTreeMap, BTreeSet};

use fieldbook_core::access::{Area, Role};
use fieldbook_core::ids::RecordId;
use fieldbook_server::store::{FilterText, ListQuery, RecordPage, RecordRow, Store, StoreError, UserRow};

use super::forms::{HIDDEN, KINDS};
use super::office::{self, Held, USERS};
use super::restores::Stage;
use super::work::{area_of, server_failed};
use super::world::World;
use super::{Wrong, checks};

/// Orders of a list.
const SORTS: [&str; 8] = ["received", "-received", "changed", "-changed", "state", "-state", "unit", "-unit"];
/// Records on a page.
const LIMITS: [usize; 4] = [1, 2, 5, 50];
/// Units that a list is cut down to.
const UNITS: [&str; 4] = ["R", "T1", "T2", "T3"];
/// States of records.
const STATES: [&str; 4] = ["draft", "submitted", "returned", "approved"];
/// Language of pages.
const LANGUAGE: &str = "en";

/// Why a reading did not come to its end.
enum Stop {
    /// The database failed.
    Store(StoreError),
    /// What it showed is wrong.
    Wrong(Wrong),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

/// Somebody who reads at the console.
struct Reader<'w> {
    world: &'w World,
    store: &'w Store,
    name: &'static str,
    user: UserRow,
    roles: &'w [(Role, String)],
    reach: BTreeSet<(String, Area)>,
}

/// Somebody reads a list to its end, or what waits in quarantine.
pub fn read(world: &mut World) -> Result<(), Wrong> {
    let Some(store) = world.office.some_store() else { return Ok(()) };
    // A restored server waits: who has which role, and what is purged, its administrator has still to say.
    if world.restore == Stage::Waits {
        return Ok(());
    }
    let (number, kind) = (world.chance.below(USERS.len()), KINDS[world.chance.below(KINDS.len())].0);
    let query = query(world);
    let quarantine = world.chance.one_in(4);
    let read = Reader::new(world, &store, number)
        .and_then(|reader| if quarantine { reader.quarantine() } else { reader.list(kind, &query) });
    match read {
        Ok(()) => Ok(()),
        Err(Stop::Wrong(wrong)) => Err(wrong),
        Err(Stop::Store(error)) => server_failed(world, "reading", &error),
    }
}

/// In the end: everybody's lists of every kind, and every record as the administrator sees it.
pub fn everything(world: &World, store: &Store) -> Result<(), Wrong> {
    for number in 0..USERS.len() {
        let read = Reader::new(world, store, number).and_then(|reader| {
            let sort = SORTS[number % SORTS.len()].to_owned();
            let limit = LIMITS[number % LIMITS.len()];
            let query = ListQuery { sort, limit, ..ListQuery::default() };
            KINDS.iter().try_for_each(|(kind, _)| reader.list(kind, &query))?;
            reader.quarantine()
        });
        match read {
            Ok(()) => {}
            Err(Stop::Wrong(wrong)) => return Err(wrong),
            Err(Stop::Store(error)) => return Err(checks::asked(error)),
        }
    }
    Ok(())
}

/// What somebody looks for.
fn query(world: &mut World) -> ListQuery {
    let mut query = ListQuery {
        sort: SORTS[world.chance.below(SORTS.len())].to_owned(),
        limit: LIMITS[world.chance.below(LIMITS.len())],
        ..ListQuery::default()
    };
    match world.chance.below(6) {
        0 => {
            let state = Some(STATES[world.chance.below(STATES.len())].to_owned());
            query.filter = FilterText { state, ..FilterText::default() }.parse().unwrap_or_default();
        }
        1 => query.filter.unit = Some(UNITS[world.chance.below(UNITS.len())].to_owned()),
        // The beginning of a text, as somebody types it.
        2 => query.filter.text = Some(format!("W{}", 1 + world.chance.below(world.model.written.len()))),
        3 => query.filter.conflicts = Some(world.chance.one_in(2)),
        4 => query.filter.problems = Some(world.chance.one_in(2)),
        _ => {}
    }
    query
}

impl<'w> Reader<'w> {
    fn new(world: &'w World, store: &'w Store, number: usize) -> Result<Self, Stop> {
        let (name, roles) = (USERS[number].0, world.roles[number].as_slice());
        Ok(Self { world, store, name, user: store.find_user(name)?, roles, reach: office::reach(roles) })
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Stop {
        Stop::Wrong(format!("at the console {} sees {what}", self.name))
    }

    /// The page of each record of a kind that this one may read; nobody else's.
    fn pages(&self, kind: &str) -> Result<BTreeMap<String, RecordPage>, Stop> {
        let mut pages = BTreeMap::new();
        let held = office::records(self.store)?;
        for one in held.iter().filter(|one| one.kind == kind) {
            let readable = self.reach.contains(&(one.unit.clone(), area_of(kind)));
            match self.store.page(self.user.id, one.id, LANGUAGE, &BTreeSet::new()) {
                Ok(page) if readable => {
                    self.fits(one, &page)?;
                    pages.insert(page.id.clone(), page);
                }
                Err(StoreError::Problem(problem)) if !readable && problem.word == "record_unknown" => {}
                Ok(_) => return Err(self.wrong(format_args!("{}, which is outside of their scope", one.id))),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(pages)
    }

    /// A page shows the record as it is held, by whom each text was written, and nothing in clear that is hidden.
    fn fits(&self, held: &Held, page: &RecordPage) -> Result<(), Stop> {
        let heads: Vec<String> = held.heads.iter().map(ToString::to_string).collect();
        if page.heads != heads || page.unit != held.unit || page.kind != held.kind {
            return Err(self.wrong(format_args!("another {} than the server holds", held.id)));
        }
        let plain = serde_json::to_string(page).map_err(|error| error.to_string())?;
        let written = self.world.model.written.iter().filter(|one| one.record == held.id);
        for one in written.clone().filter(|one| one.place == HIDDEN) {
            if plain.contains(&one.text) {
                return Err(self.wrong(format_args!("{} of {} in clear", one.place, held.id)));
            }
        }
        // Where a text was chosen, admitted or brought by a phone that is there twice, it has another author.
        if self.world.model.blurred.contains(&held.id) {
            return Ok(());
        }
        for change in &page.history {
            let texts: BTreeSet<&str> = change.wrote.iter().filter_map(|wrote| wrote.value.as_str()).collect();
            for one in written.clone().filter(|one| texts.contains(one.text.as_str())) {
                let author = one.device.map(|number| &self.world.devices[number]);
                let expected = author.map_or("boss", |device| USERS[device.user].0);
                if author.is_none_or(|device| !device.doubtful) && change.by.author != expected {
                    return Err(
                        self.wrong(format_args!("{} as {}'s, and {expected} wrote it", one.text, change.by.author))
                    );
                }
            }
        }
        Ok(())
    }

    /// A list, page by page, shows each record that fits once, as its page shows it, in the order asked for.
    fn list(&self, kind: &str, query: &ListQuery) -> Result<(), Stop> {
        let pages = self.pages(kind)?;
        let area = area_of(kind);
        if !self.roles.iter().any(|(role, _)| role.areas().contains(&area)) {
            return match self.store.list(self.user.id, kind, query) {
                Err(StoreError::Problem(problem)) if problem.word == "kind_unknown" => Ok(()),
                Err(error) => Err(error.into()),
                Ok(_) => Err(self.wrong(format_args!("a list of {kind}, which is outside of their scope"))),
            };
        }
        let elsewhere = |unit: &String| unit != "R" && !self.reach.iter().any(|(reached, _)| reached == unit);
        if query.filter.unit.as_ref().is_some_and(elsewhere) {
            return match self.store.list(self.user.id, kind, query) {
                Err(StoreError::Problem(problem)) if problem.word == "unit_unknown" => Ok(()),
                Err(error) => Err(error.into()),
                Ok(_) => Err(self.wrong(format_args!("a list of {:?}, where they have no role", query.filter.unit))),
            };
        }
        let rows = self.walk(kind, query)?;
        for row in &rows {
            let page = pages.get(&row.id).ok_or_else(|| self.wrong(format_args!("{} in a list of {kind}", row.id)))?;
            let (state, conflicts, problems) = (&page.state, page.conflicts.len() as u64, page.problems.len() as u64);
            let alike = row.state == *state && row.conflicts == conflicts && row.problems == problems;
            let titles = ["title", HIDDEN].iter().all(|field| row.values[*field] == in_list(&page.values[*field]));
            if !alike || !titles || row.unit != page.unit || row.received_ms != page.received_ms {
                return Err(self.wrong(format_args!("{} in a list otherwise than on its page: {row:?}", row.id)));
            }
        }
        let listed: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut wanted = BTreeSet::new();
        for page in pages.values().filter(|page| fits_query(page, query)) {
            if query.filter.text.as_ref().is_none_or(|text| self.is_found(page, text)) {
                wanted.insert(page.id.as_str());
            }
        }
        if listed.len() != rows.len() || listed != wanted {
            let listed = rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>();
            return Err(self.wrong(format_args!("{listed:?} by {query:?}, and {wanted:?} fit")));
        }
        if let Some(pair) = rows.windows(2).find(|pair| !in_order(&query.sort, &pair[0], &pair[1])) {
            return Err(self.wrong(format_args!("{} before {} by {}", pair[0].id, pair[1].id, query.sort)));
        }
        self.counted(kind, &pages)
    }

    /// Whether a searchable answer of the record, hidden or not, holds the text.
    fn is_found(&self, page: &RecordPage, text: &str) -> bool {
        let Some(plain) = page.id.parse().ok().and_then(|id| self.store.page_unmasked(id, LANGUAGE).ok()) else {
            return false;
        };
        let rows = plain.values["people"].as_array().into_iter().flatten().map(|row| &row["name"]);
        let mut searched = ["title", "remark", HIDDEN].iter().map(|field| &plain.values[*field]).chain(rows);
        searched.any(|value| value.as_str().is_some_and(|value| value.to_lowercase().contains(&text.to_lowercase())))
    }

    fn walk(&self, kind: &str, query: &ListQuery) -> Result<Vec<RecordRow>, Stop> {
        let (mut rows, mut query) = (Vec::new(), query.clone());
        loop {
            let page = self.store.list(self.user.id, kind, &query)?;
            if page.records.len() > query.limit || (page.next.is_some() && page.records.is_empty()) {
                return Err(self.wrong(format_args!("{} records on a page of {}", page.records.len(), query.limit)));
            }
            rows.extend(page.records);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(rows),
            }
        }
    }

    /// The counts by state are those of the records that this one may read.
    fn counted(&self, kind: &str, pages: &BTreeMap<String, RecordPage>) -> Result<(), Stop> {
        let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
        pages.values().for_each(|page| *wanted.entry(page.state.clone()).or_default() += 1);
        let counted = self.store.counts(self.user.id)?.remove(kind).unwrap_or_default();
        if counted == wanted {
            return Ok(());
        }
        Err(self.wrong(format_args!("{counted:?} counted of {kind}, and there are {wanted:?}")))
    }

    /// What waits in quarantine is shown to who decides on it, with what its author wrote. Of a record that is not theirs to
    /// read nothing is listed but what waits.
    fn quarantine(&self) -> Result<(), Stop> {
        let supervising: Vec<_> = self.roles.iter().filter(|(role, _)| role.supervises()).cloned().collect();
        let decides: BTreeSet<String> = office::reach(&supervising).into_iter().map(|(unit, _)| unit).collect();
        let items = self.store.quarantine_list(self.user.id, 0, false)?;
        let mut waiting: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for item in &items {
            let readable = self.reach.contains(&(item.unit.clone(), area_of(&item.kind)));
            if supervising.is_empty() || !decides.contains(&item.unit) || !readable {
                return Err(self.wrong(format_args!("{} in quarantine, outside of their scope", item.record)));
            }
            let page = self.store.quarantine_page(self.user.id, item.id, "zh", &BTreeSet::new())?;
            let record: Option<RecordId> = item.record.parse().ok();
            let none = BTreeSet::new();
            let reads = record.is_some_and(|record| self.store.page(self.user.id, record, "zh", &none).is_ok());
            if item.here != reads {
                return Err(self.wrong(format_args!("{} in quarantine: here {}", item.record, item.here)));
            }
            let of_record = |text: &str| {
                let mut written = self.world.model.written.iter();
                written.any(|one| Some(one.record) == record && one.text == text)
            };
            let written = page.writes.iter().filter_map(|write| in_list(&write.value).as_str().map(str::to_owned));
            waiting.entry(&item.record).or_default().extend(written);
            let shown = page.writes.iter().filter(|write| write.path != HIDDEN);
            for text in shown.flat_map(|write| [write.value.as_str(), write.before.as_str()]).flatten() {
                if text.contains('@') && !of_record(text) {
                    return Err(
                        self.wrong(format_args!("{text} in quarantine of {}, where nobody wrote it", item.record))
                    );
                }
            }
        }
        for item in items.iter().filter(|item| !item.here) {
            let cells = item.values.as_object().into_iter().flat_map(|cells| cells.values());
            for text in cells.filter_map(|cell| cell.as_str()) {
                if !waiting.get(item.record.as_str()).is_some_and(|texts| texts.contains(text)) {
                    return Err(self.wrong(format_args!("{text} of {}, which is not theirs to read", item.record)));
                }
            }
        }
        Ok(())
    }
}

/// Whether a list by this query shows the record of this page, but for what it searches.
fn fits_query(page: &RecordPage, query: &ListQuery) -> bool {
    let filter = &query.filter;
    (filter.states.is_empty() || filter.states.iter().any(|state| page.state == state.word()))
        && filter.unit.as_ref().is_none_or(|unit| page.unit == *unit || unit == "R")
        && filter.conflicts.is_none_or(|some| page.conflicts.is_empty() != some)
        && filter.problems.is_none_or(|some| page.problems.is_empty() != some)
}

/// Whether one row may stand before another.
fn in_order(sort: &str, one: &RecordRow, other: &RecordRow) -> bool {
    let (descending, name) = sort.strip_prefix('-').map_or((false, sort), |name| (true, name));
    let (before, behind) = if descending { (other, one) } else { (one, other) };
    match name {
        "changed" => before.changed_ms <= behind.changed_ms,
        "state" => before.state <= behind.state,
        "unit" => before.unit <= behind.unit,
        // By the order of arrival at this server, which clocks do not tell.
        _ => true,
    }
}

/// A list shows the beginning of a long text.
fn in_list(value: &serde_json::Value) -> serde_json::Value {
    const CHARS_MAX: usize = 200;
    match value.as_str() {
        Some(text) if text.chars().count() > CHARS_MAX => {
            text.chars().take(CHARS_MAX).chain(['…']).collect::<String>().into()
        }
        _ => value.clone(),
    }
}
