//! Each user's newest rows are hidden.

use super::{Role, drop_unseen_items};
use crate::{DataError, Interactions, Result, rng};
use rand::Rng;

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
