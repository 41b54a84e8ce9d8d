//! Parses numbers from bytes: a fast path for the common forms, the standard library for the rest.

/// A whole, unsigned number of up to 18 digits.
pub(super) fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0_i64, |n, &b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// A time stamp in units: a whole number, or a decimal or scientific one that is cut to a whole
/// (`RecBole` writes `8.81250949E8`), or a calendar date.
pub(super) fn time(text: &[u8], per_second: i64) -> Option<i64> {
    if let Some(n) = digits(text) {
        return Some(if per_second == 1 { n } else { n.div_euclid(per_second) });
    }
    if let Some(seconds) = crate::time::parse_date(text) {
        return Some(seconds);
    }
    let number: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    (number.is_finite() && number.abs() < 9e18).then(|| (number / per_second as f64).floor() as i64)
}

/// A finite number.
pub(super) fn value(text: &[u8]) -> Option<f32> {
    match text {
        [d @ b'0'..=b'9'] => Some(f32::from(d - b'0')),
        [d @ b'0'..=b'9', b'.', f @ b'0'..=b'9'] => {
            Some((f32::from(d - b'0') * 10.0 + f32::from(f - b'0')) / 10.0)
        }
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
        assert_eq!(time(b"881250949", 1), Some(881_250_949));
        assert_eq!(time(b"8.81250949E8", 1), Some(881_250_949));
        assert_eq!(time(b"881250949.75", 1), Some(881_250_949));
        assert_eq!(time(b"881250949123", 1000), Some(881_250_949));
        assert_eq!(time(b"-5", 1), Some(-5));
        assert_eq!(time(b"soon", 1), None);
        assert_eq!(time(b"inf", 1), None);
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
