//! Times as people read them.

/// Offset of Asia/Shanghai from UTC in seconds; no daylight saving.
const ZONE_OFFSET_S: i64 = 8 * 3600;
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_EPOCH: i64 = 719_468;
/// Days in 400 years.
const DAYS_PER_ERA: i64 = 146_097;

/// `YYYY-MM-DDTHH:MM:SS+08:00` of milliseconds since 1970 UTC.
#[must_use]
pub(crate) fn shanghai(ms: i64) -> String {
    let seconds = ms.div_euclid(1000).saturating_add(ZONE_OFFSET_S);
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, date) = civil(day);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}+08:00")
}

/// Year, month and day of the month of a day since 1970.
fn civil(day: i64) -> (i64, i64, i64) {
    // Years that begin in March put the leap day last (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let day = day.saturating_add(DAYS_TO_EPOCH);
    let (era, of_era) = (day.div_euclid(DAYS_PER_ERA), day.rem_euclid(DAYS_PER_ERA));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, date)
}

/// The day since 1970 of a date; the day after the last of a month is the first of the next.
fn days(year: i64, month: i64, date: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + date - 1;
    era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_EPOCH
}

/// The month in which a moment lies in Asia/Shanghai, in months since year 0.
#[must_use]
pub(crate) fn month_of(ms: i64) -> i64 {
    let (year, month, _) = civil(ms.div_euclid(1000).saturating_add(ZONE_OFFSET_S).div_euclid(86_400));
    year * 12 + month - 1
}

/// `YYYY-MM` of months since year 0.
#[must_use]
pub(crate) fn month_text(month: i64) -> String {
    format!("{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1)
}

/// First millisecond since 1970 UTC of the year, month or day `YYYY[-MM[-DD]]` in Asia/Shanghai, and of the next one.
#[must_use]
pub(crate) fn span(text: &str) -> Option<(i64, i64)> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return None;
    }
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let apart = |at: usize| text.as_bytes().get(at) == Some(&b'-');
    let (from, to) = match text.len() {
        4 => (days(part(0..4)?, 1, 1), days(part(0..4)? + 1, 1, 1)),
        7 if apart(4) => {
            let (year, month) = (part(0..4)?, part(5..7).filter(|month| (1..=12).contains(month))?);
            (days(year, month, 1), if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) })
        }
        10 if apart(4) && apart(7) => {
            let day = days(part(0..4)?, part(5..7)?, part(8..10)?);
            (civil(day) == (part(0..4)?, part(5..7)?, part(8..10)?)).then_some((day, day + 1))?
        }
        _ => return None,
    };
    let ms = |day: i64| (day * 86_400 - ZONE_OFFSET_S) * 1000;
    Some((ms(from), ms(to)))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
#[must_use]
pub(crate) fn day_of(year: i64, month: i64, date: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + date - 1;
    era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_EPOCH
}

#[cfg(test)]
mod tests;
