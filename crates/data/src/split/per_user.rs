//! Each user's newest rows are hidden.

use super::{Role, drop_unseen_items};
use crate::{DataError, IdleGaps, Interactions, Result, rng};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// `DeepRecommender`'s `movie_lense_data_converter.py`: the first `floor(train * n)` rows of a user
/// train; the rest of the whole user goes to validation or test by a fair coin; users with fewer
/// than two rows are dropped, and so are rows of items that no training row has.
pub(super) fn share(data: &Interactions, train: f64, seed: u64) -> Vec<Role> {
    let mut coin = rng(seed, "split");
    let mut roles = vec![Role::Unused; data.len()];
    for range in data.user_offsets().windows(2) {
        let rows = range[1] - range[0];
        if rows < 2 {
            continue;
        }
        let first = (rows as f64 * train).floor() as usize;
        let held = if coin.next_u64() & 1 == 0 { Role::Validation } else { Role::Test };
        roles[range[0]..range[0] + first].fill(Role::Train);
        roles[range[0] + first..range[1]].fill(held);
    }
    drop_unseen_items(data, &mut roles);
    roles
}

/// Each user's last `test` rows test and, of the rows before them, the newest `validation` share
/// validates (rounded down); a user with no row left to train on only trains.
pub(super) fn leave_last(data: &Interactions, test: usize, validation: f64) -> Result<Vec<Role>> {
    if test == 0 {
        return Err(DataError::Setting("leave-last needs at least one row a user to test".into()));
    }
    let mut roles = vec![Role::Train; data.len()];
    for range in data.user_offsets().windows(2) {
        let rows = range[1] - range[0];
        if rows <= test {
            continue;
        }
        let held = range[1] - test;
        let validating = ((rows - test) as f64 * validation).floor() as usize;
        roles[held..range[1]].fill(Role::Test);
        roles[held - validating.min(rows - test - 1)..held].fill(Role::Validation);
    }
    Ok(roles)
}

/// Each user's last session tests, as [`super::SplitRule::LastSession`] says.
pub(super) fn last_session(data: &Interactions, gap: i64, validation: f64, seed: u64) -> Result<Vec<Role>> {
    let gaps = IdleGaps::new(vec![gap])?;
    let mut coin = rng(seed, "split");
    let mut roles = vec![Role::Train; data.len()];
    for range in data.user_offsets().windows(2) {
        let begins = |row: &usize| {
            *row == range[0] || gaps.crossed(data.timestamps.at(*row) - data.timestamps.at(*row - 1)) > 0
        };
        let mut newest_first = (range[0]..range[1]).rev().filter(begins);
        let (last, before, first) = (newest_first.next(), newest_first.next(), newest_first.next());
        let validates = coin.random_bool(validation);
        if let (Some(last), Some(before)) = (last, before)
            && range[1] - last >= 2
        {
            roles[last] = Role::Given;
            roles[last + 1..range[1]].fill(Role::Test);
            // The same task as in testing: the session has begun, what comes next? Its first row may
            // train.
            if first.is_some() && validates && last - before >= 2 {
                roles[before + 1..last].fill(Role::Validation);
            }
        }
    }
    drop_unseen_items(data, &mut roles);
    Ok(roles)
}

/// Whole users are held out, as [`super::SplitRule::HeldUsers`] says; a `validation` share of the others
/// validates by the newest of their rows.
pub(super) fn held_users(
    data: &Interactions,
    users: f64,
    asked: f64,
    validation: f64,
    seed: u64,
) -> Vec<Role> {
    let offsets = data.user_offsets();
    let mut order: Vec<usize> = (0..data.n_users()).collect();
    order.shuffle(&mut rng(seed, "split"));
    let held = ((order.len() as f64 * users).round() as usize).clamp(1, order.len().max(1));
    let validating = ((order.len() - held.min(order.len())) as f64 * validation).round() as usize;
    let mut roles = vec![Role::Train; data.len()];
    for (place, user) in order.into_iter().enumerate().take(held + validating) {
        let (from, to) = (offsets[user], offsets[user + 1]);
        let newest = (((to - from) as f64 * asked).round() as usize).max(1);
        if place < held {
            roles[from..to].fill(Role::Given);
        }
        if to - from > newest {
            roles[to - newest..to].fill(if place < held { Role::Test } else { Role::Validation });
        }
    }
    drop_unseen_items(data, &mut roles);
    roles
}
