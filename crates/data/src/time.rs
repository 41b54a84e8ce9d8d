//! Calendar dates to and from Unix days (Howard Hinnant's algorithms, proleptic Gregorian, UTC).

/// Days since 1970-01-01 of a civil date; `None` for a date the calendar does not have.
///
/// ```
/// use foretaste_data::{civil_from_days, days_from_civil};
/// assert_eq!(days_from_civil(1970, 1, 1), Some(0));
/// assert_eq!(days_from_civil(2005, 12, 31), Some(13_148));
/// assert_eq!(civil_from_days(13_148), (2005, 12, 31));
/// assert_eq!(days_from_civil(2005, 2, 29), None);
/// ```
#[must_use]
pub fn days_from_civil(year: i64, month: u32, day: u32) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > last {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = i64::from((153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1);
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    Some(era * 146_097 + doe - 719_468)
}

/// Civil date (year, month, day) of a day since 1970-01-01; the inverse of [`days_from_civil`].
#[must_use]
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = (if mp < 10 { mp + 3 } else { mp - 9 }) as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// A Unix time stamp's UTC date as `2005-09-06`.
#[must_use]
pub fn format_date(timestamp: i64) -> String {
    let (year, month, day) = civil_from_days(timestamp.div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Whether the day or the month comes first in dates such as `6/7/2014`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
}

impl std::str::FromStr for DateOrder {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "dmy" => Ok(Self::Dmy),
            "mdy" => Ok(Self::Mdy),
            _ => Err(format!("unknown order of day and month {name:?}; known are dmy, mdy")),
        }
    }
}

/// A moment: Unix seconds and nanoseconds within the second.
pub(crate) type Moment = (i64, u32);

/// Why a text is no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoDate {
    /// It is none, or one that the calendar does not have.
    Unknown,
    /// Day and month could be either way round.
    Ambiguous,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Parses a calendar date with an optional time of day: ISO 8601 (`2014-03-04T05:06:07.089+02:00`,
/// `2014/03/04 05:06`), `04.03.2014`, `6/7/2014 8:20:18 AM` under a stated order, `Sat Jun 07 08:20:18 +0000
/// 2014`, `7 June 2014`. Without an offset a time is UTC.
pub(crate) fn parse_date(text: &[u8], order: Option<DateOrder>) -> Result<Moment, NoDate> {
    let text = std::str::from_utf8(text).map_err(|_| NoDate::Unknown)?.trim();
    // Seven characters are the least: `1/2/203` has no year yet. Longer ones are prose.
    if text.len() < 8 || text.len() > 48 || !text.bytes().any(|b| b.is_ascii_digit()) {
        return Err(NoDate::Unknown);
    }
    let (date, rest) = numeric_date(text, order).transpose().unwrap_or_else(|| {
        let (date, rest) = worded_date(text).ok_or(NoDate::Unknown)?;
        Ok((date, std::borrow::Cow::Owned(rest)))
    })?;
    let (year, month, day) = date;
    let days = days_from_civil(year, month, day).ok_or(NoDate::Unknown)?;
    let (seconds, nanoseconds) = clock(&rest).ok_or(NoDate::Unknown)?;
    Ok((days * 86_400 + seconds, nanoseconds))
}

type Civil = (i64, u32, u32);

/// Leading digits, at most `most` of them, and what follows.
fn leading(text: &str, most: usize) -> Option<(u32, usize, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > most {
        return None;
    }
    Some((text[..digits].parse().ok()?, digits, &text[digits..]))
}

/// A date of numbers at the text's beginning and what follows it; `None` if the text does not begin with one.
fn numeric_date(
    text: &str,
    order: Option<DateOrder>,
) -> Result<Option<(Civil, std::borrow::Cow<'_, str>)>, NoDate> {
    let parts = || {
        let (a, a_digits, rest) = leading(text, 4)?;
        let divider = rest.chars().next().filter(|c| matches!(c, '-' | '/' | '.'))?;
        let (b, _, rest) = leading(rest.strip_prefix(divider)?, 2)?;
        let (c, c_digits, rest) = leading(rest.strip_prefix(divider)?, 4)?;
        Some(((a, a_digits), b, (c, c_digits), divider, rest))
    };
    let Some(((a, a_digits), b, (c, c_digits), divider, rest)) = parts() else { return Ok(None) };
    let rest = std::borrow::Cow::Borrowed(rest);
    match (a_digits, c_digits) {
        (4, 1 | 2) => Ok(Some(((i64::from(a), b, c), rest))),
        (1 | 2, 4) => {
            let order = match (order, divider) {
                (Some(order), _) => order,
                (None, '.') => DateOrder::Dmy,
                _ => return Err(NoDate::Ambiguous),
            };
            let (day, month) = if order == DateOrder::Dmy { (a, b) } else { (b, a) };
            Ok(Some(((i64::from(c), month, day), rest)))
        }
        _ => Err(NoDate::Unknown),
    }
}

/// A date with a month's name, wherever its parts stand, and the words that are left: time, offset.
fn worded_date(text: &str) -> Option<(Civil, String)> {
    let (mut year, mut month, mut day, mut rest) = (None, None, None, Vec::new());
    // `07-Jun-2014` has its dividers between words; an offset keeps its sign.
    let apart = |c: char| c.is_whitespace() || c == ',';
    let words = text.split(apart).filter(|word| !word.is_empty());
    let words = words.flat_map(|word| {
        let dashed = word.contains('-') && word.bytes().any(|b| b.is_ascii_alphabetic());
        word.split(move |c| dashed && c == '-')
    });
    for word in words {
        let lower = word.to_ascii_lowercase();
        let name = lower.get(..3).filter(|_| lower.bytes().all(|b| b.is_ascii_alphabetic()));
        let place = |names: &[&str]| name.and_then(|name| names.iter().position(|other| *other == name));
        if let Some(found) = place(&MONTHS).filter(|_| month.is_none()) {
            month = Some(found as u32 + 1);
        } else if place(&WEEKDAYS).is_some() && year.is_none() && day.is_none() {
            // A weekday follows from the date.
        } else if let Some((number, digits, "")) = leading(word, 4) {
            match digits {
                1 | 2 if day.is_none() => day = Some(number),
                4 if year.is_none() => year = Some(i64::from(number)),
                _ => return None,
            }
        } else {
            rest.push(word);
        }
    }
    Some(((year?, month?, day?), rest.join(" ")))
}

/// A time of day with its offset in seconds and nanoseconds; nothing is midnight.
fn clock(text: &str) -> Option<Moment> {
    let text = text.trim_start_matches(['T', 't', ' ']).trim_end();
    if text.is_empty() {
        return Some((0, 0));
    }
    let Some((hours, _, mut rest)) = leading(text, 2) else {
        return offset(text.trim()).map(|seconds| (-seconds, 0));
    };
    let (mut seconds, mut nanoseconds) = (0, 0);
    let minutes;
    if let Some(after) = rest.strip_prefix(':') {
        (minutes, _, rest) = leading(after, 2)?;
        if let Some(after) = rest.strip_prefix(':') {
            (seconds, _, rest) = leading(after, 2)?;
            if let Some(after) = rest.strip_prefix(['.', ',']) {
                let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                nanoseconds = fraction(&after.as_bytes()[..digits])?;
                rest = &after[digits..];
            }
        }
    } else {
        return None;
    }
    let mut rest = rest.trim();
    let mut hours = hours;
    for (half, noon) in [("AM", 0), ("PM", 12)] {
        if rest.get(..2).is_some_and(|part| part.eq_ignore_ascii_case(half)) {
            if !(1..=12).contains(&hours) {
                return None;
            }
            hours = hours % 12 + noon;
            rest = rest[2..].trim();
        }
    }
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    Some((i64::from(hours * 3600 + minutes * 60 + seconds) - offset(rest)?, nanoseconds))
}

/// An offset from UTC in seconds: `Z`, `UTC`, `GMT`, `+02:00`, `-0530`, `+02`, or nothing.
fn offset(text: &str) -> Option<i64> {
    let text = ["UTC", "GMT"].iter().fold(text, |text, name| text.strip_prefix(name).unwrap_or(text)).trim();
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let (sign, digits) = (if text.starts_with('-') { -1 } else { 1 }, text.strip_prefix(['+', '-'])?);
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (leading(hours, 2)?, leading(minutes, 2)?),
        None if digits.len() == 4 => (leading(digits.get(..2)?, 2)?, leading(digits.get(2..)?, 2)?),
        None => (leading(digits, 2)?, (0, 2, "")),
    };
    if !hours.2.is_empty() || !minutes.2.is_empty() || hours.0 > 18 || minutes.0 > 59 {
        return None;
    }
    Some(sign * i64::from(hours.0 * 3600 + minutes.0 * 60))
}

/// Digits behind a decimal point as nanoseconds; further digits are cut.
pub(crate) fn fraction(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| digits.get(place).map_or(0, |digit| u32::from(digit - b'0'));
    Some((0..9).fold(0, |sum, place| sum * 10 + digit(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_round_trip_over_six_centuries() {
        for days in -80_000..160_000 {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), Some(days));
        }
    }

    /// Against `date --utc --date=... +%s` of GNU coreutils.
    #[test]
    fn dates_parse() {
        let seconds = 1_402_129_218; // Sat Jun 7 08:20:18 2014
        let day = 1_402_099_200;
        for (text, expected) in [
            ("2014-06-07", (day, 0)),
            ("2014-06-07T08:20:18", (seconds, 0)),
            ("2014-06-07 08:20:18", (seconds, 0)),
            ("2014-06-07T08:20:18Z", (seconds, 0)),
            ("2014-06-07T08:20:18.250Z", (seconds, 250_000_000)),
            ("2014-06-07T08:20:18,5", (seconds, 500_000_000)),
            ("2014-06-07T10:20:18+02:00", (seconds, 0)),
            ("2014-06-07T02:50:18-0530", (seconds, 0)),
            ("2014-06-07 08:20:18 UTC", (seconds, 0)),
            ("2014-06-07 08:20", (seconds - 18, 0)),
            ("2014-06-07 08:20:18.123456789999", (seconds, 123_456_789)),
            ("2014/06/07", (day, 0)),
            ("2014-6-7", (day, 0)),
            ("2014/6/7 8:20:18", (seconds, 0)),
            ("07.06.2014", (day, 0)),
            ("7.6.2014 08:20:18", (seconds, 0)),
            ("Sat Jun 07 08:20:18 2014", (seconds, 0)),
            ("Sat Jun  7 08:20:18 2014", (seconds, 0)),
            ("Sat Jun 07 08:20:18 +0000 2014", (seconds, 0)),
            ("Sat, 07 Jun 2014 08:20:18 GMT", (seconds, 0)),
            ("07-Jun-2014", (day, 0)),
            ("June 7, 2014", (day, 0)),
            ("7 June 2014 8:20:18 am", (seconds, 0)),
            ("7 June 2014 8:20:18 PM", (seconds + 43_200, 0)),
            ("2014-06-07 12:20:18 AM", (seconds - 28_800, 0)),
        ] {
            assert_eq!(parse_date(text.as_bytes(), None), Ok(expected), "{text}");
        }
        let order = |text: &str, order| parse_date(text.as_bytes(), order);
        assert_eq!(order("6/7/2014 8:20:18 AM", None), Err(NoDate::Ambiguous));
        assert_eq!(order("6/7/2014 8:20:18 AM", Some(DateOrder::Mdy)), Ok((seconds, 0)));
        assert_eq!(order("7/6/2014 8:20:18 AM", Some(DateOrder::Dmy)), Ok((seconds, 0)));
        assert_eq!(order("13/6/2014", Some(DateOrder::Mdy)), Err(NoDate::Unknown));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in [
            "2005-13-01",
            "2005-02-29",
            "2005-09-06x",
            "",
            "2005-09-06T25:00:00",
            "2005-09-06T12",
            "2005-09-06T12:61:00",
            "2005-09-06T12:00:00+25:00",
            "2005-09-06 13:00:00 PM",
            "2005-09/06",
            "6/7/14",
            "June 2014",
            "yesterday at 5",
            "Sat Jun 07 08:20:18 2014 2015",
        ] {
            assert_eq!(parse_date(bad.as_bytes(), None), Err(NoDate::Unknown), "{bad}");
        }
    }
}
