//! Users as their supervisors manage them: who may, and every change of it.
//!
//! The rule (`docs/SECURITY.md`): a supervisor manages users whose unit lies in their subtree and all of whose roles they could
//! give; they give roles in their subtree that stand no higher than their own there; nobody changes their own account here; and
//! somebody always supervises the topmost unit. It is judged in the transaction that writes.

use std::collections::{BTreeSet, HashMap};

use fieldbook_core::access::{Area, Role};
use fieldbook_core::ids::{ActorId, DeviceId, UserId};
use fieldbook_core::protocol::Notice;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::audit;
use super::reach::Reach;
use super::staff::{Invited, check_count};
use super::users::{self, NewUser};
use super::{EnrolCode, Granted, Problem, Store, StoreError, UserRow, accounts, enrolments, feeds, units};
use crate::sql::Connection;

/// Users on a page.
pub const PEOPLE_MAX: usize = 200;
/// Users looked at in one go to fill a page.
const SCANNED: usize = 500;

/// Which users to list.
#[derive(Debug, Clone, Default)]
pub struct PeopleQuery {
    /// Only of this unit and all below.
    pub unit: Option<String>,
    /// In the name or the login, whatever its case.
    pub text: Option<String>,
    /// Only who has a role and no device.
    pub without_device: bool,
    /// Login of the last one of the page before.
    pub after: Option<String>,
    /// Users on the page, 1 to [`PEOPLE_MAX`].
    pub limit: usize,
}

/// A role at a unit and all below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldRole {
    /// Word of the role.
    pub role: String,
    /// Code of the unit.
    pub unit: String,
}

/// A user as supervisors see them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Person {
    /// The user.
    pub id: String,
    /// Name as shown.
    pub name: String,
    /// Login.
    pub login: String,
    /// Code of the user's unit.
    pub unit: String,
    /// Name of that unit.
    pub unit_name: String,
    /// What the user may do.
    pub roles: Vec<HeldRole>,
    /// A second factor is set up.
    pub second_factor: bool,
    /// Devices that are not revoked.
    pub devices: u64,
    /// Until when a link works that was made for the user and not used, milliseconds since 1970 UTC.
    pub link_until_ms: Option<i64>,
    /// Last exchange of one of the user's devices, milliseconds since 1970 UTC.
    pub last_contact_ms: Option<i64>,
    /// The user has no role: nothing is left to sign in for.
    pub disabled: bool,
    /// Whoever asks may change this user.
    pub manageable: bool,
}

/// A page of users.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PeopleList {
    /// The users, by login.
    pub users: Vec<Person>,
    /// Login of the last one looked at, where more follow.
    pub next: Option<String>,
}

/// A user to be added.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// Name as shown.
    pub name: String,
    /// Login; drawn from the unit's code where there is none.
    pub login: Option<String>,
    /// Code of the unit.
    pub unit: String,
    /// Roles, each with its unit.
    pub roles: Granted,
}

/// Users' ways in.
struct Contacts {
    /// Number of live devices and last exchange.
    devices: HashMap<[u8; 16], (u64, Option<i64>)>,
    /// Until when a link works that nobody has used.
    links: HashMap<[u8; 16], i64>,
}

/// Does the role use the console? Field staff and hubs have devices only.
pub(super) fn uses_console(role: Role) -> bool {
    !matches!(role, Role::Field | Role::Hub)
}

/// What a user may manage, as things stand in a transaction.
pub(super) struct Authority {
    pub(super) reach: Reach,
    user: UserId,
}

impl Authority {
    pub(super) fn of(tx: &Connection, user: UserId) -> Result<Self, StoreError> {
        Ok(Self { reach: Reach::of(tx, user)?, user })
    }

    /// May give each of the roles, and take it.
    pub(super) fn check_gives(&self, roles: &[(Role, String)]) -> Result<(), Problem> {
        for (role, unit) in roles {
            if !self.reach.units.contains_key(unit) {
                return Err(Problem::new("unit_unknown").with("unit", unit));
            }
            if !self.reach.gives(*role, unit) {
                return Err(Problem::new("role_above").with("role", role).with("unit", unit));
            }
        }
        Ok(())
    }

    /// May have users at the unit.
    pub(super) fn check_unit(&self, unit: &str) -> Result<(), Problem> {
        if !self.reach.units.contains_key(unit) {
            return Err(Problem::new("unit_unknown").with("unit", unit));
        }
        if self.reach.supervises(unit) { Ok(()) } else { Err(Problem::new("not_supervisor").with("unit", unit)) }
    }

    /// The user `id` with roles, whom this one may manage, but for themselves.
    fn other(&self, tx: &Connection, id: UserId) -> Result<(UserRow, Granted), StoreError> {
        let found = self.anyone(tx, id)?;
        if id == self.user { Err(Problem::new("own_account").into()) } else { Ok(found) }
    }

    /// The user `id` with roles, whom this one may manage.
    fn anyone(&self, tx: &Connection, id: UserId) -> Result<(UserRow, Granted), StoreError> {
        let unknown = || Problem::new("user_unknown").with("user", id);
        let row = users::user(tx, id)?.ok_or_else(unknown)?;
        if !self.reach.supervises(&row.unit) {
            return Err(unknown().into());
        }
        let roles = units::roles(tx, id)?;
        self.check_gives(&roles)?;
        Ok((row, roles))
    }

    /// A user as this one sees them.
    fn person(&self, tx: &Connection, row: UserRow, contacts: &Contacts) -> Result<Person, StoreError> {
        let roles = units::roles(tx, row.id)?;
        let (devices, last_contact_ms) = contacts.devices.get(&row.id.0).copied().unwrap_or_default();
        Ok(Person {
            id: row.id.to_string(),
            unit_name: self.reach.name(&row.unit),
            second_factor: accounts::has_factor(tx, row.id)?,
            devices,
            link_until_ms: contacts.links.get(&row.id.0).copied(),
            last_contact_ms,
            disabled: roles.is_empty(),
            manageable: row.id != self.user && self.check_gives(&roles).is_ok(),
            roles: roles.into_iter().map(|(role, unit)| HeldRole { role: role.word().to_owned(), unit }).collect(),
            name: row.name,
            login: row.login,
            unit: row.unit,
        })
    }

    fn shown(&self, tx: &Connection, id: UserId, now_ms: i64) -> Result<Person, StoreError> {
        let row = users::user(tx, id)?.ok_or_else(|| Problem::new("user_unknown").with("user", id))?;
        self.person(tx, row, &contacts(tx, now_ms)?)
    }
}

fn contacts(tx: &Connection, now_ms: i64) -> Result<Contacts, StoreError> {
    let text = "SELECT user, count(CASE WHEN revoked_ms IS NULL THEN 1 END), max(last_contact_ms)
                FROM devices GROUP BY user";
    let mut statement = tx.prepare(text)?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    Ok(Contacts { devices: rows.collect::<Result<_, _>>()?, links: enrolments::open_until(tx, now_ms)? })
}

/// What `one` has and `other` lacks.
fn without(one: &[(Role, String)], other: &[(Role, String)]) -> Granted {
    one.iter().filter(|grant| !other.contains(grant)).cloned().collect()
}

impl Store {
    /// Users of the units that `user` supervises, by login.
    ///
    /// # Errors
    /// `unit_unknown`, also where no role of the user holds; else what the database said.
    pub fn people(&self, user: UserId, query: &PeopleQuery) -> Result<PeopleList, StoreError> {
        let text = query.text.as_deref().unwrap_or_default().trim().to_lowercase();
        self.read(|tx| {
            let authority = Authority::of(tx, user)?;
            let within = query.unit.as_deref().map(|unit| authority.reach.subtree(unit, false)).transpose()?;
            let contacts = contacts(tx, self.now_ms())?;
            let (mut people, mut after) = (Vec::new(), query.after.clone().unwrap_or_default());
            loop {
                let rows = users::following(tx, &after, SCANNED)?;
                let last = rows.len() < SCANNED;
                for row in rows {
                    let named = row.name.to_lowercase().contains(&text) || row.login.to_lowercase().contains(&text);
                    let here = within.as_ref().is_none_or(|units| units.contains(&row.unit));
                    let devices = contacts.devices.get(&row.id.0).map_or(0, |(devices, _)| *devices);
                    let left_out = query.without_device && (devices > 0 || units::roles(tx, row.id)?.is_empty());
                    if !named || !here || left_out || !authority.reach.supervises(&row.unit) {
                        after = row.login;
                        continue;
                    }
                    if people.len() == query.limit {
                        return Ok(PeopleList { users: people, next: Some(after) });
                    }
                    after.clone_from(&row.login);
                    people.push(authority.person(tx, row, &contacts)?);
                }
                if last {
                    return Ok(PeopleList { users: people, next: None });
                }
            }
        })
    }

    /// Adds a user for `by`. Returns the user, and the first password where it is `wanted`: by default where one of the roles
    /// uses the console. It is shown only now, and has to be changed at the first sign-in.
    ///
    /// # Errors
    /// `not_supervisor`, `role_above`, `unit_unknown`, `roles_missing`, `name_malformed`, `login_malformed`, `login_taken`;
    /// else what the database said.
    pub fn add_person(
        &self,
        by: UserId,
        new: &NewPerson,
        wanted: Option<bool>,
    ) -> Result<(Person, Option<String>), StoreError> {
        // Hashing costs: only for who may ask for it.
        self.read(|tx| {
            let authority = Authority::of(tx, by)?;
            authority.check_unit(&new.unit)?;
            Ok(authority.check_gives(&new.roles)?)
        })?;
        let (password, hash) = self.drawn_password()?;
        let wanted = wanted.unwrap_or_else(|| new.roles.iter().any(|(role, _)| uses_console(*role)));
        let person = self.write(|tx| {
            let authority = Authority::of(tx, by)?;
            let id = self.add_in(tx, &authority, new, &hash)?.id;
            authority.shown(tx, id, self.now_ms())
        })?;
        Ok((person, wanted.then_some(password)))
    }

    /// Adds a user whom `authority` may add.
    pub(super) fn add_in(
        &self,
        tx: &Connection,
        authority: &Authority,
        new: &NewPerson,
        hash: &str,
    ) -> Result<UserRow, StoreError> {
        authority.check_unit(&new.unit)?;
        authority.check_gives(&new.roles)?;
        let NewPerson { name, login, unit, roles } = new;
        self.insert_user(tx, Some(authority.user), &NewUser { name, unit, roles, login: login.as_deref(), hash })
    }

    /// Replaces the roles of another user.
    ///
    /// # Errors
    /// `user_unknown`, `own_account`, `role_above`, `unit_unknown`, `roles_missing`, `last_supervisor`; else what the database
    /// said.
    pub fn set_roles(&self, by: UserId, id: UserId, roles: &[(Role, String)]) -> Result<Person, StoreError> {
        if roles.is_empty() {
            return Err(Problem::new("roles_missing").into());
        }
        self.write(|tx| {
            let authority = Authority::of(tx, by)?;
            let (_, held) = authority.other(tx, id)?;
            authority.check_gives(roles)?;
            self.grant_and_take(tx, Some(by), id, &without(roles, &held), &without(&held, roles))?;
            authority.shown(tx, id, self.now_ms())
        })
    }

    /// Moves another user to a unit. The roles at the old unit go along; with `keep` they hold there as well until they are
    /// taken, so that what the user's phones have not sent yet is still taken. A phone writes for the new unit from its
    /// next sync on.
    ///
    /// # Errors
    /// As [`Self::set_roles`], and `not_supervisor` of the new unit; else what the database said.
    pub fn transfer_user(&self, by: UserId, id: UserId, to: &str, keep: bool) -> Result<Person, StoreError> {
        self.write(|tx| {
            let authority = Authority::of(tx, by)?;
            let (row, held) = authority.other(tx, id)?;
            authority.check_unit(to)?;
            if row.unit != to {
                let left: Granted = held.iter().filter(|(_, at)| *at == row.unit).cloned().collect();
                let along: Granted = left.iter().map(|(role, _)| (*role, to.to_owned())).collect();
                authority.check_gives(&along)?;
                self.grant_and_take(tx, Some(by), id, &without(&along, &held), if keep { &[] } else { &left })?;
                tx.execute("UPDATE users SET unit = ?2 WHERE id = ?1", (id.as_bytes(), to))?;
                self.introduce(tx, &row, to)?;
                let detail = format!("{} {to}", row.unit);
                audit(tx, self.now_ms(), Some(by), "user_transferred", &id.to_string(), &detail)?;
            }
            authority.shown(tx, id, self.now_ms())
        })
    }

    /// Says in the general feed of a unit whose actors are a user's who belongs there from now on; the unit left knows them.
    fn introduce(&self, tx: &Connection, user: &UserRow, unit: &str) -> Result<(), StoreError> {
        let mut statement = tx.prepare("SELECT actor, device FROM actors WHERE user = ?1 ORDER BY actor")?;
        let rows = statement.query_map([user.id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let actors: Vec<([u8; 16], [u8; 16])> = rows.collect::<Result<_, _>>()?;
        let mut told = tx.prepare("INSERT INTO told(unit, actor) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
        for (actor, device) in actors {
            told.execute((&user.unit, actor))?;
            if told.execute((unit, actor))? == 1 {
                let feed = feeds::feed_for(tx, unit, Area::General)?;
                let (actor, device) = (ActorId(actor), DeviceId(device));
                let notice = Notice::Actor { actor, device, user: user.id, name: user.name.clone() };
                feeds::append_notice(tx, &feed, self.now_ms(), None, &notice)?;
            }
        }
        Ok(())
    }

    /// Takes another user's second factor away, and ends their sessions.
    ///
    /// # Errors
    /// `user_unknown`, `own_account`, `role_above`; else what the database said.
    pub fn reset_factor_of(&self, by: UserId, id: UserId) -> Result<(), StoreError> {
        self.write(|tx| {
            Authority::of(tx, by)?.other(tx, id)?;
            self.take_factor(tx, Some(by), id)
        })
    }

    /// Gives another user a new password, which is shown only now and has to be changed, and ends their sessions.
    ///
    /// # Errors
    /// `user_unknown`, `own_account`, `role_above`, `roles_missing` of a disabled user; else what the database said.
    pub fn reset_password_of(&self, by: UserId, id: UserId) -> Result<String, StoreError> {
        self.read(|tx| Ok(active(&Authority::of(tx, by)?.other(tx, id)?.1)?))?;
        let (password, hash) = self.drawn_password()?;
        self.write(|tx| {
            active(&Authority::of(tx, by)?.other(tx, id)?.1)?;
            self.replace_password(tx, Some(by), id, &hash)
        })?;
        Ok(password)
    }

    /// Makes a code with which one device of the user can enrol within so many days; for oneself too. A code that the
    /// user had and did not use works no longer.
    ///
    /// # Errors
    /// `user_unknown`, `role_above`, `roles_missing` of a disabled user, `days_out_of_range`; else what the database said.
    pub fn enrolment_of(&self, by: UserId, id: UserId, days: u8) -> Result<EnrolCode, StoreError> {
        self.write(|tx| {
            let (row, roles) = Authority::of(tx, by)?.anyone(tx, id)?;
            active(&roles)?;
            self.enrolment_for(tx, Some(by), row, days)
        })
    }

    /// The same for many, all or none: for a sheet that was lost, or whose links have run out.
    ///
    /// # Errors
    /// As [`Self::enrolment_of`], and `staff_too_many`.
    pub fn enrolments_of(&self, by: UserId, ids: &[UserId], days: u8) -> Result<Vec<Invited>, StoreError> {
        check_count(ids.len())?;
        self.write(|tx| {
            let authority = Authority::of(tx, by)?;
            let one = |id: &UserId| {
                let (row, roles) = authority.anyone(tx, *id)?;
                active(&roles).map_err(|problem| problem.with("user", &row.name))?;
                let unit_name = authority.reach.name(&row.unit);
                let enrolment = self.enrolment_for(tx, Some(by), row, days)?;
                Ok(Invited {
                    enrolment,
                    unit_name,
                    roles: roles.into_iter().map(|(role, _)| role).collect(),
                    password: None,
                })
            };
            let mut met = BTreeSet::new();
            ids.iter().filter(|id| met.insert(**id)).map(one).collect()
        })
    }

    /// Takes all roles from another user, revokes their devices, ends their sessions and unused enrolment codes, and leaves them
    /// no password that anybody knows. Roles and a new password make the account work again; devices enrol anew.
    ///
    /// # Errors
    /// `user_unknown`, `own_account`, `role_above`, `last_supervisor`; else what the database said.
    pub fn disable_user(&self, by: UserId, id: UserId) -> Result<Person, StoreError> {
        self.read(|tx| Authority::of(tx, by)?.other(tx, id).map(drop))?;
        let (_, hash) = self.drawn_password()?;
        self.write(|tx| {
            let authority = Authority::of(tx, by)?;
            let (_, held) = authority.other(tx, id)?;
            self.grant_and_take(tx, Some(by), id, &[], &held)?;
            self.replace_password(tx, Some(by), id, &hash)?;
            enrolments::withdraw(tx, id)?;
            let text = "SELECT id FROM devices WHERE user = ?1 AND revoked_ms IS NULL";
            let devices: Vec<[u8; 16]> =
                tx.prepare(text)?.query_map([id.as_bytes()], |row| row.get(0))?.collect::<Result<_, _>>()?;
            audit(tx, self.now_ms(), Some(by), "user_disabled", &id.to_string(), &devices.len().to_string())?;
            for device in devices {
                self.revoke_in(tx, Some(by), DeviceId(device))?;
            }
            authority.shown(tx, id, self.now_ms())
        })
    }
}

/// Somebody without roles gets no way in.
fn active(roles: &[(Role, String)]) -> Result<(), Problem> {
    if roles.is_empty() { Err(Problem::new("roles_missing")) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
