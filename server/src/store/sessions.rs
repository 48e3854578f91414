//! Supervisors' sessions, and the audit trail.

use crate::sql::{Connection, OptionalExtension};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldbook_core::ids::UserId;
use sha2::{Digest, Sha256};

use super::{Store, StoreError, UserRow, users};

/// How long a session lasts at most.
const SESSION_LIFETIME_MS: i64 = 12 * 3600 * 1000;
/// How long a session lasts without a request.
const SESSION_IDLE_MS: i64 = 2 * 3600 * 1000;
/// A session's last use is written at most this often.
const SEEN_STEP_MS: i64 = 60 * 1000;
/// Random bytes of a session token.
const TOKEN_BYTES: usize = 32;

/// A fresh session.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    /// Bearer token; only its hash is stored.
    pub(crate) token: String,
    /// When it ends at the latest, milliseconds since 1970 UTC.
    pub(crate) expires_ms: i64,
    pub(crate) user: UserRow,
}

fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Writes one line of the audit trail: who did what to which id. Never values.
pub(crate) fn audit(
    tx: &Connection,
    now_ms: i64,
    user: Option<UserId>,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), StoreError> {
    tx.prepare("INSERT INTO audit(time_ms, user, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
        now_ms,
        user.as_ref().map(UserId::as_bytes),
        action,
        subject,
        detail,
    ))?;
    Ok(())
}

impl Store {
    /// Opens a session if login and password fit; `None` if not. As slow as argon2, whether the login exists or not.
    pub(crate) fn login(&self, login: &str, password: &str) -> Result<Option<NewSession>, StoreError> {
        let found = self.read(|tx| users::by_login(tx, login))?;
        let now_ms = self.now_ms();
        let Some((user, hash)) = found else {
            // The same work as for a known login: the time to refuse must not tell which logins exist.
            let _ = users::hash_password(&password.chars().take(64).collect::<String>(), self.random.as_ref());
            self.write(|tx| audit(tx, now_ms, None, "login_refused", "unknown", ""))?;
            return Ok(None);
        };
        if !users::password_fits(password, &hash) {
            self.write(|tx| audit(tx, now_ms, Some(user.id), "login_refused", &user.id.to_string(), ""))?;
            return Ok(None);
        }
        let mut bytes = [0; TOKEN_BYTES];
        self.random.fill(&mut bytes);
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let expires_ms = now_ms.saturating_add(SESSION_LIFETIME_MS);
        self.write(|tx| {
            tx.execute("DELETE FROM sessions WHERE expires_ms < ?1", [now_ms])?;
            tx.execute(
                "INSERT INTO sessions(token_hash, user, created_ms, seen_ms, expires_ms) VALUES (?1, ?2, ?3, ?3, ?4)",
                (token_hash(&token), user.id.as_bytes(), now_ms, expires_ms),
            )?;
            audit(tx, now_ms, Some(user.id), "login", &user.id.to_string(), "")
        })?;
        Ok(Some(NewSession { token, expires_ms, user }))
    }

    /// The user of a live session.
    pub(crate) fn session_user(&self, token: &str) -> Result<Option<UserRow>, StoreError> {
        let (hash, now_ms) = (token_hash(token), self.now_ms());
        let found = self.read(|tx| -> Result<_, StoreError> {
            let sql = "SELECT user, seen_ms FROM sessions WHERE token_hash = ?1 AND expires_ms > ?2 AND seen_ms > ?3";
            let mut statement = tx.prepare(sql)?;
            let oldest = now_ms.saturating_sub(SESSION_IDLE_MS);
            let row: Option<([u8; 16], i64)> =
                statement.query_row((hash, now_ms, oldest), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((user, seen_ms)) = row else { return Ok(None) };
            Ok(users::user(tx, UserId(user))?.map(|user| (user, seen_ms)))
        })?;
        let Some((user, seen_ms)) = found else { return Ok(None) };
        if now_ms.saturating_sub(seen_ms) > SEEN_STEP_MS {
            self.write(|tx| -> Result<_, StoreError> {
                tx.execute("UPDATE sessions SET seen_ms = ?2 WHERE token_hash = ?1", (hash, now_ms))?;
                Ok(())
            })?;
        }
        Ok(Some(user))
    }

    /// Ends a session.
    pub(crate) fn logout(&self, token: &str) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute("DELETE FROM sessions WHERE token_hash = ?1", [token_hash(token)])?;
            Ok(())
        })
    }
}
