//! Dates and times in their canonical form, and the day numbers that logic counts with. Time zone: Asia/Shanghai,
//! +08:00, no daylight saving.

/// Seconds by which Asia/Shanghai is ahead of UTC.
pub(crate) const ZONE_OFFSET_S: i64 = 8 * 3600;
const DAY_S: i64 = 86_400;

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar; `None` when there is no such date.
pub(crate) fn day_number(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era_year = y.rem_euclid(400);
    let day_of_year = i64::from((153 * m + 2) / 5 + day - 1);
    let day_of_era = era_year * 365 + era_year / 4 - era_year / 100 + day_of_year;
    Some(y.div_euclid(400) * 146_097 + day_of_era - 719_468)
}

fn days_in(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The date that is `days` after 1970-01-01: year, month, day.
pub(crate) fn date_of(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = u32::try_from(doy - (153 * mp + 2) / 5 + 1).unwrap_or(1);
    let month = u32::try_from(if mp < 10 { mp + 3 } else { mp - 9 }).unwrap_or(1);
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// `YYYY-MM-DD` in Asia/Shanghai.
pub(crate) fn date_text(time_s: i64) -> String {
    let (year, month, day) = date_of((time_s + ZONE_OFFSET_S).div_euclid(DAY_S));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `YYYY-MM-DDTHH:MM:SS+08:00` in Asia/Shanghai.
pub(crate) fn date_time_text(time_s: i64) -> String {
    let second = (time_s + ZONE_OFFSET_S).rem_euclid(DAY_S);
    format!("{}T{:02}:{:02}:{:02}+08:00", date_text(time_s), second / 3600, second / 60 % 60, second % 60)
}

/// The day number of a canonical or near-canonical date (`2024-5-1`, `2024/05/01`, `2024年5月1日`).
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split(['-', '/', '.', '年', '月']).collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let day = day.strip_suffix('日').unwrap_or(day);
    if year.len() != 4 || month.len() > 2 || day.len() > 2 || [*year, *month, day].iter().any(|p| !digits(p)) {
        return None;
    }
    day_number(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A clock time: seconds of the day, milliseconds, and the zone's offset in seconds where one is written.
pub(crate) struct ClockTime {
    pub second: i64,
    pub millisecond: u32,
    pub offset_s: Option<i64>,
}

/// Reads `HH:MM`, `HH:MM:SS`, `HH:MM:SS.mmm`, each with `Z`, `+08:00`, `+0800` or no zone.
pub(crate) fn parse_clock(text: &str) -> Option<ClockTime> {
    let (clock, offset_s) = split_zone(text)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if !digits(fraction) {
        return None;
    }
    let parts: Vec<&str> = clock.split(':').collect();
    if !(2..=3).contains(&parts.len()) || parts.iter().any(|p| !digits(p) || p.len() > 2) {
        return None;
    }
    let number = |at: usize| parts.get(at).map_or(Some(0), |p| p.parse::<i64>().ok());
    let (hour, minute, second) = (number(0)?, number(1)?, number(2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(ClockTime { second: hour * 3600 + minute * 60 + second, millisecond: padded.parse().ok()?, offset_s })
}

fn split_zone(text: &str) -> Option<(&str, Option<i64>)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, Some(0)));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, None)) };
    let (clock, zone) = text.split_at(at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let bare: String = zone.chars().skip(1).filter(|c| *c != ':').collect();
    if !digits(&bare) || !matches!(bare.len(), 2 | 4) {
        return None;
    }
    let (hours, minutes) = bare.split_at(2);
    let minutes = if minutes.is_empty() { 0 } else { minutes.parse::<i64>().ok()? };
    let hours = hours.parse::<i64>().ok()?;
    (hours <= 14 && minutes < 60).then_some((clock, Some(sign * (hours * 3600 + minutes * 60))))
}

fn clock_text(second: i64, millisecond: u32) -> String {
    let fraction = if millisecond == 0 { String::new() } else { format!(".{millisecond:03}") };
    format!("{:02}:{:02}:{:02}{fraction}", second / 3600, second / 60 % 60, second % 60)
}

/// Canonical date `YYYY-MM-DD`.
pub(crate) fn date(text: &str) -> Option<String> {
    let (year, month, day) = date_of(parse_date(text)?);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// Canonical time `HH:MM:SS`, with milliseconds only where there are some; a zone is dropped (clocks show local time).
pub(crate) fn time(text: &str) -> Option<String> {
    let clock = parse_clock(text)?;
    Some(clock_text(clock.second, clock.millisecond))
}

/// Canonical date and time `YYYY-MM-DDTHH:MM:SS+08:00`; other zones are converted, none means Asia/Shanghai.
pub(crate) fn date_time(text: &str) -> Option<String> {
    let (day, second, millisecond) = parse_date_time(text)?;
    let (year, month, day) = date_of(day);
    Some(format!("{year:04}-{month:02}-{day:02}T{}+08:00", clock_text(second, millisecond)))
}

/// Day number, second of the day and millisecond in Asia/Shanghai of a date, or a date and time.
pub(crate) fn parse_date_time(text: &str) -> Option<(i64, i64, u32)> {
    let Some((date, clock)) = text.split_once(['T', ' ']) else { return Some((parse_date(text)?, 0, 0)) };
    let clock = parse_clock(clock.trim())?;
    let local = parse_date(date)? * DAY_S + clock.second - clock.offset_s.unwrap_or(ZONE_OFFSET_S) + ZONE_OFFSET_S;
    let day = local.div_euclid(DAY_S);
    (1..=9999).contains(&date_of(day).0).then_some((day, local.rem_euclid(DAY_S), clock.millisecond))
}
