//! Significance of differences between systems: a paired bootstrap over users.
//!
//! Users are drawn with replacement; each draw gives both systems' RMSE over the same users' test rows (or
//! their mean NDCG over the same users' lists), and so their difference (Efron and Tibshirani 1993, *An
//! Introduction to the Bootstrap*, chapter 13, percentile intervals). Errors of one user are not independent;
//! users are.

use crate::results::Row;
use foretaste_data::rng;
use foretaste_models::Reading;
use rand::RngExt;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Number of bootstrap draws of users.
pub const DRAWS: usize = 2000;

/// The best system against another.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The other system.
    pub system: String,
    /// Its RMSE (or NDCG) minus the best system's, over all users.
    pub difference: f64,
    /// The interval of 95 % of the draws.
    pub interval: (f64, f64),
}

/// Users' sums over all seeds, and their numbers of rows.
fn sums(row: &Row, reading: Reading) -> BTreeMap<u32, (f64, f64)> {
    let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let place = Reading::ALL.iter().position(|r| *r == reading).unwrap_or(0);
    for cell in &row.cells {
        let by_user = &cell.by_user;
        let (Some(own), Some(rows)) = (by_user.sums.get(place), by_user.rows.get(place)) else { continue };
        for ((user, rows), own) in by_user.users.iter().zip(rows).zip(own) {
            let sum = sums.entry(*user).or_default();
            sum.0 += own;
            sum.1 += f64::from(*rows);
        }
    }
    sums
}

/// Compares the system of the lowest error (or the highest NDCG) with every other; returns its name and the
/// comparisons. Systems of which a seed failed are left out. `None` if there is nothing to compare, or the
/// systems' test rows differ.
#[must_use]
pub fn best_against_each(rows: &[Row], reading: Reading) -> Option<(String, Vec<Comparison>)> {
    let seeds = rows.iter().map(|row| row.cells.len()).max()?;
    let rows: Vec<&Row> = rows.iter().filter(|row| row.cells.len() == seeds).collect();
    let all: Vec<Vec<(f64, f64)>> =
        rows.iter().map(|row| sums(row, reading).into_values().collect()).collect();
    let counts = |of: &[(f64, f64)]| of.iter().map(|(_, n)| *n).collect::<Vec<f64>>();
    let users = all.first().map_or(0, Vec::len);
    if rows.len() < 2 || users < 2 || all.iter().any(|own| counts(own) != counts(&all[0])) {
        return None;
    }
    let rates = rows[0].first().figures.is_empty();
    let figure = |own: &[(f64, f64)], picked: &mut dyn Iterator<Item = usize>| {
        let (sum, n) = picked.fold((0.0, 0.0), |(sum, n), user| (sum + own[user].0, n + own[user].1));
        if rates { (sum / n).sqrt() } else { sum / n }
    };
    let whole: Vec<f64> = all.iter().map(|own| figure(own, &mut (0..users))).collect();
    let better = |a: &usize, b: &usize| {
        if rates { whole[*a].total_cmp(&whole[*b]) } else { whole[*b].total_cmp(&whole[*a]) }
    };
    let best = (0..rows.len()).min_by(better)?;
    let draws: Vec<Vec<f64>> = (0..DRAWS)
        .into_par_iter()
        .map(|draw| {
            let mut random = rng(draw as u64, "bootstrap");
            let picked: Vec<usize> = (0..users).map(|_| random.random_range(0..users)).collect();
            all.iter().map(|own| figure(own, &mut picked.iter().copied())).collect()
        })
        .collect();
    let compare = |other: usize| {
        let mut differences: Vec<f64> = draws.iter().map(|figures| figures[other] - figures[best]).collect();
        differences.sort_by(f64::total_cmp);
        let at = |share: f64| differences[((DRAWS - 1) as f64 * share).round() as usize];
        Comparison {
            system: rows[other].first().system.clone(),
            difference: whole[other] - whole[best],
            interval: (at(0.025), at(0.975)),
        }
    };
    Some((
        rows[best].first().system.clone(),
        (0..rows.len()).filter(|other| *other != best).map(compare).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample_cell as cell;
    use crate::results::{ByUser, Cell};

    fn with_users(system: &str, squares: Vec<f64>) -> Cell {
        let users = squares.len() as u32;
        let by_user = ByUser {
            users: (0..users).collect(),
            rows: vec![vec![10; squares.len()]; 2],
            sums: vec![squares.clone(), squares],
        };
        Cell { by_user, ..cell(system, 0, 0.9) }
    }

    /// A system that is better for every user is better in every draw; one that is better for half of
    /// them by as much as it is worse for the others is not.
    #[test]
    fn clear_and_unclear_differences() {
        let base: Vec<f64> = (0..200).map(|user| 8.0 + f64::from(user % 7)).collect();
        let worse = with_users("worse", base.iter().map(|s| s * 1.1).collect());
        let mixed = with_users(
            "mixed",
            base.iter().enumerate().map(|(user, s)| if user % 2 == 0 { s + 2.0 } else { s - 1.99 }).collect(),
        );
        let best = with_users("best", base);
        let rows: Vec<Row> =
            [&worse, &best, &mixed].into_iter().map(|cell| Row { cells: vec![cell] }).collect();
        let (name, comparisons) = best_against_each(&rows, Reading::Frozen).unwrap();
        assert_eq!(name, "best");
        assert!(comparisons[0].system == "worse" && comparisons[0].interval.0 > 0.0);
        assert!(comparisons[1].interval.0 < 0.0 && comparisons[1].interval.1 > 0.0, "{:?}", comparisons[1]);
        assert_eq!(best_against_each(&rows, Reading::Frozen), best_against_each(&rows, Reading::Streaming));
        assert!(best_against_each(&rows[..1], Reading::Frozen).is_none());
    }
}
