//! The device's own clock and randomness: the only place in the core that reads them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustls::crypto::{SecureRandom, ring};

use crate::ports::{Clock, Random};

/// Tries before the process gives up rather than go on with predictable secrets.
const FILL_TRIES_MAX: usize = 16;

/// The system's wall clock and its time since boot.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    boot_ms_at_start: u64,
}

impl SystemClock {
    /// Reads the time since boot once; it counts on from there.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now(), boot_ms_at_start: uptime_ms() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Milliseconds since boot where the system says it (Linux, Android); else 0, which makes every start look like a new
/// boot: the careful reading.
fn uptime_ms() -> u64 {
    std::fs::read_to_string("/proc/uptime")
        .ok()
        .and_then(|text| text.split_whitespace().next().and_then(|seconds| seconds.parse::<f64>().ok()))
        .map_or(0, |seconds| (seconds * 1000.0) as u64)
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }

    fn boot_ms(&self) -> u64 {
        self.boot_ms_at_start.saturating_add(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// The system's randomness, through the same source that TLS uses.
#[derive(Debug)]
pub struct SystemRandom {
    source: &'static dyn SecureRandom,
}

impl SystemRandom {
    /// The system's source.
    #[must_use]
    pub fn new() -> Self {
        Self { source: ring::default_provider().secure_random }
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for _ in 0..FILL_TRIES_MAX {
            if self.source.fill(bytes).is_ok() {
                return;
            }
        }
        // A key or an id made of zeroes would be worse than a crash, and there is nobody to tell.
        std::process::abort();
    }
}
