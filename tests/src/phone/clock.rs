//! The system's clock, or one that is wrong on purpose.

use fieldbook_core::client::system::SystemClock;
use fieldbook_core::ports::Clock;

use super::text::{Said, Text};

/// Environment variable: what the phone believes the time is at its start, `YYYY-MM-DDTHH:MM:SSZ`.
const VARIABLE: &str = "FIELDBOOK_CLOCK";

/// The system's clock, off by a fixed time.
#[derive(Debug)]
pub struct ShiftedClock {
    system: SystemClock,
    ahead_ms: i64,
}

impl ShiftedClock {
    /// As `FIELDBOOK_CLOCK` says; right where it is not set.
    ///
    /// # Errors
    /// [`Text::NoTime`] when it is no time.
    pub fn from_environment() -> Result<Self, Said> {
        let system = SystemClock::new();
        let ahead_ms = match std::env::var(VARIABLE) {
            Ok(text) => parse_ms(&text).ok_or_else(|| Said::new(Text::NoTime).with(VARIABLE))? - system.now_ms(),
            Err(_) => 0,
        };
        Ok(Self { system, ahead_ms })
    }
}

impl Clock for ShiftedClock {
    fn now_ms(&self) -> i64 {
        self.system.now_ms() + self.ahead_ms
    }

    fn boot_ms(&self) -> u64 {
        self.system.boot_ms()
    }
}

fn parse_ms(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let date: Vec<i64> = date.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let time: Vec<i64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else { return None };
    if !(1..=12).contains(month) || !(1..=31).contains(day) {
        return None;
    }
    // Days since 1970-01-01, by counting years from March so that the leap day is the last day of a year.
    let (y, m) = if *month > 2 { (*year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
}
