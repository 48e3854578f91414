//! Units, areas, roles and feeds: who may see, write and decide what.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $n:literal $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
        #[cbor(index_only)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* #[n($n)] $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word used in forms, API and command line.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The value that `word` names, if any.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

word_enum!(
    /// What a role may see: every kind belongs to one area.
    Area {
        /// Forms, settings, units, actors: what every device needs.
        General = 0 "general",
        /// Hardship households, visits.
        Aid = 1 "aid",
        /// Health findings.
        Health = 2 "health",
        /// Legal check-ups, letters.
        Legal = 3 "legal",
        /// Bank accounts, funds, payments.
        Finance = 4 "finance",
        /// Health checks: campaigns, who is registered, who came. No findings.
        Screening = 5 "screening",
    }
);

word_enum!(
    /// What a user may do within a unit's subtree.
    Role {
        /// Field staff.
        Field = 0 "field",
        /// Township (grassroots) union.
        Township = 1 "township",
        /// County supervisor.
        County = 2 "county",
        /// Prefecture.
        Prefecture = 3 "prefecture",
        /// Province.
        Province = 4 "province",
        /// Finance.
        Finance = 5 "finance",
        /// Lawyer.
        Lawyer = 6 "lawyer",
        /// Health institution.
        Health = 7 "health",
        /// Auditor: reads everything, writes nothing.
        Auditor = 8 "auditor",
        /// A township hub: mirrors what its township's phones read, and writes nothing.
        Hub = 9 "hub",
    }
);

word_enum!(
    /// What a supervisor decides on a record.
    Decision {
        /// Approved as read.
        Approve = 0 "approve",
        /// Given back to its author.
        Return = 1 "return",
        /// Void: it counts nowhere.
        Void = 2 "void",
        /// Closed and kept.
        Archive = 3 "archive",
        /// No longer void: what the record was before holds again.
        Reinstate = 4 "reinstate",
    }
);

impl Decision {
    /// Which of a record's decisions stands, given all of them in the order of its feed: a void that was taken back is as
    /// if it had never been.
    #[must_use]
    pub fn standing(all: &[Self]) -> Option<usize> {
        let mut standing: Vec<(usize, Self)> = Vec::new();
        for (at, decision) in all.iter().enumerate() {
            if *decision != Self::Reinstate {
                standing.push((at, *decision));
            } else if standing.last().is_some_and(|(_, last)| *last == Self::Void) {
                standing.pop();
            }
        }
        standing.last().map(|(at, _)| *at)
    }
}

impl Role {
    /// The areas whose feeds this role may read.
    #[must_use]
    pub fn areas(self) -> &'static [Area] {
        match self {
            Role::Field | Role::Township | Role::Hub => &[Area::General, Area::Aid, Area::Legal, Area::Screening],
            Role::County | Role::Prefecture | Role::Province => {
                &[Area::General, Area::Aid, Area::Legal, Area::Finance, Area::Screening]
            }
            Role::Finance => &[Area::General, Area::Aid, Area::Finance],
            Role::Lawyer => &[Area::General, Area::Legal],
            Role::Health => &[Area::General, Area::Health, Area::Screening],
            Role::Auditor => Area::ALL,
        }
    }

    /// May decide on records (approve, return, resolve, admit) of its units.
    #[must_use]
    pub fn supervises(self) -> bool {
        matches!(self, Role::County | Role::Prefecture | Role::Province)
    }
}

/// The log of one unit and area.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
pub struct FeedId {
    /// Code of the unit.
    #[n(0)]
    pub unit: String,
    /// Area of the kinds in it.
    #[n(1)]
    pub area: Area,
}

impl std::fmt::Display for FeedId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.unit, self.area)
    }
}

/// A node of the union organisations' tree.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Unit {
    /// Unique code, at most 32 ASCII letters, digits, `-`, `_`.
    #[n(0)]
    pub code: String,
    /// Name as shown.
    #[n(1)]
    pub name: String,
    /// Code of the parent; `None` for the root.
    #[n(2)]
    pub parent: Option<String>,
    /// GB/T 2260 division code (6 to 12 digits), if the unit has one.
    #[n(3)]
    pub division: Option<String>,
}
