//! Splits: which rows train, which validate, which test, and whether that leaks time.
//!
//! A rule assigns one [`Role`] to each row. The parts are then copied into columns of their own, so that
//! code that trains cannot reach a test row.

mod future;
mod per_user;
mod random;

pub use future::Window;

use crate::{DataError, Histories, IdleGaps, Interactions, ReadOptions, Result, Timestamps, Values};
use std::path::PathBuf;

/// The role of a row in a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Trains.
    Train,
    /// Used for tuning and early stopping, never for testing.
    Validation,
    /// Is predicted, and influences nothing before that.
    Test,
    /// Not trained on, but known of its user when test rows are predicted.
    Given,
    /// The protocol leaves it out.
    Unused,
}

/// Families of splits; figures of different families never share a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Regime {
    /// Rows at random: the future of every user and item leaks into training.
    Random,
    /// Each user's last rows are hidden: no leak within a user, but across users.
    PerUser,
    /// One cut in time: train before it, predict after it.
    Future,
}

impl Regime {
    /// The remark on leaks that tables print.
    #[must_use]
    pub fn leak(self) -> &'static str {
        match self {
            Self::Random => "leaks time (ratings later than the test rating train the model)",
            Self::PerUser => "leaks time across users (other users' later ratings train the model)",
            Self::Future => "leaks no time",
        }
    }

    /// The name in arguments and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::PerUser => "per-user",
            Self::Future => "future",
        }
    }
}

impl std::fmt::Display for Regime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule that splits interactions.
#[derive(Debug, Clone, PartialEq)]
pub enum SplitRule {
    /// A seeded share of all rows tests.
    HoldOut {
        /// Share of the rows that tests.
        test: f64,
    },
    /// Fold `fold` of `folds` seeded folds tests.
    KFold {
        /// Number of folds.
        folds: usize,
        /// The fold that tests, from 0.
        fold: usize,
    },
    /// The rows of a data set's own test file test, all others train (`u1.test`, `r1.test`).
    FoldFile {
        /// The test file, in any format the readers know.
        test: PathBuf,
        /// How that file is read.
        reading: Box<ReadOptions>,
    },
    /// `DeepRecommender`'s `MovieLens` rule: each user's first `train` share trains, the rest goes,
    /// a whole user at a time and by a fair coin, to validation or test; users with fewer than two
    /// rows and items unseen in training are left out.
    PerUserShare {
        /// Share of a user's rows that trains (0.7 as published).
        train: f64,
    },
    /// Each user's last `test` rows test; users with no row left to train on only train.
    LeaveLast {
        /// Rows a user that test.
        test: usize,
    },
    /// Each user's last session tests, where there is a session before it and it has two rows or more: its
    /// first row is given, the rest is predicted. Of the sessions before, the last of a `validation` share of
    /// the users validates but for its first row, which trains. Items unseen in training are left out
    /// (Quadrana et al. 2017).
    LastSession {
        /// Seconds of idleness that end a session.
        gap: i64,
    },
    /// Amazon Personalize's rule: a seeded share of whole users is held out of training; of each, the
    /// oldest rows are given, the newest predicted (at least one); items unseen in training are left out.
    HeldUsers {
        /// Share of the users that are held out (0.1 in Personalize).
        users: f64,
        /// Share of a held-out user's rows that is predicted (0.1 in Personalize).
        asked: f64,
    },
    /// A published window of the Netflix Prize (RRN, `DeepRecommender`).
    Window(Window),
    /// The newest `test` share of all rows tests; rows of one second stay together.
    Cut {
        /// Share of the rows that tests.
        test: f64,
    },
}

impl SplitRule {
    /// The family the rule belongs to.
    #[must_use]
    pub fn regime(&self) -> Regime {
        match self {
            Self::HoldOut { .. } | Self::KFold { .. } | Self::FoldFile { .. } => Regime::Random,
            Self::PerUserShare { .. }
            | Self::LeaveLast { .. }
            | Self::LastSession { .. }
            | Self::HeldUsers { .. } => Regime::PerUser,
            Self::Window(_) | Self::Cut { .. } => Regime::Future,
        }
    }

    /// Whether training rows can be later than a test row.
    #[must_use]
    pub fn leaks_time(&self) -> bool {
        self.regime() != Regime::Future
    }

    /// A short name that includes the rule's settings: the key by which published figures are matched.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::HoldOut { test } => format!("{}/{}", percent(1.0 - test), percent(*test)),
            Self::KFold { folds, fold } => format!("fold {} of {folds}", fold + 1),
            Self::FoldFile { test, .. } => format!(
                "fold file {}",
                test.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
            ),
            Self::PerUserShare { train } => format!("{}/{} per user", percent(*train), percent(1.0 - train)),
            Self::LeaveLast { test } => format!("leave last {test}"),
            Self::LastSession { gap } => format!("last session ({gap} s idle)"),
            Self::HeldUsers { users, asked } => {
                format!("{} % users held out, newest {} % asked", percent(*users), percent(*asked))
            }
            Self::Window(window) => window.name().to_owned(),
            Self::Cut { test } => format!("last {} %", percent(*test)),
        }
    }

    /// Checks what does not depend on the data: shares between 0 and 1, at least two folds, one row to test.
    ///
    /// # Errors
    /// [`DataError::Setting`] naming what is out of range.
    pub fn check(&self) -> Result<()> {
        let share = |name: &str, share: f64| {
            if share > 0.0 && share < 1.0 {
                Ok(())
            } else {
                Err(DataError::Setting(format!("{name} share {share} is not between 0 and 1")))
            }
        };
        match self {
            Self::HoldOut { test } | Self::Cut { test } => share("test", *test),
            Self::KFold { folds, .. } if *folds < 2 => {
                Err(DataError::Setting(format!("{folds} folds: at least two are needed")))
            }
            Self::PerUserShare { train } => share("training", *train),
            Self::LeaveLast { test: 0 } => {
                Err(DataError::Setting("leave-last needs at least one row a user to test".into()))
            }
            Self::LastSession { gap } => IdleGaps::new(vec![*gap]).map(drop),
            Self::HeldUsers { users, asked } => {
                share("held-out", *users).and_then(|()| share("asked", *asked))
            }
            _ => Ok(()),
        }
    }

    /// Whether it goes by times, so that a log without them cannot be split by it.
    #[must_use]
    pub fn needs_times(&self) -> bool {
        !matches!(
            self,
            Self::HoldOut { .. } | Self::KFold { .. } | Self::FoldFile { .. } | Self::HeldUsers { .. }
        )
    }

    /// Assigns roles. `validation` is the share of the training rows that validates instead, chosen
    /// by the same kind of rule as the test rows (at random, each user's last, or the newest); rules
    /// with a published validation part ([`SplitRule::PerUserShare`], [`SplitRule::Window`]) keep
    /// theirs in any case.
    ///
    /// # Errors
    /// [`DataError::Setting`] for shares outside (0, 1), too few rows, or an unsuitable file.
    pub fn split(&self, data: &Interactions, seed: u64, validation: f64) -> Result<Split> {
        if !(0.0..1.0).contains(&validation) {
            return Err(DataError::Setting(format!("validation share {validation} is not in [0, 1)")));
        }
        self.check()?;
        if self.needs_times() {
            data.require_times(&format!("the split {}", self.name()))?;
        }
        let roles = match self {
            Self::HoldOut { test } => random::hold_out(data.len(), *test, validation, seed),
            Self::KFold { folds, fold } => random::fold(data.len(), *folds, *fold, validation, seed)?,
            Self::FoldFile { test, reading } => random::fold_file(data, test, reading, validation, seed)?,
            Self::PerUserShare { train } => per_user::share(data, *train, seed),
            Self::LeaveLast { test } => per_user::leave_last(data, *test, validation)?,
            Self::LastSession { gap } => per_user::last_session(data, *gap, validation, seed)?,
            Self::HeldUsers { users, asked } => per_user::held_users(data, *users, *asked, validation, seed),
            Self::Window(window) => window.roles(data, seed)?,
            Self::Cut { test } => future::cut(data, *test, validation),
        };
        let split = Split { rule: self.clone(), roles };
        for (role, name) in [(Role::Train, "training"), (Role::Test, "test")] {
            if !split.roles.contains(&role) {
                return Err(DataError::Setting(format!(
                    "the split {} leaves no {name} rows; the data has {} rows",
                    self.name(),
                    data.len()
                )));
            }
        }
        Ok(split)
    }
}

/// A share in per cent, as exact as it was given: 0.1 is 10, 0.104 is 10.4.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

/// One role per row, and the rule it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The rule.
    pub rule: SplitRule,
    /// One role per row of the interactions.
    pub roles: Vec<Role>,
}

/// The rows of a split, separated by role.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// Rows that train.
    pub train: Histories,
    /// Rows that validate.
    pub validation: Histories,
    /// Rows that test.
    pub test: Histories,
    /// Rows that are not trained on but known when test rows are predicted.
    pub given: Histories,
}

impl Split {
    /// Copies the rows of each part into columns of its own.
    #[must_use]
    pub fn parts(&self, data: &Interactions) -> Parts {
        let part = |role| self.part(data, role);
        Parts {
            train: part(Role::Train),
            validation: part(Role::Validation),
            test: part(Role::Test),
            given: part(Role::Given),
        }
    }

    fn part(&self, data: &Interactions, role: Role) -> Histories {
        let pick = || self.roles.iter().enumerate().filter(move |(_, r)| **r == role).map(|(row, _)| row);
        let users: Vec<u32> = pick().map(|row| data.users[row]).collect();
        Histories::new(
            crate::order::offsets(&users, data.n_users()),
            pick().map(|row| data.items[row]).collect(),
            pick().map(|row| data.values[row]).collect::<Values>(),
            pick().map(|row| data.timestamps.at(row)).collect::<Timestamps>(),
            data.n_items(),
        )
    }

    /// Rows of one role.
    #[must_use]
    pub fn count(&self, role: Role) -> usize {
        self.roles.iter().filter(|r| **r == role).count()
    }
}

/// Marks every row of an item without training rows as [`Role::Unused`].
fn drop_unseen_items(data: &Interactions, roles: &mut [Role]) {
    let mut seen = vec![false; data.n_items()];
    for (role, item) in roles.iter().zip(&data.items) {
        seen[*item as usize] |= *role == Role::Train;
    }
    for (role, item) in roles.iter_mut().zip(&data.items) {
        if !seen[*item as usize] {
            *role = Role::Unused;
        }
    }
}

#[cfg(test)]
mod tests;
