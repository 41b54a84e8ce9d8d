//! Sessions from idle gaps, at any number of levels.
//!
//! A new session of level `l` begins at a user's first interaction and after every idle gap longer
//! than the level's threshold. Thresholds grow with the level, so a boundary at a level is a
//! boundary at every shorter level, and one small number per row (how many levels begin a session) is
//! enough. The idea: Ma and Narayanaswamy 2018, *Hierarchical Temporal-Contextual Recommenders*.

use crate::order::per_user;
use crate::{DataError, Result, TimeSlice};
use rayon::prelude::*;

/// Idle-gap thresholds in seconds, shortest first.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct IdleGaps(Vec<i64>);

impl IdleGaps {
    /// Checks thresholds: positive, strictly growing, at most 255 levels.
    ///
    /// # Errors
    /// [`DataError::Setting`] naming the threshold that breaks the rule.
    pub fn new(seconds: Vec<i64>) -> Result<Self> {
        if let Some(bad) = seconds.iter().find(|s| **s <= 0) {
            return Err(DataError::Setting(format!("idle gap {bad} s is not positive")));
        }
        if let Some([short, long, ..]) = seconds.windows(2).find(|p| p[0] >= p[1]) {
            return Err(DataError::Setting(format!(
                "idle gaps must grow, and {long} s does not follow {short} s; give the shortest first"
            )));
        }
        if seconds.len() > 255 {
            return Err(DataError::Setting(format!(
                "{} idle gaps; at most 255 levels are possible",
                seconds.len()
            )));
        }
        Ok(Self(seconds))
    }

    /// One minute, one day, thirty days: the levels of the talk.
    #[must_use]
    pub fn talk() -> Self {
        Self(vec![60, 86_400, 30 * 86_400])
    }

    /// Number of levels.
    #[must_use]
    pub fn levels(&self) -> usize {
        self.0.len()
    }

    /// The thresholds in seconds.
    #[must_use]
    pub fn seconds(&self) -> &[i64] {
        &self.0
    }

    /// How many levels begin a new session after an idle gap of `gap` seconds.
    #[must_use]
    pub fn crossed(&self, gap: i64) -> u8 {
        self.0.iter().take_while(|threshold| gap > **threshold).count() as u8
    }

    /// For each row the number of levels at which a session begins there: all of them at a user's
    /// first row. `timestamps` are sorted within the users of `offsets`. Shape: one `u8` per row.
    #[must_use]
    pub fn marks(&self, timestamps: TimeSlice, offsets: &[usize]) -> Vec<u8> {
        let mut marks = vec![0; timestamps.len()];
        per_user(&mut marks, offsets).into_par_iter().zip(offsets.par_windows(2)).for_each(
            |(marks, range)| {
                let times = timestamps.slice(range[0]..range[1]);
                if let Some(first) = marks.first_mut() {
                    *first = self.levels() as u8;
                }
                for ((mark, time), before) in marks.iter_mut().zip(times).skip(1).zip(times) {
                    *mark = self.crossed(time - before);
                }
            },
        );
        marks
    }
}

impl std::str::FromStr for IdleGaps {
    type Err = DataError;

    /// Reads `60,86400` or `1m,1d,30d`.
    fn from_str(text: &str) -> Result<Self> {
        let gaps = text.split(',').map(|part| {
            let part = part.trim();
            let (digits, unit) =
                part.split_at(part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len()));
            let scale = match unit {
                "" | "s" => 1,
                "m" | "min" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => 0,
            };
            match digits.parse::<i64>() {
                Ok(n) if scale > 0 => Ok(n.saturating_mul(scale)),
                _ => Err(DataError::Setting(format!(
                    "idle gap {part:?} is not understood; write seconds or 30s, 1m, 2h, 30d"
                ))),
            }
        });
        Self::new(gaps.collect::<Result<_>>()?)
    }
}

/// Session numbers of one level from [`IdleGaps::marks`]: 0-based within each user.
#[must_use]
pub fn numbers(marks: &[u8], offsets: &[usize], level: usize) -> Vec<i32> {
    let mut numbers = vec![0; marks.len()];
    per_user(&mut numbers, offsets).into_par_iter().zip(offsets.par_windows(2)).for_each(
        |(numbers, range)| {
            let mut session = -1;
            for (number, mark) in numbers.iter_mut().zip(&marks[range[0]..range[1]]) {
                session += i32::from(usize::from(*mark) > level);
                *number = session;
            }
        },
    );
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let gaps = IdleGaps::new(vec![10, 100]).unwrap();
        let times = [0, 10, 21, 200, 5, 5];
        let offsets = [0, 4, 4, 6];
        let marks = gaps.marks(times[..].into(), &offsets);
        assert_eq!(marks, [2, 0, 1, 2, 2, 0]);
        assert_eq!(numbers(&marks, &offsets, 0), [0, 0, 1, 2, 0, 0]);
        assert_eq!(numbers(&marks, &offsets, 1), [0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn thresholds_are_checked() {
        for bad in ["0", "10,10", "20,10", "x", "5y", "", "-3"] {
            assert!(bad.parse::<IdleGaps>().is_err(), "{bad}");
        }
        assert_eq!("1m,1d,30d".parse::<IdleGaps>().unwrap(), IdleGaps::talk());
    }

    proptest! {
        /// A boundary at a level is one at every shorter level; sessions never span a longer gap.
        #[test]
        fn levels_nest(mut times in proptest::collection::vec(0_i64..10_000, 1..80), a in 1_i64..50,
            b in 51_i64..500) {
            times.sort_unstable();
            let gaps = IdleGaps::new(vec![a, b]).unwrap();
            let offsets = [0, times.len()];
            let marks = gaps.marks(times[..].into(), &offsets);
            let (short, long) = (numbers(&marks, &offsets, 0), numbers(&marks, &offsets, 1));
            for i in 1..times.len() {
                let gap = times[i] - times[i - 1];
                prop_assert_eq!(short[i] > short[i - 1], gap > a);
                prop_assert_eq!(long[i] > long[i - 1], gap > b);
                prop_assert!(long[i] == long[i - 1] || short[i] > short[i - 1]);
            }
        }
    }
}
