//! When a phone that syncs by itself tries next. Pure: it is told the time and draws from the randomness that it is given.

use crate::client::spread::{lengthened, shortened};
use crate::ports::Random;

/// Wait after the first failure.
const BACKOFF_MIN_MS: u64 = 2_000;
/// Longest wait after failures.
const BACKOFF_MAX_MS: u64 = 15 * 60 * 1000;
/// What others wrote is asked for after so long without a sync.
const LOOK_MS: u64 = 15 * 60 * 1000;
/// Saves within this time of the first one go up together.
const SAVES_TOGETHER_MS: u64 = 1_000;
/// While attempts fail, a save brings the next one no nearer to the last than this.
const SAVED_RETRY_MS: u64 = 60 * 1000;
/// A server that is busy is believed up to here.
const RETRY_AFTER_MS_MAX: u64 = 60 * 60 * 1000;

/// When to try next, by the boot clock.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Failed attempts in a row that moved nothing.
    failures: u32,
    tried_ms: u64,
    due_ms: u64,
    /// The server named the time: nothing brings it nearer.
    fixed: bool,
}

impl Schedule {
    /// Due at once.
    pub(super) fn new(now_ms: u64) -> Self {
        Self { failures: 0, tried_ms: now_ms, due_ms: now_ms, fixed: false }
    }

    /// Milliseconds until the next attempt.
    pub(super) fn wait_ms(&self, now_ms: u64) -> u64 {
        self.due_ms.saturating_sub(now_ms)
    }

    /// An attempt has done all.
    pub(super) fn done(&mut self, now_ms: u64, random: &dyn Random) {
        self.plan(now_ms, shortened(LOOK_MS, random));
        self.failures = 0;
    }

    /// An attempt has failed. One that moved something begins the waits anew; a server that says when to come again is
    /// believed, and not met earlier.
    pub(super) fn failed(&mut self, now_ms: u64, moved: bool, retry_after_ms: Option<u64>, random: &dyn Random) {
        self.failures = if moved { 0 } else { self.failures.saturating_add(1) };
        let doubled = BACKOFF_MIN_MS.saturating_mul(1 << self.failures.saturating_sub(1).min(20));
        self.plan(now_ms, shortened(doubled.min(BACKOFF_MAX_MS), random));
        if let Some(asked_ms) = retry_after_ms {
            let asked_ms = lengthened(asked_ms.min(RETRY_AFTER_MS_MAX), random);
            self.due_ms = self.due_ms.max(now_ms.saturating_add(asked_ms));
            self.fixed = true;
        }
    }

    /// Something was saved that the server has not.
    pub(super) fn saved(&mut self, now_ms: u64) {
        let earliest_ms = match self.failures {
            0 => now_ms.saturating_add(SAVES_TOGETHER_MS),
            _ => self.tried_ms.saturating_add(SAVED_RETRY_MS).max(now_ms),
        };
        self.bring_to(earliest_ms);
    }

    /// The system says that there is a network now.
    pub(super) fn network_came(&mut self, now_ms: u64) {
        self.failures = 0;
        self.bring_to(now_ms);
    }

    fn plan(&mut self, now_ms: u64, wait_ms: u64) {
        self.tried_ms = now_ms;
        self.due_ms = now_ms.saturating_add(wait_ms);
        self.fixed = false;
    }

    fn bring_to(&mut self, time_ms: u64) {
        if !self.fixed {
            self.due_ms = self.due_ms.min(time_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the same bytes always.
    struct Same(u8);

    impl Random for Same {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    /// No jitter.
    const FULL: Same = Same(0);

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_when_something_moved() {
        let mut schedule = Schedule::new(10);
        assert_eq!(schedule.wait_ms(10), 0, "the first attempt is at once");
        let mut waits = Vec::new();
        for _ in 0..12 {
            schedule.failed(10, false, None, &FULL);
            waits.push(schedule.wait_ms(10) / 1000);
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        schedule.failed(10, true, None, &FULL);
        assert_eq!(schedule.wait_ms(10), 2_000);
        schedule.done(10, &FULL);
        assert_eq!(schedule.wait_ms(10), LOOK_MS);
        schedule.failed(10, false, None, &FULL);
        assert_eq!(schedule.wait_ms(10), 2_000);
    }

    #[test]
    fn jitter_takes_away_at_most_a_quarter() {
        let waits: Vec<u64> = (0..=255)
            .map(|byte| {
                let mut schedule = Schedule::new(0);
                schedule.failed(0, false, None, &Same(byte));
                schedule.wait_ms(0)
            })
            .collect();
        assert!(waits.iter().all(|wait| (1_500..=2_000).contains(wait)), "{waits:?}");
        let different: std::collections::BTreeSet<&u64> = waits.iter().collect();
        assert!(different.len() > 100, "{different:?}");
        let mut schedule = Schedule::new(0);
        schedule.failed(0, false, Some(20_000), &Same(77));
        assert!((20_001..=25_000).contains(&schedule.wait_ms(0)), "what the server named is not undercut");
    }

    #[test]
    fn a_save_goes_up_soon_and_with_those_around_it() {
        let mut schedule = Schedule::new(0);
        schedule.done(0, &FULL);
        schedule.saved(5_000);
        assert_eq!(schedule.wait_ms(5_000), SAVES_TOGETHER_MS);
        schedule.saved(5_900);
        assert_eq!(schedule.wait_ms(5_900), 100, "the first one does not wait for those that follow");
    }

    #[test]
    fn saves_without_a_network_do_not_defeat_the_waits() {
        let mut schedule = Schedule::new(0);
        for _ in 0..10 {
            schedule.failed(0, false, None, &FULL);
        }
        schedule.saved(1_000);
        assert_eq!(schedule.wait_ms(1_000), SAVED_RETRY_MS - 1_000);
        schedule.failed(SAVED_RETRY_MS, false, None, &FULL);
        schedule.saved(10 * SAVED_RETRY_MS);
        assert_eq!(schedule.wait_ms(10 * SAVED_RETRY_MS), 0, "the last attempt is long ago");
        let mut fresh = Schedule::new(0);
        fresh.failed(0, false, None, &FULL);
        fresh.saved(100);
        assert_eq!(fresh.wait_ms(100), 1_900, "a save makes no wait longer");
    }

    #[test]
    fn a_network_that_comes_ends_the_wait() {
        let mut schedule = Schedule::new(0);
        for _ in 0..10 {
            schedule.failed(0, false, None, &FULL);
        }
        schedule.network_came(3_000);
        assert_eq!(schedule.wait_ms(3_000), 0);
        schedule.failed(3_000, false, None, &FULL);
        assert_eq!(schedule.wait_ms(3_000), 2_000);
    }

    #[test]
    fn a_busy_server_is_not_met_before_the_time_that_it_named() {
        let mut schedule = Schedule::new(0);
        schedule.failed(0, false, Some(20_000), &FULL);
        schedule.saved(100);
        schedule.network_came(200);
        assert_eq!(schedule.wait_ms(0), 20_000);
        schedule.failed(0, false, Some(u64::MAX), &FULL);
        assert_eq!(schedule.wait_ms(0), RETRY_AFTER_MS_MAX, "a server cannot silence a phone for ever");
        schedule.failed(0, false, None, &FULL);
        schedule.network_came(0);
        assert_eq!(schedule.wait_ms(0), 0);
    }
}
