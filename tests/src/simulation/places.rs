//! Where records are: who may be sent the texts of each. Records move; what is under way and what a hub holds is older.

use std::collections::{BTreeMap, BTreeSet};

use fieldbook_core::access::Area;
use fieldbook_core::ids::RecordId;

/// Letters of a record's id by which its texts name it.
pub const TAG_CHARS: usize = 8;

/// How the texts of a record name it.
#[must_use]
pub fn tag(record: &RecordId) -> String {
    record.to_string().chars().take(TAG_CHARS).collect()
}

/// Records, by tag, each with a unit that it has left.
pub type Left = BTreeSet<(String, String)>;

/// One record's place.
struct Place {
    area: Area,
    /// More than one where nobody knows whether it has moved.
    units: BTreeSet<String>,
}

/// Where all records of a world are.
#[derive(Default)]
pub struct Places {
    by_tag: BTreeMap<String, Place>,
    /// What a phone whose sync is under way, or a hub, may still be sent or hold: it began, or heard last, before the move.
    left: BTreeMap<String, Left>,
}

impl Places {
    /// A record is made for a unit, unless it is there; false if it is or may be in another one.
    pub fn make(&mut self, record: &RecordId, area: Area, unit: &str) -> bool {
        let units = BTreeSet::from([unit.to_owned()]);
        let place = self.by_tag.entry(tag(record)).or_insert(Place { area, units: units.clone() });
        place.units == units
    }

    /// Whether a record is known to be in this unit, or may be in several.
    #[must_use]
    pub fn fits(&self, record: &RecordId, unit: &str) -> bool {
        self.by_tag.get(&tag(record)).is_some_and(|place| place.units.contains(unit))
    }

    /// A record may be in a unit beside those where it was.
    pub fn may_be_in(&mut self, record: &RecordId, unit: &str) {
        if let Some(place) = self.by_tag.get_mut(&tag(record)) {
            place.units.insert(unit.to_owned());
        }
    }

    /// A record is in this unit and nowhere else.
    pub fn is_in(&mut self, record: &RecordId, unit: &str) {
        if let Some(place) = self.by_tag.get_mut(&tag(record)) {
            place.units = BTreeSet::from([unit.to_owned()]);
        }
    }

    /// What `name` may still be sent or hold.
    pub fn left(&mut self, name: &str) -> &mut Left {
        self.left.entry(name.to_owned()).or_default()
    }

    /// Whether whoever reaches these feeds may read what `tag` names, by where it is or, as far as one of `names` knows,
    /// was. What nobody has named yet belongs to nobody.
    #[must_use]
    pub fn may_read(&self, tag: &str, names: &[&str], reaches: impl Fn(&(String, Area)) -> bool) -> bool {
        let Some(place) = self.by_tag.get(tag) else { return false };
        let before = names.iter().filter_map(|name| self.left.get(*name)).flatten();
        let before = before.filter(|(left, _)| left == tag).map(|(_, unit)| unit);
        before.chain(&place.units).any(|unit| reaches(&(unit.clone(), place.area)))
    }
}
