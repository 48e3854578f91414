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

fn new_password(random: &dyn Random) -> String {
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

fn check_login(login: &str) -> Result<(), Problem> {
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
        units::check_name(name)?;
        if let Some(login) = login {
            check_login(login)?;
        }
        if roles.is_empty() {
            return Err(Problem::new("roles_missing").into());
        }
        let password = new_password(self.random.as_ref());
        let hash = hash_password(&password, self.random.as_ref())?;
        let id = UserId::random(self.random.as_ref());
        let row = self.write(|tx| {
            units::wanted_unit(tx, unit)?;
            let login = match login {
                Some(login) if by_login(tx, login)?.is_some() => {
                    return Err(StoreError::from(Problem::new("login_taken").with("login", login)));
                }
                Some(login) => login.to_owned(),
                None => free_login(tx, unit)?,
            };
            tx.execute(
                "INSERT INTO users(id, name, login, unit, password, created_ms, password_to_change)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)",
                (id.as_bytes(), name, &login, unit, &hash, self.now_ms()),
            )?;
            for role in roles {
                grant(tx, id, *role, unit)?;
            }
            audit(
                tx,
                self.now_ms(),
                None,
                "user_added",
                &id.to_string(),
                &granted(roles.iter().map(|role| (*role, unit))),
            )?;
            Ok(UserRow { id, name: name.to_owned(), login, unit: unit.to_owned() })
        })?;
        Ok((row, password))
    }

    /// Gives and takes roles of a user, each at a unit; returns all that the user holds then.
    ///
    /// # Errors
    /// `user_unknown`, `unit_unknown`; else what the database said.
    pub fn change_roles(
        &self,
        user: &str,
        give: &[(Role, String)],
        take: &[(Role, String)],
    ) -> Result<Vec<(Role, String)>, StoreError> {
        self.write(|tx| {
            let row = named(tx, user)?;
            for (role, unit) in give {
                units::wanted_unit(tx, unit)?;
                grant(tx, row.id, *role, unit)?;
            }
            for (role, unit) in take {
                tx.execute(
                    "DELETE FROM user_roles WHERE user = ?1 AND role = ?2 AND unit = ?3",
                    (row.id.as_bytes(), role.word(), unit),
                )?;
            }
            let now_ms = self.now_ms();
            for (action, changed) in [("roles_given", give), ("roles_taken", take)] {
                if !changed.is_empty() {
                    let detail = granted(changed.iter().map(|(role, unit)| (*role, unit.as_str())));
                    audit(tx, now_ms, None, action, &row.id.to_string(), &detail)?;
                }
            }
            units::roles(tx, row.id)
        })
    }

    /// Sets a new generated password and ends the user's sessions.
    ///
    /// # Errors
    /// `user_unknown`; else what the database said.
    pub fn reset_password(&self, user: &str) -> Result<(UserRow, String), StoreError> {
        let password = new_password(self.random.as_ref());
        let hash = hash_password(&password, self.random.as_ref())?;
        let row = self.write(|tx| {
            let row = named(tx, user)?;
            tx.execute(
                "UPDATE users SET password = ?2, password_to_change = 1 WHERE id = ?1",
                (row.id.as_bytes(), &hash),
            )?;
            tx.execute("DELETE FROM sessions WHERE user = ?1", [row.id.as_bytes()])?;
            audit(tx, self.now_ms(), None, "password_reset", &row.id.to_string(), "")?;
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

fn granted<'a>(roles: impl Iterator<Item = (Role, &'a str)>) -> String {
    roles.map(|(role, unit)| format!("{role}@{unit}")).collect::<Vec<_>>().join(" ")
}

fn grant(tx: &Connection, user: UserId, role: Role, unit: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO user_roles(user, role, unit) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        (user.as_bytes(), role.word(), unit),
    )?;
    Ok(())
}
