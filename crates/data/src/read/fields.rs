//! Parses numbers from bytes: a fast path for the common forms, the standard library for the rest.

use crate::time::{DateOrder, Moment, NoDate, fraction, parse_date};

/// A whole, unsigned number of up to 19 digits.
pub(super) fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let (first, last) = text.split_at(text.len().min(18));
    let number =
        first.iter().try_fold(0_i64, |n, &b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))?;
    match last {
        [] => Some(number),
        [b] => number.checked_mul(10)?.checked_add(i64::from(b.is_ascii_digit().then_some(b - b'0')?)),
        _ => None,
    }
}

/// A time stamp: a number in units, whole (`978300760`), decimal (`978300760.25`) or scientific (`RecBole`
/// writes `8.81250949E8`), or a calendar date.
pub(super) fn time(text: &[u8], per_second: i64, order: Option<DateOrder>) -> Result<Moment, NoDate> {
    if let Some(number) = digits(text) {
        return Ok(whole(number, per_second));
    }
    if let Some(moment) = decimal(text, per_second) {
        return Ok(moment);
    }
    if text.contains(&b'e') || text.contains(&b'E') || text.starts_with(b"-") {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<f64>().ok());
        if let Some(number) = number.filter(|n| n.is_finite() && n.abs() < 9e18) {
            return Ok(of_float(number, per_second));
        }
    }
    parse_date(text, order)
}

/// A number of units as a moment.
pub(super) fn whole(number: i64, per_second: i64) -> Moment {
    if per_second == 1 {
        return (number, 0);
    }
    let rest = number.rem_euclid(per_second) * (1_000_000_000 / per_second);
    (number.div_euclid(per_second), rest as u32)
}

/// A floating-point number of units as a moment, to the microsecond: it holds no more of today's times.
pub(super) fn of_float(number: f64, per_second: i64) -> Moment {
    let seconds = number / per_second as f64;
    let micros = ((seconds - seconds.floor()) * 1e6).round() as u32;
    (seconds.floor() as i64 + i64::from(micros / 1_000_000), micros % 1_000_000 * 1_000)
}

/// `978300760.25`, exactly.
fn decimal(text: &[u8], per_second: i64) -> Option<Moment> {
    let point = memchr::memchr(b'.', text)?;
    let (seconds, nanoseconds) = whole(digits(&text[..point])?, per_second);
    if point + 1 == text.len() {
        return Some((seconds, nanoseconds));
    }
    let part = fraction(&text[point + 1..])? / u32::try_from(per_second).ok()?;
    Some((seconds, nanoseconds + part))
}

/// Whether a field means that there is no value.
pub(super) fn missing(text: &[u8]) -> bool {
    match text {
        b"" => true,
        [b'N' | b'n' | b'\\' | b'<', ..] if text.len() <= 4 => matches!(
            text,
            b"NA" | b"N/A" | b"n/a" | b"<NA>" | b"NaN" | b"nan" | b"NULL" | b"null" | b"None" | b"\\N"
        ),
        _ => false,
    }
}

/// A finite number, or a truth value as 1 or 0.
pub(super) fn value(text: &[u8]) -> Option<f32> {
    match text {
        [d @ b'0'..=b'9'] => Some(f32::from(d - b'0')),
        [d @ b'0'..=b'9', b'.', f @ b'0'..=b'9'] => {
            Some((f32::from(d - b'0') * 10.0 + f32::from(f - b'0')) / 10.0)
        }
        b"true" | b"True" | b"TRUE" => Some(1.0),
        b"false" | b"False" | b"FALSE" => Some(0.0),
        _ => {
            let number: f32 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
            number.is_finite().then_some(number)
        }
    }
}

/// `text` without leading and trailing blanks.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    match text {
        [first, .., last] if !first.is_ascii_whitespace() && !last.is_ascii_whitespace() => text,
        _ => text.trim_ascii(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes() {
        let of = |text: &str, unit| time(text.as_bytes(), unit, None).ok();
        assert_eq!(of("881250949", 1), Some((881_250_949, 0)));
        assert_eq!(of("8.81250949E8", 1), Some((881_250_949, 0)));
        assert_eq!(of("881250949.75", 1), Some((881_250_949, 750_000_000)));
        assert_eq!(of("881250949.", 1), Some((881_250_949, 0)));
        assert_eq!(of("881250949123", 1000), Some((881_250_949, 123_000_000)));
        assert_eq!(of("881250949123.5", 1000), Some((881_250_949, 123_500_000)));
        assert_eq!(of("881250949123456789", 1_000_000_000), Some((881_250_949, 123_456_789)));
        assert_eq!(of("-5", 1), Some((-5, 0)));
        assert_eq!([of("soon", 1), of("inf", 1), of("", 1), of("1e300", 1)], [None; 4]);
        assert_eq!(of_float(1.402_129_218_25e9, 1), (1_402_129_218, 250_000_000));
        assert!(
            ["", "NA", "NaN", "NULL", "null", "\\N", "<NA>", "None"].iter().all(|m| missing(m.as_bytes()))
        );
        assert!(["0", "Nan", "Nora", "\\", "N", "no"].iter().all(|name| !missing(name.as_bytes())));
        assert_eq!((value(b"true"), value(b"False")), (Some(1.0), Some(0.0)));
        assert_eq!(value(b"3"), Some(3.0));
        assert_eq!(value(b"NaN"), None);
        assert_eq!(value(b""), None);
    }

    proptest! {
        #[test]
        fn the_fast_way_agrees_with_the_standard_library(a in 0_u32..10, b in 0_u32..10) {
            let text = format!("{a}.{b}");
            prop_assert_eq!(value(text.as_bytes()), text.parse::<f32>().ok());
        }
    }
}
