//! Times that are none: years, dates written as numbers, counters.

use super::TimeUnit;
use crate::{DataError, Result, Timestamps, days_from_civil, format_date};

/// 1990-01-01.
const EARLIEST: i64 = 631_152_000;

/// Reads times that are dates written as numbers (20140304) or years as what they are, and says so; remarks
/// on times that all lie before 1990. Order and distinctness of rows stay what they were.
///
/// # Errors
/// [`DataError::Setting`] where such a number stands beside Unix seconds: one of both is misread.
pub(super) fn settle(times: &mut Timestamps, unit: TimeUnit) -> Result<Option<String>> {
    let Some(last) = times.iter().max().filter(|last| *last > 0 && unit == TimeUnit::S) else {
        return Ok(None);
    };
    if last < EARLIEST {
        return Ok(of_early(times));
    }
    let odd = |time: &i64| {
        (1900..=2100).contains(time) || (19_000_101..=21_001_231).contains(time) && civil(*time).is_some()
    };
    match times.iter().find(odd) {
        None => Ok(None),
        Some(odd) => Err(DataError::Setting(format!(
            "{odd} stands among Unix seconds up to {last} ({}): as seconds it would be in {}\n  help: write \
             all \
             times in one way",
            format_date(last),
            format_date(odd)
        ))),
    }
}

/// The day of a date written as a number.
fn civil(date: i64) -> Option<i64> {
    let (month, day) = (date / 100 % 100, date % 100);
    days_from_civil(date / 10_000, u32::try_from(month).ok()?, u32::try_from(day).ok()?)
}

/// Times that all lie before 1990.
fn of_early(times: &mut Timestamps) -> Option<String> {
    let (first, last) = (times.iter().min()?, times.iter().max()?);
    let as_dates = || -> Option<Timestamps> {
        (first >= 19_000_101 && last <= 21_001_231).then_some(())?;
        times
            .iter()
            .map(|date| civil(date).map(|day| day * 86_400))
            .collect::<Option<Vec<_>>>()
            .map(Into::into)
    };
    let as_years = || -> Option<Timestamps> {
        (first >= 1970 && last <= 2100).then_some(())?;
        times
            .iter()
            .map(|year| days_from_civil(year, 1, 1).map(|day| day * 86_400))
            .collect::<Option<Vec<_>>>()
            .map(Into::into)
    };
    if let Some(dates) = as_dates().filter(|dates| dates.iter().all(|time| time >= 0)) {
        *times = dates;
        return Some(format!("times such as {first} were read as dates written as YYYYMMDD"));
    }
    if let Some(years) = as_years() {
        *times = years;
        return Some(format!("times from {first} to {last} were read as years, each as its first day"));
    }
    Some(format!(
        "all times lie from {} to {}: are they times ({first} to {last}), in seconds? they serve as an order",
        format_date(first),
        format_date(last)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(times: &[i64]) -> (Vec<i64>, Option<String>) {
        let mut times: Timestamps = times.to_vec().into();
        let remark = settle(&mut times, TimeUnit::S).unwrap();
        (times.iter().collect(), remark)
    }

    #[test]
    fn times_that_are_none() {
        let (dates, said) = settled(&[20_140_304, 20_140_305]);
        assert_eq!(dates, [1_393_891_200, 1_393_977_600]);
        assert!(said.unwrap().contains("YYYYMMDD"));
        let (years, said) = settled(&[1999, 2014]);
        assert_eq!(years, [915_148_800, 1_388_534_400]);
        assert!(said.unwrap().contains("years"));
        let (counters, said) = settled(&[1, 2, 3]);
        assert!(counters == [1, 2, 3] && said.unwrap().contains("order"));
        // 20141304 is no date.
        assert!(settled(&[20_140_304, 20_141_304]).1.unwrap().contains("order"));
        assert_eq!(settled(&[0, 0]), (vec![0, 0], None));
        assert_eq!(settled(&[5, 978_300_760]).1, None);
        for odd in [2014, 20_140_304] {
            let mut times: Timestamps = vec![odd, 978_300_760].into();
            assert!(settle(&mut times, TimeUnit::S).is_err());
        }
    }
}
