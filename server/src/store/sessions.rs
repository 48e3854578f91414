//! Supervisors' sessions.

use crate::sql::{Connection, OptionalExtension};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldbook_core::ids::UserId;
use sha2::{Digest, Sha256};

use super::accounts::{self, Factor, Unfinished};
use super::audit::audit;
use super::{Problem, Store, StoreError, UserRow, users};

/// How long a session lasts at most.
const SESSION_LIFETIME_MS: i64 = 12 * 3600 * 1000;
/// How long a session lasts without a request.
const SESSION_IDLE_MS: i64 = 30 * 60 * 1000;
/// A session's last use is written at most this often.
const SEEN_STEP_MS: i64 = 60 * 1000;
/// Characters of a browser's name that are kept.
const AGENT_CHARS_MAX: usize = 200;
/// Bytes of a session's hash that name it to its user.
const SHORT_BYTES: usize = 8;
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

/// Who signs in, with what, and from where.
#[derive(Debug, Clone)]
pub(crate) struct SignIn {
    pub(crate) login: String,
    pub(crate) password: String,
    /// The time's code or a recovery code, where there is a second factor.
    pub(crate) code: Option<String>,
    pub(crate) address: String,
    /// What the browser calls itself.
    pub(crate) agent: String,
}

/// What became of an attempt to sign in.
#[derive(Debug)]
pub(crate) enum SignedIn {
    /// A session.
    In(NewSession),
    /// Login or password is wrong.
    Refused,
    /// Both fit; the second factor is wanted.
    CodeWanted,
    /// Both fit; the second factor does not.
    CodeRefused,
}

/// A live session as its user sees it.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    /// Names it without being of use to anybody: the beginning of the hash of its token.
    pub(crate) id: String,
    pub(crate) created_ms: i64,
    pub(crate) seen_ms: i64,
    pub(crate) address: String,
    pub(crate) agent: String,
    /// The one that asks.
    pub(crate) own: bool,
}

fn short(hash: &[u8]) -> String {
    hex::encode(&hash[..SHORT_BYTES.min(hash.len())])
}

/// Ends all sessions of a user but this one.
pub(super) fn end_others(tx: &Connection, user: UserId, session: &str) -> Result<(), StoreError> {
    let text = "DELETE FROM sessions WHERE user = ?1 AND token_hash <> ?2";
    tx.execute(text, (user.as_bytes(), token_hash(session)))?;
    Ok(())
}

impl Store {
    /// Opens a session if login, password and second factor fit. As slow as argon2, whether the login exists or not.
    pub(crate) fn sign_in(&self, sign_in: &SignIn) -> Result<SignedIn, StoreError> {
        let found = self.read(|tx| users::by_login(tx, &sign_in.login))?;
        let (now_ms, from) = (self.now_ms(), sign_in.address.as_str());
        let Some((user, hash)) = found else {
            // The same work as for a known login: the time to refuse must not tell which logins exist.
            let password: String = sign_in.password.chars().take(64).collect();
            let _ = users::hash_password(&password, self.random.as_ref());
            self.write(|tx| audit(tx, now_ms, None, "login_refused", "unknown", from))?;
            return Ok(SignedIn::Refused);
        };
        let subject = user.id.to_string();
        if !users::password_fits(&sign_in.password, &hash) {
            self.write(|tx| audit(tx, now_ms, Some(user.id), "login_refused", &subject, from))?;
            return Ok(SignedIn::Refused);
        }
        self.write(|tx| match accounts::give_factor(tx, user.id, sign_in.code.as_deref(), now_ms)? {
            Factor::Wanted => Ok(SignedIn::CodeWanted),
            Factor::Wrong => {
                audit(tx, now_ms, Some(user.id), "code_refused", &subject, from)?;
                Ok(SignedIn::CodeRefused)
            }
            factor @ (Factor::None | Factor::Fits(_)) => {
                if factor == Factor::Fits(true) {
                    audit(tx, now_ms, Some(user.id), "recovery_code", &subject, from)?;
                }
                self.open_session(tx, user.clone(), sign_in).map(SignedIn::In)
            }
        })
    }

    fn open_session(&self, tx: &Connection, user: UserRow, sign_in: &SignIn) -> Result<NewSession, StoreError> {
        let now_ms = self.now_ms();
        let mut bytes = [0; TOKEN_BYTES];
        self.random.fill(&mut bytes);
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let expires_ms = now_ms.saturating_add(SESSION_LIFETIME_MS);
        tx.execute("DELETE FROM sessions WHERE expires_ms < ?1", [now_ms])?;
        let agent: String = sign_in.agent.chars().take(AGENT_CHARS_MAX).collect();
        tx.execute(
            "INSERT INTO sessions(token_hash, user, created_ms, seen_ms, expires_ms, address, agent)
             VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)",
            (token_hash(&token), user.id.as_bytes(), now_ms, expires_ms, &sign_in.address, agent),
        )?;
        audit(tx, now_ms, Some(user.id), "login", &user.id.to_string(), &sign_in.address)?;
        Ok(NewSession { token, expires_ms, user })
    }

    /// The user of a live session, and what the user has to do first. What a page asks for by itself, with nobody before it,
    /// keeps no session open: `attended` is false.
    pub(crate) fn session_user(
        &self,
        token: &str,
        attended: bool,
    ) -> Result<Option<(UserRow, Unfinished)>, StoreError> {
        let (hash, now_ms) = (token_hash(token), self.now_ms());
        let found = self.read(|tx| -> Result<_, StoreError> {
            let sql = "SELECT user, seen_ms FROM sessions WHERE token_hash = ?1 AND expires_ms > ?2 AND seen_ms > ?3";
            let mut statement = tx.prepare(sql)?;
            let oldest = now_ms.saturating_sub(SESSION_IDLE_MS);
            let row: Option<([u8; 16], i64)> =
                statement.query_row((hash, now_ms, oldest), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((user, seen_ms)) = row else { return Ok(None) };
            let Some(user) = users::user(tx, UserId(user))? else { return Ok(None) };
            let unfinished = accounts::unfinished(tx, user.id)?;
            Ok(Some((user, unfinished, seen_ms)))
        })?;
        let Some((user, unfinished, seen_ms)) = found else { return Ok(None) };
        if attended && now_ms.saturating_sub(seen_ms) > SEEN_STEP_MS {
            self.write(|tx| -> Result<_, StoreError> {
                tx.execute("UPDATE sessions SET seen_ms = ?2 WHERE token_hash = ?1", (hash, now_ms))?;
                Ok(())
            })?;
        }
        Ok(Some((user, unfinished)))
    }

    /// Ends a session.
    pub(crate) fn logout(&self, token: &str) -> Result<(), StoreError> {
        self.write(|tx| {
            let text = "DELETE FROM sessions WHERE token_hash = ?1 RETURNING user";
            let user: Option<[u8; 16]> = tx.query_row(text, [token_hash(token)], |row| row.get(0)).optional()?;
            let Some(user) = user.map(UserId) else { return Ok(()) };
            audit(tx, self.now_ms(), Some(user), "logout", &user.to_string(), "")
        })
    }

    /// The user's live sessions, the last used first.
    pub(crate) fn sessions(&self, user: UserId, token: &str) -> Result<Vec<SessionRow>, StoreError> {
        let (now_ms, own) = (self.now_ms(), token_hash(token));
        let text = "SELECT token_hash, created_ms, seen_ms, address, agent FROM sessions
                    WHERE user = ?1 AND expires_ms > ?2 AND seen_ms > ?3 ORDER BY seen_ms DESC";
        self.read(|tx| {
            let mut statement = tx.prepare(text)?;
            let rows =
                statement.query_map((user.as_bytes(), now_ms, now_ms.saturating_sub(SESSION_IDLE_MS)), |row| {
                    let hash: [u8; 32] = row.get(0)?;
                    Ok(SessionRow {
                        id: short(&hash),
                        created_ms: row.get(1)?,
                        seen_ms: row.get(2)?,
                        address: row.get(3)?,
                        agent: row.get(4)?,
                        own: hash == own,
                    })
                })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Ends one of the user's sessions, by the id that [`SessionRow`] shows, or all but the one that asks.
    ///
    /// # Errors
    /// `session_unknown`; else what the database said.
    pub(crate) fn end_sessions(&self, user: UserId, token: &str, id: Option<&str>) -> Result<(), StoreError> {
        self.write(|tx| {
            let text = "SELECT token_hash FROM sessions WHERE user = ?1";
            let hashes: Vec<[u8; 32]> =
                tx.prepare(text)?.query_map([user.as_bytes()], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let own = token_hash(token);
            let ends = |hash: &&[u8; 32]| id.map_or(**hash != own, |id| short(*hash) == id);
            let ended: Vec<&[u8; 32]> = hashes.iter().filter(ends).collect();
            if let (Some(id), true) = (id, ended.is_empty()) {
                return Err(Problem::new("session_unknown").with("session", id).into());
            }
            for hash in &ended {
                tx.execute("DELETE FROM sessions WHERE token_hash = ?1", [*hash])?;
            }
            audit(tx, self.now_ms(), Some(user), "sessions_ended", &user.to_string(), &ended.len().to_string())
        })
    }
}
