//! Seeded random hold-outs and folds.

use super::Role;
use crate::{DataError, Interactions, ReadOptions, Result, rng};
use hashbrown::HashSet;
use rand::seq::SliceRandom;
use std::path::Path;

/// Row numbers in seeded random order.
fn shuffled(rows: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    order.shuffle(&mut rng(seed, "split"));
    order
}

pub(super) fn hold_out(rows: usize, test: f64, validation: f64, seed: u64) -> Vec<Role> {
    let order = shuffled(rows, seed);
    let test = (rows as f64 * test).round() as usize;
    assign(rows, &order[..test], &order[test..], validation)
}

pub(super) fn fold(rows: usize, folds: usize, fold: usize, validation: f64, seed: u64) -> Result<Vec<Role>> {
    if folds < 2 || fold >= folds || rows < folds {
        return Err(DataError::Setting(format!(
            "fold {} of {folds} over {rows} rows is not possible",
            fold + 1
        )));
    }
    let mut order = shuffled(rows, seed);
    let (start, end) = (rows * fold / folds, rows * (fold + 1) / folds);
    order.rotate_left(start);
    Ok(assign(rows, &order[..end - start], &order[end - start..], validation))
}

/// `test` rows test; of `rest`, which is in random order, the first share validates.
fn assign(rows: usize, test: &[u32], rest: &[u32], validation: f64) -> Vec<Role> {
    let mut roles = vec![Role::Train; rows];
    for row in test {
        roles[*row as usize] = Role::Test;
    }
    for row in &rest[..(rest.len() as f64 * validation).round() as usize] {
        roles[*row as usize] = Role::Validation;
    }
    roles
}

pub(super) fn fold_file(
    data: &Interactions,
    test: &Path,
    reading: &ReadOptions,
    validation: f64,
    seed: u64,
) -> Result<Vec<Role>> {
    let (fold, _) = crate::read(test, reading)?;
    let mut wanted = HashSet::with_capacity(fold.len());
    for row in 0..fold.len() {
        let (user, item) = (fold.user_ids.name(fold.users[row]), fold.item_ids.name(fold.items[row]));
        match (data.user_ids.index(user), data.item_ids.index(item)) {
            (Some(user), Some(item)) => wanted.insert((user, item, fold.timestamps.at(row))),
            _ => return Err(stranger(test, user, item)),
        };
    }
    let (test_rows, rest): (Vec<u32>, Vec<u32>) = shuffled(data.len(), seed).into_iter().partition(|&row| {
        wanted.contains(&(
            data.users[row as usize],
            data.items[row as usize],
            data.timestamps.at(row as usize),
        ))
    });
    if test_rows.len() != wanted.len() {
        return Err(DataError::file(
            test.display(),
            format!("has {} rows, of which the data set holds only {}", wanted.len(), test_rows.len()),
            "use the fold file that belongs to this data set",
        ));
    }
    Ok(assign(data.len(), &test_rows, &rest, validation))
}

fn stranger(test: &Path, user: &str, item: &str) -> DataError {
    DataError::file(
        test.display(),
        format!("rates item {item} by user {user}, which the data set does not know"),
        "use the fold file that belongs to this data set",
    )
}
