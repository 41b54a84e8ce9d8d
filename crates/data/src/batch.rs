//! User-parallel batches of one fixed shape over histories.
//!
//! Every batch has `rows` rows of `window` steps. A row goes through one user's history after the
//! other; where a new user begins, the step is marked `start` and a recurrent state must be reset
//! there. The next batch continues where this one ended, so that states carry over (Hidasi et al.
//! 2016, section 3.1.1, with windows instead of single steps). Rows that run out of users at the
//! end of an epoch are padded and masked.

use crate::{Histories, rng};
use rand::seq::SliceRandom;

/// One batch, step-major: entry `(step, row)` is at index `step * rows + row`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// User index.
    pub users: Vec<u32>,
    /// Item index.
    pub items: Vec<u32>,
    /// Value to predict.
    pub values: Vec<f32>,
    /// Seconds since the user's previous interaction; 0 at a user's start.
    pub gaps: Vec<i64>,
    /// Number of the user's earlier interactions.
    pub positions: Vec<u32>,
    /// 1 where a user begins, else 0.
    pub start: Vec<f32>,
    /// 1 for an interaction, 0 for padding.
    pub mask: Vec<f32>,
    /// Number of interactions in the batch.
    pub events: usize,
}

/// One pass over all histories in seeded order.
pub struct Batches<'a> {
    histories: &'a Histories,
    rows: usize,
    window: usize,
    queue: std::vec::IntoIter<u32>,
    /// For each row its user, the user's first row in the histories, and the remaining rows.
    cursors: Vec<(u32, usize, std::ops::Range<usize>)>,
}

impl<'a> Batches<'a> {
    /// An epoch over `histories`, users in the random order of stream `epoch` under `seed`.
    #[must_use]
    pub fn new(histories: &'a Histories, rows: usize, window: usize, seed: u64, epoch: u64) -> Self {
        let users = (0..histories.n_users() as u32).filter(|u| !histories.range(*u).is_empty()).collect();
        Self::of_users(histories, users, rows, window, seed, epoch)
    }

    /// The same, over the users in `users` only.
    #[must_use]
    pub fn of_users(
        histories: &'a Histories,
        mut users: Vec<u32>,
        rows: usize,
        window: usize,
        seed: u64,
        epoch: u64,
    ) -> Self {
        users.shuffle(&mut rng(seed, &format!("batches {epoch}")));
        // Long histories first keep the rows busy to the end; within a power of two the order is random.
        users.sort_by_key(|u| std::cmp::Reverse(histories.range(*u).len().ilog2()));
        Self { histories, rows, window, queue: users.into_iter(), cursors: vec![(0, 0, 0..0); rows] }
    }

    /// Fills `batch` with the next windows; returns `false` when the epoch is over.
    pub fn next_into(&mut self, batch: &mut Batch) -> bool {
        let size = self.rows * self.window;
        for column in [&mut batch.users, &mut batch.items, &mut batch.positions] {
            column.clear();
            column.resize(size, 0);
        }
        for column in [&mut batch.values, &mut batch.start, &mut batch.mask] {
            column.clear();
            column.resize(size, 0.0);
        }
        batch.gaps.clear();
        batch.gaps.resize(size, 0);
        batch.events = 0;
        let times = self.histories.timestamps();
        for row in 0..self.rows {
            for step in 0..self.window {
                if self.cursors[row].2.is_empty() {
                    let Some(user) = self.queue.next() else { break };
                    let range = self.histories.range(user);
                    self.cursors[row] = (user, range.start, range);
                }
                let (user, first, rest) = &mut self.cursors[row];
                let Some(from) = rest.next() else { break };
                let at = step * self.rows + row;
                batch.users[at] = *user;
                batch.items[at] = self.histories.items()[from];
                batch.values[at] = self.histories.values()[from];
                batch.positions[at] = (from - *first) as u32;
                batch.gaps[at] = if from == *first { 0 } else { times.at(from) - times.at(from - 1) };
                batch.start[at] = f32::from(u8::from(from == *first));
                batch.mask[at] = 1.0;
                batch.events += 1;
            }
        }
        batch.events > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every interaction comes exactly once, in its user's order, in one row.
        #[test]
        fn an_epoch_is_every_history_once(lengths in proptest::collection::vec(0_usize..20, 1..12),
            rows in 1_usize..5, window in 1_usize..7) {
            let mut offsets = vec![0];
            for length in &lengths {
                offsets.push(offsets.last().unwrap() + length);
            }
            let total = *offsets.last().unwrap();
            let items: Vec<u32> = (0..total as u32).collect();
            let histories = Histories::new(offsets.clone(), items, vec![1.0; total], (0..total as i64)
                .map(|t| t * 3).collect::<Vec<i64>>(), total.max(1));
            let mut batches = Batches::new(&histories, rows, window, 7, 0);
            let mut batch = Batch::default();
            let mut seen = vec![0; total];
            let mut last: Vec<Option<u32>> = vec![None; rows];
            while batches.next_into(&mut batch) {
                prop_assert_eq!(batch.items.len(), rows * window);
                for step in 0..window {
                    for row in 0..rows {
                        let at = step * rows + row;
                        if batch.mask[at] == 0.0 { continue; }
                        let item = batch.items[at];
                        seen[item as usize] += 1;
                        let begins = offsets[..lengths.len()].contains(&(item as usize));
                        prop_assert_eq!(batch.start[at] == 1.0, begins);
                        let user = offsets.partition_point(|o| *o <= item as usize) - 1;
                        prop_assert_eq!((batch.users[at] as usize, batch.positions[at] as usize), (user,
                            item as usize - offsets[user]));
                        if begins { prop_assert_eq!(batch.gaps[at], 0); } else {
                            prop_assert_eq!(batch.gaps[at], 3);
                            prop_assert_eq!(last[row], Some(item - 1));
                        }
                        last[row] = Some(item);
                    }
                }
            }
            prop_assert!(seen.iter().all(|n| *n == 1));
        }
    }
}
