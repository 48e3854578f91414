//! Users, their passwords and roles.

use crate::sql;
use crate::sql::{Connection, OptionalExtension, Row};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use fieldbook_core::access::Role;
use fieldbook_core::ids::UserId;
use fieldbook_core::ports::Random;

use super::audit::audit;
use super::{Problem, Store, StoreError, units};
use crate::code;

/// Bytes of a login.
const LOGIN_BYTES_MAX: usize = 64;
/// Random bytes of a generated password.
const PASSWORD_BYTES: usize = 10;
/// Bytes of a password that is still hashed.
pub(crate) const PASSWORD_BYTES_MAX: usize = 256;

/// Roles, each with the unit from which it holds downwards.
pub type Granted = Vec<(Role, String)>;

/// A user to be added.
pub(super) struct NewUser<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    pub(super) roles: &'a [(Role, String)],
    /// One is drawn from the unit's code where none is given.
    pub(super) login: Option<&'a str>,
    /// Of a password that has to be changed.
    pub(super) hash: &'a str,
}

/// A user as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The user.
    pub id: UserId,
    /// Name as shown.
    pub name: String,
    /// Unique login.
    pub login: String,
    /// Code of the unit to which the user belongs, and new records of the user's devices.
    pub unit: String,
}

fn user_of(row: &Row<'_>) -> sql::Result<(Vec<u8>, UserRow)> {
    let id: Vec<u8> = row.get(0)?;
    Ok((id, UserRow { id: UserId([0; 16]), name: row.get(1)?, login: row.get(2)?, unit: row.get(3)? }))
}

fn finish((id, row): (Vec<u8>, UserRow)) -> Result<UserRow, StoreError> {
    let id = UserId::from_slice(&id).map_err(|error| StoreError::corrupt("user id", error))?;
    Ok(UserRow { id, ..row })
}

/// The user with this id.
pub(crate) fn user(tx: &Connection, id: UserId) -> Result<Option<UserRow>, StoreError> {
    let mut statement = tx.prepare("SELECT id, name, login, unit FROM users WHERE id = ?1")?;
    statement.query_row([id.as_bytes()], user_of).optional()?.map(finish).transpose()
}

/// The user with this login, with the password's hash.
pub(crate) fn by_login(tx: &Connection, login: &str) -> Result<Option<(UserRow, String)>, StoreError> {
    let mut statement = tx.prepare("SELECT id, name, login, unit, password FROM users WHERE login = ?1")?;
    let found = statement.query_row([login], |row| Ok((user_of(row)?, row.get(4)?))).optional()?;
    found.map(|(row, password)| Ok((finish(row)?, password))).transpose()
}

/// Every user whose login comes after `after`, by login, so many.
pub(super) fn following(tx: &Connection, after: &str, limit: usize) -> Result<Vec<UserRow>, StoreError> {
    let text = "SELECT id, name, login, unit FROM users WHERE login > ?1 ORDER BY login LIMIT ?2";
    let rows: Vec<_> = tx.prepare(text)?.query_map((after, limit), user_of)?.collect::<Result<_, _>>()?;
    rows.into_iter().map(finish).collect()
}

/// The user named by login, id or unique name.
pub(super) fn named(tx: &Connection, text: &str) -> Result<UserRow, StoreError> {
    if let Some((row, _)) = by_login(tx, text)? {
        return Ok(row);
    }
    if let Ok(id) = text.parse::<UserId>()
        && let Some(row) = user(tx, id)?
    {
        return Ok(row);
    }
    let mut statement = tx.prepare("SELECT id, name, login, unit FROM users WHERE name = ?1 LIMIT 2")?;
    let mut rows: Vec<_> = statement.query_map([text], user_of)?.collect::<Result<_, _>>()?;
    match (rows.pop(), rows.pop()) {
        (Some(only), None) => finish(only),
        (None, _) => Err(Problem::new("user_unknown").with("user", text).into()),
        _ => Err(Problem::new("user_ambiguous").with("user", text).into()),
    }
}

/// Hashes a password with argon2id under a random salt. Takes about 50 ms of CPU and 19 MB.
///
/// # Errors
/// `password_malformed` when it is longer than 256 bytes.
pub fn hash_password(password: &str, random: &dyn Random) -> Result<String, StoreError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Problem::new("password_malformed").into());
    }
    let mut salt = [0; 16];
    random.fill(&mut salt);
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|error| StoreError::corrupt("password", error))?;
    Ok(hash.to_string())
}

/// Whether `password` gives `hash`. As slow as hashing.
#[must_use]
pub fn password_fits(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    password.len() <= PASSWORD_BYTES_MAX && Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

pub(super) fn new_password(random: &dyn Random) -> String {
    let mut bytes = [0; PASSWORD_BYTES];
    random.fill(&mut bytes);
    grouped(&code::encode(&bytes))
}

/// A code in lower case, with a dash after each four letters.
pub(super) fn grouped(code: &str) -> String {
    let text = code.to_lowercase();
    let groups: Vec<String> =
        text.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join("-")
}

pub(super) fn check_login(login: &str) -> Result<(), Problem> {
    let fits = !login.is_empty()
        && login.len() <= LOGIN_BYTES_MAX
        && login.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte));
    if fits { Ok(()) } else { Err(Problem::new("login_malformed").with("login", login)) }
}

fn free_login(tx: &Connection, unit: &str) -> Result<String, StoreError> {
    let count: i64 = tx.query_row("SELECT count(*) FROM users WHERE unit = ?1", [unit], |row| row.get(0))?;
    let mut number = count + 1;
    loop {
        let login = format!("{unit}-{number}");
        if by_login(tx, &login)?.is_none() {
            return Ok(login);
        }
        number += 1;
    }
}

impl Store {
    /// Adds a user with `roles` at `unit`; returns the user and a generated password, which is shown only now.
    ///
    /// # Errors
    /// A [`Problem`] when name, login, unit or roles do not fit; else what the database said.
    pub fn add_user(
        &self,
        name: &str,
        unit: &str,
        roles: &[Role],
        login: Option<&str>,
    ) -> Result<(UserRow, String), StoreError> {
        let (password, hash) = self.drawn_password()?;
        let roles: Granted = roles.iter().map(|role| (*role, unit.to_owned())).collect();
        let new = NewUser { name, unit, roles: &roles, login, hash: &hash };
        let row = self.write(|tx| self.insert_user(tx, None, &new))?;
        Ok((row, password))
    }

    /// Gives and takes roles of a user, each at a unit; returns all that the user holds then.
    ///
    /// # Errors
    /// `user_unknown`, `unit_unknown`, `last_supervisor`; else what the database said.
    pub fn change_roles(
        &self,
        user: &str,
        give: &[(Role, String)],
        take: &[(Role, String)],
    ) -> Result<Vec<(Role, String)>, StoreError> {
        self.write(|tx| {
            let row = named(tx, user)?;
            self.grant_and_take(tx, None, row.id, give, take)?;
            units::roles(tx, row.id)
        })
    }

    /// Sets a new generated password and ends the user's sessions.
    ///
    /// # Errors
    /// `user_unknown`; else what the database said.
    pub fn reset_password(&self, user: &str) -> Result<(UserRow, String), StoreError> {
        let (password, hash) = self.drawn_password()?;
        let row = self.write(|tx| {
            let row = named(tx, user)?;
            self.replace_password(tx, None, row.id, &hash)?;
            Ok::<_, StoreError>(row)
        })?;
        Ok((row, password))
    }

    /// Every user with roles, by login.
    ///
    /// # Errors
    /// What the database said.
    pub fn users(&self) -> Result<Vec<(UserRow, Granted)>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare("SELECT id, name, login, unit FROM users ORDER BY login")?;
            let rows: Vec<_> = statement.query_map((), user_of)?.collect::<Result<_, _>>()?;
            rows.into_iter()
                .map(|row| {
                    let row = finish(row)?;
                    let roles = units::roles(tx, row.id)?;
                    Ok((row, roles))
                })
                .collect()
        })
    }

    /// The user named by login, id or unique name.
    ///
    /// # Errors
    /// `user_unknown`, `user_ambiguous`; else what the database said.
    pub fn find_user(&self, text: &str) -> Result<UserRow, StoreError> {
        self.read(|tx| named(tx, text))
    }
}

impl Store {
    /// A new password, which is shown once, and its hash.
    pub(super) fn drawn_password(&self) -> Result<(String, String), StoreError> {
        let password = new_password(self.random.as_ref());
        let hash = hash_password(&password, self.random.as_ref())?;
        Ok((password, hash))
    }

    /// Adds a user for `by`; nobody is the command line.
    pub(super) fn insert_user(
        &self,
        tx: &Connection,
        by: Option<UserId>,
        new: &NewUser<'_>,
    ) -> Result<UserRow, StoreError> {
        let NewUser { name, unit, roles, login, hash } = *new;
        units::check_name(name)?;
        if roles.is_empty() {
            return Err(Problem::new("roles_missing").into());
        }
        units::wanted_unit(tx, unit)?;
        let login = match login {
            Some(login) => {
                check_login(login)?;
                if by_login(tx, login)?.is_some() {
                    return Err(Problem::new("login_taken").with("login", login).into());
                }
                login.to_owned()
            }
            None => free_login(tx, unit)?,
        };
        let id = UserId::random(self.random.as_ref());
        tx.prepare(
            "INSERT INTO users(id, name, login, unit, password, created_ms, password_to_change)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)",
        )?
        .execute((id.as_bytes(), name, &login, unit, hash, self.now_ms()))?;
        for (role, at) in roles {
            units::wanted_unit(tx, at)?;
            grant(tx, id, *role, at)?;
        }
        audit(tx, self.now_ms(), by, "user_added", &id.to_string(), &granted(roles))?;
        Ok(UserRow { id, name: name.to_owned(), login, unit: unit.to_owned() })
    }

    /// Gives and takes roles for `by`; nobody is the command line.
    ///
    /// # Errors
    /// `unit_unknown`, `last_supervisor`; else what the database said.
    pub(super) fn grant_and_take(
        &self,
        tx: &Connection,
        by: Option<UserId>,
        user: UserId,
        give: &[(Role, String)],
        take: &[(Role, String)],
    ) -> Result<(), StoreError> {
        let supervised = supervises_all(tx, user)?;
        for (role, unit) in give {
            units::wanted_unit(tx, unit)?;
            grant(tx, user, *role, unit)?;
        }
        for (role, unit) in take {
            tx.execute(
                "DELETE FROM user_roles WHERE user = ?1 AND role = ?2 AND unit = ?3",
                (user.as_bytes(), role.word(), unit),
            )?;
        }
        if supervised && !supervises_all(tx, user)? && !has_top_supervisor(tx)? {
            return Err(Problem::new("last_supervisor").into());
        }
        for (action, changed) in [("roles_given", give), ("roles_taken", take)] {
            if !changed.is_empty() {
                audit(tx, self.now_ms(), by, action, &user.to_string(), &granted(changed))?;
            }
        }
        Ok(())
    }

    /// Replaces a password by one that has to be changed, and ends the user's sessions.
    pub(super) fn replace_password(
        &self,
        tx: &Connection,
        by: Option<UserId>,
        user: UserId,
        hash: &str,
    ) -> Result<(), StoreError> {
        let text = "UPDATE users SET password = ?2, password_to_change = 1 WHERE id = ?1";
        tx.execute(text, (user.as_bytes(), hash))?;
        tx.execute("DELETE FROM sessions WHERE user = ?1", [user.as_bytes()])?;
        audit(tx, self.now_ms(), by, "password_reset", &user.to_string(), "")
    }
}

/// The user supervises the topmost unit.
fn supervises_all(tx: &Connection, user: UserId) -> Result<bool, StoreError> {
    let Some(root) = units::root(tx)? else { return Ok(false) };
    Ok(units::roles(tx, user)?.iter().any(|(role, at)| role.supervises() && *at == root.code))
}

/// Somebody supervises the topmost unit.
fn has_top_supervisor(tx: &Connection) -> Result<bool, StoreError> {
    let Some(root) = units::root(tx)? else { return Ok(false) };
    let mut statement = tx.prepare("SELECT DISTINCT role FROM user_roles WHERE unit = ?1")?;
    let words = statement.query_map([&root.code], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(words.iter().filter_map(|word| Role::from_word(word)).any(Role::supervises))
}

fn granted(roles: &[(Role, String)]) -> String {
    roles.iter().map(|(role, unit)| format!("{role}@{unit}")).collect::<Vec<_>>().join(" ")
}

fn grant(tx: &Connection, user: UserId, role: Role, unit: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO user_roles(user, role, unit) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        (user.as_bytes(), role.word(), unit),
    )?;
    Ok(())
}
