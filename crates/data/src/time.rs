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

/// Parses `2005-09-06`, with an optional time of day that is kept (`T12:30:05` or ` 12:30:05`), to Unix
/// seconds.
pub(crate) fn parse_date(text: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        text.get(range)?
            .iter()
            .try_fold(0_u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    };
    if text.len() < 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let days = days_from_civil(i64::from(number(0..4)?), number(5..7)?, number(8..10)?)?;
    let clock = text[10..].strip_suffix(b"Z").unwrap_or(&text[10..]);
    let seconds = match clock {
        b"" => 0,
        [b'T' | b' ', _, _, b':', _, _, b':', _, _] => {
            let (h, m, s) = (number(11..13)?, number(14..16)?, number(17..19)?);
            if h > 23 || m > 59 || s > 60 {
                return None;
            }
            i64::from(h * 3600 + m * 60 + s)
        }
        _ => return None,
    };
    Some(days * 86_400 + seconds)
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

    #[test]
    fn dates_parse_or_are_refused() {
        assert_eq!(parse_date(b"1970-01-02"), Some(86_400));
        assert_eq!(parse_date(b"1970-01-01T00:01:05"), Some(65));
        assert_eq!(parse_date(b"1970-01-01 01:00:00Z"), Some(3600));
        for bad in
            [&b"2005-13-01"[..], b"2005-9-06", b"2005/09/06", b"2005-09-06x", b"", b"2005-09-06T25:00:00"]
        {
            assert_eq!(parse_date(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
