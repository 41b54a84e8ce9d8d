//! The contract of all models, as a test suite for the models of this crate and for yours.
//!
//! A model's author gives a [`Case`] and lets [`rating_contract!`](crate::rating_contract) or
//! [`ranking_contract!`](crate::ranking_contract) write the tests. Checks panic where the contract is broken.
//! They run on users of the embedded MovieLens data set, which the feature `contract` brings (its licence
//! excludes commercial use).

// A failed check panics.
#![allow(clippy::missing_panics_doc)]

pub mod ranking;
pub mod ratings;

use crate::{Device, EpochReport, FitContext, Fitted, ModelSettings, Progress, Trained};
use foretaste_data::{Histories, History, Interactions, Parts, SplitRule, embedded};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A model under test.
pub struct Case {
    /// Settings small enough for a test: training on 15,000 rows should take a second.
    pub settings: ModelSettings,
    /// A setting out of its range, as TOML.
    pub refused: &'static str,
    /// Whether training makes random choices.
    pub random: bool,
}

impl Case {
    /// Trains the case.
    #[must_use]
    pub fn fit(&self, train: &Histories, seed: u64) -> Fitted {
        let device = Device::flex();
        self.settings.fit(train, None, &FitContext::new(seed, &device)).unwrap()
    }
}

/// The tests of a model that predicts ratings: `rating_contract!(case)`, where `case()` makes a
/// [`Case`](crate::contract::Case).
#[macro_export]
macro_rules! rating_contract {
    ($case:expr) => {
        $crate::rating_contract! { @ $case;
            beats_the_constant_predictor saves_and_loads equal_seeds_equal_results threads_change_no_bit
            predictions_do_not_depend_on_company readings_keep_their_promise new_users_and_items_are_predicted
            bad_settings_and_rows_are_refused test_ratings_reach_no_training interrupted_trainings_go_on
            foreign_checkpoints_are_ignored states_carry_on scaled_ratings_scale_predictions
            renamed_ids_change_little a_doubled_time_unit_changes_little
        }
    };
    (@ $case:expr; $($check:ident)*) => {
        $(#[test] fn $check() { $crate::contract::ratings::$check(&$case()); })*
    };
}

/// The tests of a model that ranks items: `ranking_contract!(case)`, where `case()` makes a
/// [`Case`](crate::contract::Case).
#[macro_export]
macro_rules! ranking_contract {
    ($case:expr) => {
        $crate::ranking_contract! { @ $case;
            beats_chance saves_and_loads equal_seeds_equal_results threads_change_no_bit
            histories_and_updates_agree new_users_are_ranked_for bad_settings_and_rows_are_refused
            test_rows_reach_no_training interrupted_trainings_go_on states_carry_on
            renamed_ids_change_little a_doubled_time_unit_changes_little
        }
    };
    (@ $case:expr; $($check:ident)*) => {
        $(#[test] fn $check() { $crate::contract::ranking::$check(&$case()); })*
    };
}

/// The ratings of the first 150 users of the embedded data set.
fn data() -> &'static Interactions {
    static DATA: OnceLock<Interactions> = OnceLock::new();
    DATA.get_or_init(|| {
        let mut table = embedded::load().unwrap();
        let rows = table.users.partition_point(|u| *u < 150);
        table.users.truncate(rows);
        table.items.truncate(rows);
        table.timestamps.truncate(rows);
        table.values.truncate(rows);
        table
    })
}

fn parts(rule: &SplitRule) -> Parts {
    rule.split(data(), 1, 0.0).unwrap().parts(data())
}

/// The rows of the first users, with other values or times, or users and items in the opposite order: a log
/// that differs in nothing that should matter.
fn changed(
    rows: &Histories,
    users: usize,
    value: impl Fn(f32) -> f32,
    time: impl Fn(i64) -> i64,
    turned: bool,
) -> Histories {
    let (mut offsets, mut items, mut values, mut times) = (vec![0], Vec::new(), Vec::new(), Vec::new());
    for user in 0..users as u32 {
        let history = rows.user(if turned { users as u32 - 1 - user } else { user });
        let item = |item: &u32| if turned { rows.n_items() as u32 - 1 - item } else { *item };
        items.extend(history.items.iter().map(item));
        values.extend(history.values.iter().map(|v| value(*v)));
        times.extend(history.timestamps.iter().map(&time));
        offsets.push(items.len());
    }
    Histories::new(offsets, items, values, times, rows.n_items())
}

const HOLD_OUT: SplitRule = SplitRule::HoldOut { test: 0.1 };

/// Stops after this many epochs.
struct StopAfter(AtomicUsize, usize);

impl Progress for StopAfter {
    fn epoch(&self, _: &'static str, _: &EpochReport) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= self.1
    }
}

/// A state continues the same from a copy, from its bytes and on another thread, and as one that is started
/// and updated again: predictions and scores have the same bits. Bytes that are cut short or of another model
/// are rejected.
fn states_are_values(model: &dyn Trained, parts: &Parts) {
    let n_items = parts.train.n_items();
    let asked = parts.test.user(5);
    for (user, known) in [(5, parts.train.user(5)), (u32::MAX, parts.train.user(5)), (5, History::default())]
    {
        let told = |state: &crate::UserState, row: usize| {
            let timestamp = asked.timestamps.at(row);
            let mut scores = vec![0.0; n_items];
            model.scores(state, timestamp, &mut scores);
            let items = [asked.items[row], 0, u32::MAX];
            let ratings =
                model.as_rating().map(|m| items.map(|item| m.expected(state, item, timestamp).to_bits()));
            (scores.into_iter().map(f32::to_bits).collect::<Vec<_>>(), ratings)
        };
        let take = |state: &mut crate::UserState, row: usize| {
            model.update(state, asked.items[row], asked.values[row], asked.timestamps.at(row));
        };
        let mut carried = model.start(user, known);
        let mut restored = carried.clone();
        for row in 0..asked.len() {
            let bytes = model.state_to_bytes(&restored);
            restored = std::thread::scope(|scope| {
                scope.spawn(|| model.state_from_bytes(&bytes).unwrap()).join().unwrap()
            });
            let mut rebuilt = model.start(user, known);
            (0..row).for_each(|row| take(&mut rebuilt, row));
            let before = told(&carried, row);
            assert_eq!(before, told(&restored, row), "restored, row {row}");
            assert_eq!(before, told(&rebuilt, row), "rebuilt, row {row}");
            let kept = carried.clone();
            take(&mut carried, row);
            take(&mut restored, row);
            assert_eq!(before, told(&kept, row), "a copy stays as it was");
            assert!(model.state_from_bytes(&bytes[..bytes.len() - 1]).is_err(), "cut short");
            let other = bytes.iter().enumerate().map(|(at, byte)| if at == 5 { byte ^ 1 } else { *byte });
            assert!(model.state_from_bytes(&other.collect::<Vec<u8>>()).is_err(), "of another model");
        }
    }
}
