//! Counts for charts, and positions for the map: the same filters as the list, so that each count leads to its records.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sql::Connection;
use fieldbook_core::forms::{Form, Sensitivity};
use fieldbook_core::ids::UserId;
use serde::Serialize;
use utoipa::ToSchema;

use super::board::{Board, tally};
use super::filter::Filter;
use super::listed::{self, COARSE_DEGREES, STEPS_PER_DEGREE};
use super::listing::visible_form;
use super::reach::Reach;
use super::{Store, StoreError};
use crate::clock_text::{month_of, month_text};

/// Months that are counted, the newest ones.
const MONTHS_MAX: usize = 60;
/// Positions on one map.
const POINTS_MAX: usize = 2_000;

/// Records in one state.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StateCount {
    /// The state; `state` of the list.
    pub state: String,
    /// Records.
    pub records: u64,
}

/// Records of one kind.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KindCount {
    /// The kind.
    pub kind: String,
    /// Its title, in the language of the request.
    pub title: String,
    /// Records.
    pub records: u64,
    /// By state, in the states' order.
    pub states: Vec<StateCount>,
}

/// Records of one unit.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UnitCount {
    /// Code; `unit` of the list.
    pub unit: String,
    /// Name.
    pub name: String,
    /// Only what belongs to the unit itself; `unit_alone` of the list. Else with all below.
    pub alone: bool,
    /// There are units below.
    pub has_children: bool,
    /// Records.
    pub records: u64,
    /// By state, in the states' order.
    pub states: Vec<StateCount>,
}

/// Records of one month.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MonthCount {
    /// `YYYY-MM`, Asia/Shanghai.
    pub month: String,
    /// Records whose latest change arrived in it; `received` of the list.
    pub received: u64,
    /// Records whose first change arrived in it; `first` of the list.
    pub first: u64,
}

/// How many records there are.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OverviewPage {
    /// The unit whose children are counted: the one asked for, else the highest that the user's roles share. None
    /// without any role.
    pub unit: Option<String>,
    /// Its name.
    pub unit_name: Option<String>,
    /// Codes of the units above it that the user may ask for, nearest first.
    pub above: Vec<String>,
    /// Records in all.
    pub records: u64,
    /// With conflicts.
    pub with_conflicts: u64,
    /// With problems.
    pub with_problems: u64,
    /// By kind.
    pub kinds: Vec<KindCount>,
    /// By state.
    pub states: Vec<StateCount>,
    /// By child of the unit, and the unit's own.
    pub units: Vec<UnitCount>,
    /// By month, oldest first, at most the newest 60.
    pub months: Vec<MonthCount>,
}

/// A record on the map.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Point {
    /// The record.
    pub id: String,
    /// Degrees north, WGS-84.
    pub latitude: f64,
    /// Degrees east, WGS-84.
    pub longitude: f64,
    /// Its state.
    pub state: String,
    /// Code of its unit.
    pub unit: String,
}

/// Records on the map.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PointsPage {
    /// Path of the field that is shown; none where the kind has no position outside repeats.
    pub field: Option<String>,
    /// The field is sensitive: each position is the middle of a cell of so many degrees.
    pub coarse_degrees: Option<f64>,
    /// Records that fit the filter.
    pub records: u64,
    /// How many of them have a position.
    pub located: u64,
    /// At most 2,000 of these, spread evenly over them; the same ones each time.
    pub points: Vec<Point>,
}

const STATES: [&str; 7] = ["draft", "submitted", "returned", "approved", "amended", "archived", "voided"];

fn states(board: &Board, counts: impl Iterator<Item = (u32, u64)>) -> Vec<StateCount> {
    let mut by_word: BTreeMap<&str, u64> = BTreeMap::new();
    for (state, records) in counts {
        *by_word.entry(board.states.name(state)).or_default() += records;
    }
    let count = |word: &&str| Some(StateCount { state: (*word).to_owned(), records: *by_word.get(*word)? });
    STATES.iter().filter_map(count).collect()
}

fn total(states: &[StateCount]) -> u64 {
    states.iter().map(|state| state.records).sum()
}

impl Store {
    /// Counts of the records of `kind`, or of all kinds, that `user` may read.
    ///
    /// # Errors
    /// `kind_unknown`, `unit_unknown`, `field_unknown`; else what the database said.
    pub fn overview(
        &self,
        user: UserId,
        kind: Option<&str>,
        filter: &Filter,
        language: &str,
    ) -> Result<OverviewPage, StoreError> {
        self.read(|tx| {
            let reach = Reach::of(tx, user)?;
            let forms = self.forms_in_reach(tx, &reach, user, kind)?;
            self.on_board(tx, |board| {
                let query = self.query(tx, board, &reach, &forms, filter)?;
                let cube = tally(query.lines(board), |line| Some((line.kind, line.unit, line.state)));
                let unit = filter.unit.clone().or_else(|| reach.top());
                let months = months(&tally(query.lines(board), |line| Some(month_of(line.received_ms))), |first| {
                    tally(query.lines(board), |line| Some(month_of(line.first_ms)).filter(|month| *month >= first))
                });
                let all = states(board, cube.iter().map(|((.., state), records)| (*state, *records)));
                Ok(OverviewPage {
                    unit_name: unit.as_ref().map(|unit| reach.name(unit)),
                    above: unit.as_ref().map(|unit| above(&reach, unit)).unwrap_or_default(),
                    records: total(&all),
                    with_conflicts: query.lines(board).filter(|line| line.conflicts > 0).count() as u64,
                    with_problems: query.lines(board).filter(|line| line.problems > 0).count() as u64,
                    kinds: forms.iter().filter_map(|form| kind_count(board, &cube, form, language)).collect(),
                    states: all,
                    units: unit.as_ref().map(|unit| unit_counts(board, &reach, &cube, unit)).unwrap_or_default(),
                    months,
                    unit,
                })
            })
        })
    }

    /// The newest form of `kind`, or of every kind, of which `reach` holds records.
    fn forms_in_reach(
        &self,
        tx: &Connection,
        reach: &Reach,
        user: UserId,
        kind: Option<&str>,
    ) -> Result<Vec<Arc<Form>>, StoreError> {
        match kind {
            Some(kind) => Ok(vec![visible_form(self, tx, user, kind)?]),
            None => {
                let mut forms = self.current_forms(tx)?;
                forms.retain(|form| reach.sees(form.definition().area));
                Ok(forms)
            }
        }
    }

    /// Positions of the records of a kind that `user` may read.
    ///
    /// # Errors
    /// `kind_unknown`, `unit_unknown`, `field_unknown`; else what the database said.
    pub fn points(&self, user: UserId, kind: &str, filter: &Filter) -> Result<PointsPage, StoreError> {
        self.read(|tx| {
            let reach = Reach::of(tx, user)?;
            let form = visible_form(self, tx, user, kind)?;
            self.on_board(tx, |board| {
                let query = self.query(tx, board, &reach, std::slice::from_ref(&form), filter)?;
                let field = listed::position(form.definition());
                let records = query.lines(board).count() as u64;
                let located = query.lines(board).filter_map(|line| Some((line.record, line, line.point?)));
                let mut located: Vec<_> = located.collect();
                let count = located.len() as u64;
                // Ids are random: the lowest ones are spread over all as evenly as any.
                if located.len() > POINTS_MAX {
                    located.select_nth_unstable_by_key(POINTS_MAX, |(record, ..)| *record);
                    located.truncate(POINTS_MAX);
                }
                located.sort_unstable_by_key(|(record, ..)| *record);
                let points = located.into_iter().map(|(record, line, (latitude, longitude))| Point {
                    id: record.to_string(),
                    latitude: f64::from(latitude) / STEPS_PER_DEGREE,
                    longitude: f64::from(longitude) / STEPS_PER_DEGREE,
                    state: board.states.name(line.state).to_owned(),
                    unit: board.units.name(line.unit).to_owned(),
                });
                let sensitive = field.is_some_and(|field| field.sensitivity == Sensitivity::Sensitive);
                Ok(PointsPage {
                    field: field.map(|field| field.path.clone()),
                    coarse_degrees: sensitive.then_some(COARSE_DEGREES),
                    records,
                    located: count,
                    points: points.collect(),
                })
            })
        })
    }

    /// Records by state of each kind, as far as `user` may read.
    ///
    /// # Errors
    /// What the database said.
    pub fn counts(&self, user: UserId) -> Result<BTreeMap<String, BTreeMap<String, u64>>, StoreError> {
        let overview = self.overview(user, None, &Filter::default(), "")?;
        let states = |kind: KindCount| kind.states.into_iter().map(|state| (state.state, state.records)).collect();
        Ok(overview.kinds.into_iter().map(|kind| (kind.kind.clone(), states(kind))).collect())
    }
}

/// Records by kind, unit and state.
type Cube = BTreeMap<(u32, u32, u32), u64>;

fn kind_count(board: &Board, cube: &Cube, form: &Form, language: &str) -> Option<KindCount> {
    let definition = form.definition();
    let kind = board.kinds.known(&definition.kind)?;
    let counts = cube.iter().filter(|((own, ..), _)| *own == kind).map(|((.., state), records)| (*state, *records));
    let states = states(board, counts);
    let title = form.pick(&definition.title, language).unwrap_or(&definition.kind).to_owned();
    let records = total(&states);
    (records > 0).then(|| KindCount { kind: definition.kind.clone(), title, records, states })
}

fn unit_counts(board: &Board, reach: &Reach, cube: &Cube, unit: &str) -> Vec<UnitCount> {
    let mut found = Vec::new();
    let spots = std::iter::once((unit, true)).chain(reach.children(unit).iter().map(|child| (child.as_str(), false)));
    for (code, alone) in spots {
        let Ok(below) = reach.subtree(code, alone) else { continue };
        let own: Vec<bool> = (0..board.units.count())
            .map(|number| u32::try_from(number).is_ok_and(|number| below.contains(board.units.name(number))))
            .collect();
        let inside = cube.iter().filter(|((_, unit, _), _)| own.get(*unit as usize) == Some(&true));
        let states = states(board, inside.map(|((.., state), records)| (*state, *records)));
        let records = total(&states);
        if !alone || records > 0 {
            let (name, has_children) = (reach.name(code), !alone && !reach.children(code).is_empty());
            found.push(UnitCount { unit: code.to_owned(), name, alone, has_children, records, states });
        }
    }
    found
}

/// The units above that lie under everything that the roles reach.
fn above(reach: &Reach, unit: &str) -> Vec<String> {
    let (mut found, mut at) = (Vec::new(), unit);
    while let Some(parent) = reach.units.get(at).and_then(|unit| unit.parent.as_deref()) {
        if reach.subtree(parent, false).is_err() || reach.top().as_deref() == Some(at) {
            break;
        }
        found.push(parent.to_owned());
        at = parent;
    }
    found
}

fn months(received: &BTreeMap<i64, u64>, first_since: impl FnOnce(i64) -> BTreeMap<i64, u64>) -> Vec<MonthCount> {
    let Some((newest, _)) = received.last_key_value() else { return Vec::new() };
    let oldest = newest - i64::try_from(MONTHS_MAX).unwrap_or(0) + 1;
    let first = first_since(oldest);
    let met = received.keys().chain(first.keys()).copied().filter(|month| *month >= oldest).min();
    let month = |month: i64| MonthCount {
        month: month_text(month),
        received: received.get(&month).copied().unwrap_or(0),
        first: first.get(&month).copied().unwrap_or(0),
    };
    (met.unwrap_or(*newest)..=*newest).map(month).collect()
}
