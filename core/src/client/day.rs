//! Instants as texts in the time zone of the forms, Asia/Shanghai (UTC+8 without summer time since 1991).

const SHANGHAI_S: i64 = 8 * 3600;
const DAY_S: i64 = 86_400;

/// `YYYY-MM-DDTHH:MM:SS+08:00` of seconds since 1970 UTC.
#[must_use]
pub fn text(time_s: i64) -> String {
    let local = time_s.saturating_add(SHANGHAI_S);
    let (days, second) = (local.div_euclid(DAY_S), local.rem_euclid(DAY_S));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}+08:00", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar: counted in eras of 400 years
/// (146,097 days) that begin on 1 March, so that the leap day is the last day of a year.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march_0000 = days.saturating_add(719_468);
    let (era, day_of_era) = (from_march_0000.div_euclid(146_097), from_march_0000.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}
