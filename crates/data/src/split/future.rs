//! One cut in time.

use super::{Role, drop_unseen_items};
use crate::{DataError, Interactions, Result, days_from_civil, rng};
use rand::Rng;

/// The Netflix Prize windows of RRN (Wu et al. 2017) and `DeepRecommender` (Kuchaiev and Ginsburg 2017).
///
/// Both ends are inclusive calendar days. Test-window rows of users without training rows are left
/// out, every other one goes to validation or test by a fair coin, and rows of items without
/// training rows are left out (`netflix_data_convert.py`). RRN's Table 2 column "6 months" was made
/// on [`Window::Netflix3Months`]: its counts are that window's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// Train 1999-12-01 to 2005-11-30, test December 2005.
    NetflixFull,
    /// Train 2005-09-01 to 2005-11-30, test December 2005.
    Netflix3Months,
    /// Train 2005-06-01 to 2005-11-30, test December 2005.
    Netflix6Months,
    /// Train 2004-06-01 to 2005-05-31, test June 2005.
    Netflix1Year,
}

impl Window {
    /// All published windows.
    pub const ALL: [Self; 4] =
        [Self::NetflixFull, Self::Netflix3Months, Self::Netflix6Months, Self::Netflix1Year];

    /// The name in arguments and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NetflixFull => "netflix-full",
            Self::Netflix3Months => "netflix-3-months",
            Self::Netflix6Months => "netflix-6-months",
            Self::Netflix1Year => "netflix-1-year",
        }
    }

    /// First and last day of training and of testing, as (year, month, day).
    #[must_use]
    pub fn days(self) -> [(i64, u32, u32); 4] {
        let december = [(2005, 12, 1), (2005, 12, 31)];
        let (first, last, test) = match self {
            Self::NetflixFull => ((1999, 12, 1), (2005, 11, 30), december),
            Self::Netflix3Months => ((2005, 9, 1), (2005, 11, 30), december),
            Self::Netflix6Months => ((2005, 6, 1), (2005, 11, 30), december),
            Self::Netflix1Year => ((2004, 6, 1), (2005, 5, 31), [(2005, 6, 1), (2005, 6, 30)]),
        };
        [first, last, test[0], test[1]]
    }

    pub(super) fn roles(self, data: &Interactions, seed: u64) -> Result<Vec<Role>> {
        let days = self.days().map(|(y, m, d)| days_from_civil(y, m, d));
        let [Some(train_first), Some(train_last), Some(test_first), Some(test_last)] = days else {
            return Err(DataError::Setting(format!("window {} has an impossible date", self.name())));
        };
        let day = |row: usize| data.timestamps.at(row).div_euclid(86_400);
        let mut coin = rng(seed, "split");
        let mut roles = vec![Role::Unused; data.len()];
        for range in data.user_offsets().windows(2) {
            let mut trained = false;
            for row in range[0]..range[1] {
                let day = day(row);
                if (train_first..=train_last).contains(&day) {
                    roles[row] = Role::Train;
                    trained = true;
                } else if (test_first..=test_last).contains(&day) && trained {
                    roles[row] = if coin.next_u64() & 1 == 0 { Role::Validation } else { Role::Test };
                }
            }
        }
        drop_unseen_items(data, &mut roles);
        Ok(roles)
    }
}

impl std::str::FromStr for Window {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|w| w.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            DataError::Setting(format!("unknown window {name:?}; known are {known}"))
        })
    }
}

/// The newest `test` share of the rows tests; of the rows before it, the newest `validation` share
/// validates. A cut never divides one second: its rows stay on the later side.
pub(super) fn cut(data: &Interactions, test: f64, validation: f64) -> Vec<Role> {
    let mut times = data.timestamps.all().to_vec();
    times.sort_unstable();
    let at = |rows: usize, share: f64| (rows as f64 * (1.0 - share)).round() as usize;
    let test_from = times.get(at(times.len(), test)).copied().unwrap_or(i64::MAX);
    let before = times.partition_point(|t| *t < test_from);
    let validation_from = if validation > 0.0 {
        times.get(at(before, validation)).copied().unwrap_or(test_from)
    } else {
        test_from
    };
    data.timestamps
        .iter()
        .map(|time| match time {
            _ if time >= test_from => Role::Test,
            _ if time >= validation_from => Role::Validation,
            _ => Role::Train,
        })
        .collect()
}
