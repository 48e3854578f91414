//! What a user's roles reach: which units' records of which area may be read, and which may be decided on.

use std::collections::{BTreeMap, BTreeSet};

use crate::sql::Connection;
use fieldbook_core::access::{Area, Role, Unit};
use fieldbook_core::ids::UserId;

use super::{Problem, StoreError, units};

/// The tree of units, and a user's roles in it.
#[derive(Debug)]
pub(crate) struct Reach {
    /// Every unit, by code.
    pub(crate) units: BTreeMap<String, Unit>,
    children: BTreeMap<String, Vec<String>>,
    /// Roles with the units that they hold at.
    grants: Vec<(Role, BTreeSet<String>)>,
}

/// How high a role stands among those who give roles.
fn level(role: Role) -> u8 {
    match role {
        Role::Province => 3,
        Role::Prefecture => 2,
        Role::County => 1,
        Role::Field | Role::Township | Role::Finance | Role::Lawyer | Role::Health | Role::Auditor | Role::Hub => 0,
    }
}

impl Reach {
    /// Of a user, as things stand in `tx`.
    pub(crate) fn of(tx: &Connection, user: UserId) -> Result<Self, StoreError> {
        let units: BTreeMap<String, Unit> = units::all(tx)?.into_iter().map(|unit| (unit.code.clone(), unit)).collect();
        let mut children: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for unit in units.values() {
            if let Some(parent) = &unit.parent {
                children.entry(parent.clone()).or_default().push(unit.code.clone());
            }
        }
        let mut reach = Self { units, children, grants: Vec::new() };
        for (role, at) in units::roles(tx, user)? {
            let below = reach.below(&at);
            reach.grants.push((role, below));
        }
        Ok(reach)
    }

    fn below(&self, code: &str) -> BTreeSet<String> {
        let (mut found, mut open) = (BTreeSet::new(), vec![code.to_owned()]);
        while let Some(code) = open.pop() {
            open.extend(self.children.get(&code).into_iter().flatten().cloned());
            found.insert(code);
        }
        found
    }

    /// Some role may read records of `area` at `unit`.
    pub(crate) fn reads(&self, area: Area, unit: &str) -> bool {
        self.grants.iter().any(|(role, units)| role.areas().contains(&area) && units.contains(unit))
    }

    /// Some role may decide at `unit`.
    pub(crate) fn supervises(&self, unit: &str) -> bool {
        self.grants.iter().any(|(role, units)| role.supervises() && units.contains(unit))
    }

    /// May give `role` at `unit`: some role supervises there and stands no lower, or supervises the topmost unit, above which
    /// nobody stands.
    pub(crate) fn gives(&self, role: Role, unit: &str) -> bool {
        let root = self.units.values().find(|unit| unit.parent.is_none());
        let mut own = self.grants.iter().filter(|(own, units)| own.supervises() && units.contains(unit));
        own.any(|(own, units)| level(*own) >= level(role) || root.is_some_and(|root| units.contains(&root.code)))
    }

    /// Some role may read records of `area` somewhere.
    pub(crate) fn sees(&self, area: Area) -> bool {
        self.grants.iter().any(|(role, _)| role.areas().contains(&area))
    }

    /// Some role holds at the unit.
    pub(crate) fn holds(&self, unit: &str) -> bool {
        self.grants.iter().any(|(_, units)| units.contains(unit))
    }

    /// The unit and all below, or it alone.
    ///
    /// # Errors
    /// `unit_unknown`, also of a unit where no role of the user holds, nor above one where a role does.
    pub(crate) fn subtree(&self, unit: &str, alone: bool) -> Result<BTreeSet<String>, Problem> {
        let below = self.below(unit);
        if !self.units.contains_key(unit) || !below.iter().any(|code| self.holds(code)) {
            return Err(Problem::new("unit_unknown").with("unit", unit));
        }
        Ok(if alone { BTreeSet::from([unit.to_owned()]) } else { below })
    }

    /// A list is asked for as far as it lies in this unit.
    ///
    /// # Errors
    /// As [`Self::subtree`].
    pub(crate) fn knows(&self, unit: Option<&str>) -> Result<(), Problem> {
        unit.map_or(Ok(()), |unit| self.subtree(unit, true).map(|_| ()))
    }

    /// Units directly below a unit, by code.
    pub(crate) fn children(&self, unit: &str) -> &[String] {
        self.children.get(unit).map_or(&[], Vec::as_slice)
    }

    /// The highest unit under which everything lies that the roles reach.
    pub(crate) fn top(&self) -> Option<String> {
        let held: BTreeSet<&String> = self.grants.iter().flat_map(|(_, units)| units).collect();
        let first = held.first()?;
        let mut at = self.units.get(first.as_str())?;
        loop {
            let below = self.below(&at.code);
            if held.iter().all(|code| below.contains(code.as_str())) {
                return Some(at.code.clone());
            }
            at = self.units.get(at.parent.as_ref()?)?;
        }
    }

    /// Name of a unit; its code where it is gone.
    pub(crate) fn name(&self, code: &str) -> String {
        self.units.get(code).map_or_else(|| code.to_owned(), |unit| unit.name.clone())
    }
}
