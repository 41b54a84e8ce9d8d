//! Models that rank items: scores, ranks and the best of them.
//!
//! **Ties.** Of two items with equal scores the one with the smaller index always comes first.

use crate::engine::kernels::{Matrix, add, product_into};
use crate::engine::tensors::NamedTensor;
use crate::state::Rows;
use crate::{ModelError, ModelSettings, Predictor, Result, Trained};
use foretaste_data::{Histories, History};
use rayon::prelude::*;
use std::cmp::Ordering;

/// A user's query for the items' vectors, from the user, the user's known rows, and the time.
pub type Query<'a> = Box<dyn Fn(u32, History<'_>, i64) -> Vec<f32> + Sync + 'a>;

/// Scores `query . item + scale offset`.
pub struct InnerProducts<'a> {
    /// `[items, width]`.
    pub items: &'a [f32],
    /// One per item; empty for none.
    pub offsets: &'a [f32],
    /// What the offsets are multiplied by.
    pub scale: f32,
    /// Length of a query.
    pub width: usize,
    /// The queries.
    pub query: Query<'a>,
}

impl InnerProducts<'_> {
    /// The scores of all items for several users, one user after the other.
    pub(crate) fn scores(&self, known: &Histories, users: &[(u32, i64)], out: &mut [f32]) {
        let queries: Vec<f32> = users
            .iter()
            .flat_map(|(user, timestamp)| (self.query)(*user, known.user(*user), *timestamp))
            .collect();
        let n = self.items.len() / self.width;
        product_into(
            &mut out[..users.len() * n],
            n,
            Matrix::new(&queries, self.width),
            Matrix::new(self.items, self.width).t(),
            false,
        );
        if !self.offsets.is_empty() {
            out.chunks_exact_mut(n)
                .take(users.len())
                .for_each(|scores| add(scores, self.offsets, self.scale));
        }
    }
}

/// A model whose scores depend on a user's rows alone; implementing it gives a [`Predictor`]. Its
/// states are [`Rows`].
pub trait RowScorer: Send + Sync + 'static {
    /// As [`Predictor::settings`].
    fn settings(&self) -> ModelSettings;

    /// As [`Predictor::parameters`].
    fn parameters(&self) -> usize;

    /// As [`Predictor::tensors`].
    fn tensors(&self) -> Vec<NamedTensor>;

    /// As [`Predictor::scores`], for `user` after the rows `known`.
    fn score(&self, user: u32, known: History<'_>, timestamp: i64, out: &mut [f32]);
}

impl<S: RowScorer> Predictor for S {
    type State = Rows;

    fn settings(&self) -> ModelSettings {
        RowScorer::settings(self)
    }

    fn parameters(&self) -> usize {
        RowScorer::parameters(self)
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        RowScorer::tensors(self)
    }

    fn rates(&self) -> bool {
        false
    }

    fn start(&self, user: u32, known: History<'_>) -> Rows {
        Rows::new(user, known)
    }

    fn update(&self, rows: &mut Rows, item: u32, value: f32, timestamp: i64) {
        rows.push(item, value, timestamp);
    }

    fn scores(&self, rows: &Rows, timestamp: i64, out: &mut [f32]) {
        self.score(rows.user, rows.history(), timestamp, out);
    }

    fn write_state(&self, rows: &Rows) -> Vec<u8> {
        crate::state::to_bytes(rows)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<Rows> {
        Rows::from_bytes(bytes)
    }
}

/// Weight of a share of popularity beside a score: it orders items that have no score.
pub(crate) const FAR_BELOW: f32 = 1e-6;

/// Initializes scores with the items' popularity, far below any score; further items begin with 0.
pub(crate) fn begin(out: &mut [f32], popularity: impl Iterator<Item = f32>) {
    out.fill(0.0);
    out.iter_mut().zip(popularity).for_each(|(out, share)| *out = FAR_BELOW * share);
}

/// Each item's share of the rows.
pub(crate) fn popularity(train: &Histories) -> Vec<f32> {
    let mut counts = vec![0_u32; train.n_items()];
    train.items().iter().for_each(|item| counts[*item as usize] += 1);
    counts.into_iter().map(|count| (f64::from(count) / train.len() as f64) as f32).collect()
}

/// Sorted distinct ids.
pub(crate) fn distinct(items: &[u32]) -> Vec<u32> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items.dedup();
    items
}

/// Transposes owners' items: for each of `n` items its first entry (and the total), and the entries: the
/// owner, and the index in `items`. Owner `o` has the items `offsets[o]..offsets[o + 1]`.
pub(crate) fn by_item(offsets: &[usize], items: &[u32], n: usize) -> (Vec<usize>, Vec<(u32, usize)>) {
    let mut starts = vec![0; n + 1];
    items.iter().for_each(|item| starts[*item as usize + 1] += 1);
    (0..n).for_each(|item| starts[item + 1] += starts[item]);
    let (mut next, mut entries) = (starts.clone(), vec![(0, 0); items.len()]);
    for (owner, span) in offsets.windows(2).enumerate() {
        for place in span[0]..span[1] {
            let at = &mut next[items[place] as usize];
            entries[*at] = (owner as u32, place);
            *at += 1;
        }
    }
    (starts, entries)
}

/// Orders two items.
fn order(scores: &[f32], a: u32, b: u32) -> Ordering {
    scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b))
}

/// The score of items that must not be recommended.
pub(crate) const NEVER: f32 = f32::NEG_INFINITY;

/// Checks the requirements of every model that ranks items on its training part.
pub(crate) fn require_rows(model: &'static str, train: &Histories) -> Result<()> {
    if train.is_empty() {
        Err(ModelError::Training { model, reason: "there are no training rows".into() })
    } else {
        Ok(())
    }
}

/// The `k` items of the highest scores, best first; items with a score of minus infinity are left out.
///
/// ```
/// use foretaste_models::top_k;
/// assert_eq!(top_k(&[0.1, 0.7, 0.7, f32::NEG_INFINITY, 0.2], 3), [1, 2, 4]);
/// ```
#[must_use]
pub fn top_k(scores: &[f32], k: usize) -> Vec<u32> {
    let mut best: Vec<u32> = Vec::with_capacity(k + 1);
    // The weakest of the best so far: most items are skipped by one comparison.
    let mut bar = NEVER;
    for (item, score) in scores.iter().enumerate().filter(|(_, score)| **score > NEVER) {
        if best.len() < k || *score > bar {
            let at = best.partition_point(|other| order(scores, *other, item as u32) == Ordering::Less);
            best.insert(at, item as u32);
            best.truncate(k);
            bar = best.last().map_or(NEVER, |last| scores[*last as usize]);
        }
    }
    best
}

/// The rank of `item` among all items, from 1; items with a score of minus infinity come last.
#[must_use]
pub fn rank_of(scores: &[f32], item: u32) -> usize {
    let own = scores[item as usize];
    let (before, after) = scores.split_at(item as usize);
    1 + before.iter().filter(|s| s.total_cmp(&own).is_ge()).count()
        + after.iter().filter(|s| s.total_cmp(&own).is_gt()).count()
}

/// Mean over all rows of `asked` of `1 / rank` of the row's item among all items; rows update the state after
/// they are ranked; 0 without rows.
#[must_use]
pub fn mean_reciprocal_rank(model: &dyn Trained, known: &Histories, asked: &Histories) -> f64 {
    let users: Vec<u32> = (0..asked.n_users() as u32).filter(|user| !asked.range(*user).is_empty()).collect();
    let sums: Vec<f64> = users
        .into_par_iter()
        .map_init(
            || vec![0.0; asked.n_items()],
            |scores, user| {
                let history = asked.user(user);
                let mut state = model.start(user, known.user(user));
                let mut sum = 0.0;
                for row in 0..history.len() {
                    model.scores(&state, history.timestamps.at(row), scores);
                    sum += 1.0 / rank_of(scores, history.items[row]) as f64;
                    model.update(
                        &mut state,
                        history.items[row],
                        history.values[row],
                        history.timestamps.at(row),
                    );
                }
                sum
            },
        )
        .collect();
    sums.iter().sum::<f64>() / asked.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn items_turned_round_by_hand() {
        // Owner 0 has the items 2 and 0, owner 1 none, owner 2 item 2.
        let (starts, entries) = by_item(&[0, 2, 2, 3], &[2, 0, 2], 4);
        assert_eq!(starts, [0, 1, 1, 3, 3]);
        assert_eq!(entries, [(0, 1), (0, 0), (2, 2)]);
    }

    #[test]
    fn ranks_by_hand() {
        let scores = [0.5, 0.9, 0.5, NEVER];
        assert_eq!([0, 1, 2, 3].map(|item| rank_of(&scores, item)), [2, 1, 3, 4]);
        assert_eq!(top_k(&scores, 10), [1, 0, 2]);
        assert!(top_k(&scores, 0).is_empty());
    }

    proptest! {
        /// The best k are the first k of a full sort, and ranks count from 1 in its order.
        #[test]
        fn the_best_are_the_first_of_a_full_sort(scores in proptest::collection::vec((-3_i8..3)
            .prop_map(f32::from), 1..60), k in 1_usize..70) {
            let mut all: Vec<u32> = (0..scores.len() as u32).collect();
            all.sort_by(|a, b| order(&scores, *a, *b));
            prop_assert_eq!(top_k(&scores, k), &all[..k.min(all.len())]);
            for (place, item) in all.iter().enumerate() {
                prop_assert_eq!(rank_of(&scores, *item), place + 1);
            }
        }
    }
}
