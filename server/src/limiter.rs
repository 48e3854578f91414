//! How often one address or login may try a secret.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// Attempts within [`WINDOW_MS`] on one login after which more are refused.
pub(crate) const LOGIN_ATTEMPTS_MAX: usize = 10;
/// Attempts from one address, which a whole office may share.
pub(crate) const ADDRESS_ATTEMPTS_MAX: usize = 50;
/// Milliseconds for which an attempt counts.
const WINDOW_MS: i64 = 15 * 60 * 1000;
/// Keys remembered at once; a new one takes the place of that which was tried longest ago.
const KEYS_MAX: usize = 20_000;
/// Bits of an IPv6 address that one subscriber has to themselves.
const SUBSCRIBER_BITS: u32 = 64;

/// What attempts are counted by, and how many may fail.
pub(crate) type Key = (String, usize);

/// Whose network an address is of: an IPv6 subscriber has more addresses than can be counted one by one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << SUBSCRIBER_BITS))),
        },
    }
}

/// Counts failed attempts by key; of this process only.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    failures: Mutex<HashMap<String, Vec<i64>>>,
}

impl Limiter {
    /// Counts an attempt of `key` and says whether it may go on: `max` in a quarter of an hour.
    /// Call [`Self::forgive`] when it succeeded.
    pub(crate) fn attempt(&self, key: &str, max: usize, now_ms: i64) -> bool {
        self.attempt_all(&[(key.to_owned(), max)], now_ms)
    }

    /// The same by several keys, all of which must allow it. An attempt that one of them refuses counts for none: whoever
    /// is shut out can shut out nobody else.
    pub(crate) fn attempt_all(&self, keys: &[Key], now_ms: i64) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |time: &i64| now_ms.saturating_sub(*time) < WINDOW_MS;
        for (key, max) in keys {
            let Some(times) = failures.get_mut(key) else { continue };
            times.retain(recent);
            if times.len() >= *max {
                return false;
            }
        }
        for (key, _) in keys {
            if failures.len() >= KEYS_MAX && !failures.contains_key(key) {
                make_room(&mut failures, recent);
            }
            failures.entry(key.clone()).or_default().push(now_ms);
        }
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

fn make_room(failures: &mut HashMap<String, Vec<i64>>, recent: impl Fn(&i64) -> bool) {
    failures.retain(|_, times| times.iter().any(&recent));
    if failures.len() < KEYS_MAX {
        return;
    }
    let oldest = failures.iter().min_by_key(|(_, times)| times.last().copied()).map(|(key, _)| key.clone());
    if let Some(oldest) = oldest {
        failures.remove(&oldest);
    }
}

#[cfg(test)]
mod tests;
