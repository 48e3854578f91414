//! How often one address or login may try a secret.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Attempts within [`WINDOW_MS`] on one login after which more are refused.
pub(crate) const LOGIN_ATTEMPTS_MAX: usize = 10;
/// Attempts from one address, which a whole office may share.
pub(crate) const ADDRESS_ATTEMPTS_MAX: usize = 50;
/// Milliseconds for which an attempt counts.
const WINDOW_MS: i64 = 15 * 60 * 1000;
/// Keys remembered at once; beyond, the whole table is cleared of what is old, then refused.
const KEYS_MAX: usize = 20_000;

/// Counts failed attempts by key; of this process only.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    failures: Mutex<HashMap<String, Vec<i64>>>,
}

impl Limiter {
    /// Counts an attempt of `key` and says whether it may go on: `max` in a quarter of an hour.
    /// Call [`Self::forgive`] when it succeeded.
    pub(crate) fn attempt(&self, key: &str, max: usize, now_ms: i64) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |time: &i64| now_ms.saturating_sub(*time) < WINDOW_MS;
        if failures.len() >= KEYS_MAX {
            failures.retain(|_, times| times.iter().any(recent));
            if failures.len() >= KEYS_MAX {
                return false;
            }
        }
        let times = failures.entry(key.to_owned()).or_default();
        times.retain(recent);
        if times.len() >= max {
            return false;
        }
        times.push(now_ms);
        true
    }

    /// Takes the last attempt of `key` back.
    pub(crate) fn forgive_one(&self, key: &str) {
        if let Some(times) = self.failures.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key) {
            times.pop();
        }
    }

    /// Forgets the attempts of `key`: it knew the secret.
    pub(crate) fn forgive(&self, key: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests;
