//! Metrics of ranked lists, against the items that were relevant.
//!
//! A list holds the best items first; `r_1 < r_2 < ..` are the ranks (from 1) of the relevant items,
//! `n` is how many items were relevant, whether listed or not. For the first `k` of the list:
//!
//! ```text
//! precision@k = hits / k                 recall@k = hits / n             hit rate@k = 1 if there is a hit
//! NDCG@k      = sum_{r <= k} 1/log2(1 + r) / sum_{r <= min(k, n)} 1/log2(1 + r)
//! MRR@k       = 1 / r_1 if r_1 <= k, else 0
//! MAP@k       = sum_{r_m <= k} (m / r_m) / min(k, n)
//! ```
//!
//! The first four are Amazon Personalize's (precision divides by `k` even where fewer items were relevant,
//! NDCG is binary). All but MAP equal those of ranx (`benches/rivals/metrics_ranx.py`), which divides MAP by
//! `n`; other toolkits differ in recall (`RecPack`'s *calibrated* recall divides by `min(k, n)`). Lists
//! without relevant items are left out of every mean.

use std::collections::HashMap;

/// A list, compared with its relevant items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Ranks of the relevant items that are listed, from 1, ascending.
    pub ranks: Vec<usize>,
    /// How many items were relevant.
    pub relevant: usize,
}

impl Judged {
    /// Compares `list` with the distinct items `relevant`.
    #[must_use]
    pub fn new(list: &[u32], relevant: &[u32]) -> Self {
        let ranks = list
            .iter()
            .enumerate()
            .filter(|(_, item)| relevant.contains(item))
            .map(|(place, _)| place + 1)
            .collect();
        Self { ranks, relevant: relevant.len() }
    }

    fn hits(&self, k: usize) -> usize {
        self.ranks.iter().take_while(|rank| **rank <= k).count()
    }
}

/// A metric of one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Share of the first k that is relevant.
    Precision(usize),
    /// Share of the relevant that is among the first k.
    Recall(usize),
    /// Whether any of the first k is relevant.
    HitRate(usize),
    /// Normalized discounted cumulative gain.
    Ndcg(usize),
    /// Reciprocal rank of the first hit.
    Mrr(usize),
    /// Average precision.
    Map(usize),
}

fn discount(rank: usize) -> f64 {
    1.0 / ((1 + rank) as f64).log2()
}

impl Metric {
    /// The name in tables and files.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Precision(k) => format!("precision@{k}"),
            Self::Recall(k) => format!("recall@{k}"),
            Self::HitRate(k) => format!("hit rate@{k}"),
            Self::Ndcg(k) => format!("NDCG@{k}"),
            Self::Mrr(k) => format!("MRR@{k}"),
            Self::Map(k) => format!("MAP@{k}"),
        }
    }

    /// Its value for a list with at least one relevant item; 0 for other lists.
    ///
    /// Amazon Personalize's example, hits at the ranks 2 and 5:
    /// ```
    /// use foretaste_metrics::lists::{Judged, Metric};
    /// let judged = Judged::new(&[10, 11, 12, 13, 14], &[11, 14]);
    /// assert_eq!(Metric::Mrr(25).of(&judged), 0.5);
    /// assert!((Metric::Ndcg(5).of(&judged) - 0.6241).abs() < 1e-4);
    /// assert_eq!(Metric::Precision(5).of(&judged), 0.4);
    /// ```
    #[must_use]
    pub fn of(self, judged: &Judged) -> f64 {
        let n = judged.relevant;
        if n == 0 {
            return 0.0;
        }
        match self {
            Self::Precision(k) => judged.hits(k) as f64 / k as f64,
            Self::Recall(k) => judged.hits(k) as f64 / n as f64,
            Self::HitRate(k) => f64::from(u8::from(judged.hits(k) > 0)),
            Self::Ndcg(k) => {
                let gain: f64 = judged.ranks[..judged.hits(k)].iter().map(|rank| discount(*rank)).sum();
                gain / (1..=k.min(n)).map(discount).sum::<f64>()
            }
            Self::Mrr(k) => {
                judged.ranks.first().filter(|rank| **rank <= k).map_or(0.0, |rank| 1.0 / *rank as f64)
            }
            Self::Map(k) => {
                let hits = judged.ranks[..judged.hits(k)].iter().enumerate();
                hits.map(|(before, rank)| (before + 1) as f64 / *rank as f64).sum::<f64>() / k.min(n) as f64
            }
        }
    }
}

/// How often each item was recommended, over all lists.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    counts: HashMap<u32, u64>,
}

impl Spread {
    /// Adds the first items of a list.
    pub fn add(&mut self, list: &[u32]) {
        list.iter().for_each(|item| *self.counts.entry(*item).or_default() += 1);
    }

    /// Adds the counts of another.
    pub fn join(&mut self, other: Self) {
        other.counts.into_iter().for_each(|(item, count)| *self.counts.entry(item).or_default() += count);
    }

    /// Share of a catalogue of `items` items that was recommended to anyone (Amazon Personalize's coverage).
    #[must_use]
    pub fn coverage(&self, items: usize) -> f64 {
        self.counts.len() as f64 / items.max(1) as f64
    }

    /// Gini index of the recommendations over a catalogue of `items` items: 0 if all are recommended
    /// equally often, close to 1 if one has all. `sum_i (2 i - n - 1) x_i / (n sum x)`, `x` ascending.
    #[must_use]
    pub fn gini(&self, items: usize) -> f64 {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        counts.sort_unstable();
        let n = items.max(counts.len());
        let never = n - counts.len();
        let total: u64 = counts.iter().sum();
        let weighted: f64 = counts
            .iter()
            .enumerate()
            .map(|(at, count)| (2.0 * (never + at + 1) as f64 - n as f64 - 1.0) * *count as f64)
            .sum();
        weighted / (n as f64 * total.max(1) as f64)
    }

    /// Mean over the recommendations of `-log2` of the share of users that took the item in training, in bits
    /// (Zhou et al. 2010, *Solving the apparent diversity-accuracy dilemma of recommender systems*); `takers`
    /// has the users of each item.
    #[must_use]
    pub fn novelty(&self, takers: &[u32], users: usize) -> f64 {
        let mut counts: Vec<(u32, u64)> = self.counts.iter().map(|(item, count)| (*item, *count)).collect();
        counts.sort_unstable();
        let bits = |item: u32| {
            (users.max(1) as f64 / f64::from(takers.get(item as usize).copied().unwrap_or(0).max(1))).log2()
        };
        let total: u64 = counts.iter().map(|(_, count)| count).sum();
        counts.iter().map(|(item, count)| bits(*item) * *count as f64).sum::<f64>() / total.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        // Relevant: three items, of which two stand at the ranks 1 and 3.
        let judged = Judged::new(&[4, 9, 7, 1], &[7, 4, 5]);
        assert_eq!(judged, Judged { ranks: vec![1, 3], relevant: 3 });
        let ideal = 1.0 + 1.0 / 3.0_f64.log2();
        let expected = [
            (Metric::Precision(4), 0.5),
            (Metric::Recall(2), 1.0 / 3.0),
            (Metric::Recall(4), 2.0 / 3.0),
            (Metric::HitRate(1), 1.0),
            (Metric::Ndcg(2), 1.0 / ideal),
            (Metric::Ndcg(4), 1.5 / (ideal + 0.5)),
            (Metric::Mrr(4), 1.0),
            (Metric::Map(4), (1.0 + 2.0 / 3.0) / 3.0),
            (Metric::Map(2), 0.5),
        ];
        for (metric, expected) in expected {
            assert!(
                (metric.of(&judged) - expected).abs() < 1e-12,
                "{}: {} {expected}",
                metric.name(),
                metric.of(&judged)
            );
        }
        assert_eq!(Metric::Ndcg(5).of(&Judged::new(&[1], &[])), 0.0);
    }

    #[test]
    fn spread_by_hand() {
        let mut spread = Spread::default();
        spread.add(&[0, 1]);
        spread.add(&[0, 2]);
        assert_eq!(spread.coverage(4), 0.75);
        // Counts 0, 1, 1, 2: sum (2i - 5) x_i = -1 + 1 + 6, over 4 * 4.
        assert_eq!(spread.gini(4), 0.375);
        // Items taken by 4, 2 and 1 of 4 users: 0, 1 and 2 bits.
        assert_eq!(spread.novelty(&[4, 2, 1, 9], 4), 0.75);
        let mut even = Spread::default();
        even.add(&[0, 1, 2, 3]);
        assert_eq!(even.gini(4), 0.0);
    }

    proptest! {
        /// All metrics lie within [0, 1]; a hit moved up never lowers one; all hits first give 1 where k
        /// allows.
        #[test]
        fn bounds(list in proptest::collection::vec(0_u32..40, 1..30),
            relevant in proptest::collection::vec(0_u32..40, 1..10), k in 1_usize..30) {
            let distinct = |mut items: Vec<u32>| {
                let mut seen = std::collections::HashSet::new();
                items.retain(|i| seen.insert(*i));
                items
            };
            let (list, relevant) = (distinct(list), distinct(relevant));
            let judged = Judged::new(&list, &relevant);
            for metric in [Metric::Precision(k), Metric::Recall(k), Metric::HitRate(k), Metric::Ndcg(k),
                Metric::Mrr(k), Metric::Map(k)] {
                let value = metric.of(&judged);
                prop_assert!((0.0..=1.0 + 1e-12).contains(&value));
                if let Some(first) = judged.ranks.iter().position(|rank| *rank > 1)
                    .filter(|at| *at == 0 || judged.ranks[at - 1] + 1 < judged.ranks[*at]) {
                    let mut moved = judged.clone();
                    moved.ranks[first] -= 1;
                    prop_assert!(metric.of(&moved) >= value - 1e-12, "{}", metric.name());
                }
            }
            let perfect = Judged::new(&relevant, &relevant);
            prop_assert!((Metric::Ndcg(k).of(&perfect) - 1.0).abs() < 1e-12 && (Metric::Map(k)
                .of(&perfect) - 1.0).abs() < 1e-12);
        }
    }
}
