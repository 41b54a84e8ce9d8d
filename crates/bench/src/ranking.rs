//! Ranked lists under a split: each system's recommendations and their metrics.
//!
//! Every list ranks all items that have training rows. There are two readings, as for ratings:
//!
//! - **frozen**: one list a user, at the time of the user's first test row, against all of the user's test
//!   items;
//! - **streaming**: one list a test row, at its time, against its item, which updates the state: next-item
//!   prediction. Means are over rows, as session-based recommenders report them.
//!
//! If no user of the training part has an item twice, items a user already has are not recommended.
//! Items without training rows are never listed: every list misses such an item.

use crate::results::Figures;
use foretaste_data::Histories;
use foretaste_metrics::lists::{Judged, Metric, Spread};
use foretaste_models::{Reading, Trained, top_k};
use rayon::prelude::*;

/// Length of the longest list that any metric uses.
const LONGEST: usize = 25;

/// Length of the lists that coverage, Gini index and novelty use.
pub const SPREAD: usize = 10;

/// The metrics of a list, in the order of tables.
pub const METRICS: [Metric; 13] = [
    Metric::Ndcg(5),
    Metric::Ndcg(10),
    Metric::Ndcg(25),
    Metric::Recall(5),
    Metric::Recall(20),
    Metric::HitRate(10),
    Metric::Mrr(5),
    Metric::Mrr(20),
    Metric::Mrr(25),
    Metric::Precision(5),
    Metric::Precision(10),
    Metric::Precision(25),
    Metric::Map(10),
];

/// The metric that systems are compared by.
pub const HEADLINE: Metric = Metric::Ndcg(10);

/// Whether items a user already has are left out of lists: no user has one twice.
#[must_use]
pub fn without_repeats(train: &Histories) -> bool {
    (0..train.n_users() as u32).into_par_iter().all(|user| {
        let mut items = train.user(user).items.to_vec();
        items.sort_unstable();
        items.windows(2).all(|pair| pair[0] != pair[1])
    })
}

/// How many users have each item.
fn takers(train: &Histories) -> Vec<u32> {
    let mut takers = vec![0; train.n_items()];
    // The last user that was counted for an item.
    let mut last = vec![u32::MAX; train.n_items()];
    for user in 0..train.n_users() as u32 {
        for item in train.user(user).items {
            if std::mem::replace(&mut last[*item as usize], user) != user {
                takers[*item as usize] += 1;
            }
        }
    }
    takers
}

/// Results of one user's lists.
struct Sums {
    lists: usize,
    /// Sums of [`METRICS`] over the lists.
    metrics: [f64; METRICS.len()],
    spread: Spread,
    /// The lists, one after the other, for the hash.
    listed: Vec<u32>,
}

/// Ranks for every user with test rows; returns the figures, and each user's lists and sum of [`HEADLINE`].
/// `known` has the rows of users before their test rows, `train` the rows that trained the model.
#[must_use]
pub fn evaluate(
    model: &dyn Trained,
    train: &Histories,
    known: &Histories,
    test: &Histories,
    reading: Reading,
) -> (Figures, Vec<(usize, f64)>) {
    let takers = takers(train);
    let candidates = takers.iter().filter(|n| **n > 0).count();
    let once = without_repeats(train);
    let users: Vec<u32> = (0..test.n_users() as u32).filter(|user| !test.range(*user).is_empty()).collect();
    let clock = std::time::Instant::now();
    let sums: Vec<Sums> = users
        .par_iter()
        .map_init(
            || vec![0.0; train.n_items()],
            |scores, user| of_user(model, *user, [known, test], &takers, once, reading, scores),
        )
        .collect();
    let seconds = clock.elapsed().as_secs_f64();
    let lists: usize = sums.iter().map(|s| s.lists).sum();
    let mean = |at: usize| sums.iter().map(|s| s.metrics[at]).sum::<f64>() / lists.max(1) as f64;
    let mut metrics: Vec<(String, f64)> =
        METRICS.iter().enumerate().map(|(at, metric)| (metric.name(), mean(at))).collect();
    let headline = METRICS.iter().position(|metric| *metric == HEADLINE).unwrap_or(0);
    let by_user = sums.iter().map(|s| (s.lists, s.metrics[headline])).collect();
    let (mut spread, mut listed) = (Spread::default(), Vec::new());
    for own in sums {
        spread.join(own.spread);
        listed.extend(own.listed.iter().flat_map(|item| item.to_le_bytes()));
    }
    let trained_users = (0..train.n_users() as u32).filter(|user| !train.range(*user).is_empty()).count();
    metrics.push((format!("coverage@{SPREAD}"), spread.coverage(candidates)));
    metrics.push((format!("Gini@{SPREAD}"), spread.gini(candidates)));
    metrics.push((format!("novelty@{SPREAD}"), spread.novelty(&takers, trained_users)));
    (Figures::new(reading, lists, metrics, &listed, lists as f64 / seconds.max(1e-9)), by_user)
}

fn of_user(
    model: &dyn Trained,
    user: u32,
    [known, test]: [&Histories; 2],
    takers: &[u32],
    once: bool,
    reading: Reading,
    scores: &mut [f32],
) -> Sums {
    let (known, asked) = (known.user(user), test.user(user));
    let mut sums =
        Sums { lists: 0, metrics: [0.0; METRICS.len()], spread: Spread::default(), listed: Vec::new() };
    let mut state = model.start(user, known);
    let mut list_for = |scores: &mut [f32],
                        own: &[u32],
                        timestamp: i64,
                        relevant: &[u32],
                        state: &foretaste_models::UserState| {
        model.scores(state, timestamp, scores);
        scores
            .iter_mut()
            .zip(takers)
            .filter(|(_, takers)| **takers == 0)
            .for_each(|(score, _)| *score = f32::NEG_INFINITY);
        if once {
            known.items.iter().chain(own).for_each(|item| scores[*item as usize] = f32::NEG_INFINITY);
        }
        let list = top_k(scores, LONGEST);
        let judged = Judged::new(&list, relevant);
        sums.metrics.iter_mut().zip(METRICS).for_each(|(sum, metric)| *sum += metric.of(&judged));
        sums.lists += 1;
        sums.spread.add(&list[..SPREAD.min(list.len())]);
        sums.listed.extend(list);
    };
    match reading {
        Reading::Frozen => {
            let mut relevant = asked.items.to_vec();
            relevant.sort_unstable();
            relevant.dedup();
            list_for(scores, &[], asked.timestamps.at(0), &relevant, &state);
        }
        Reading::Streaming => {
            for row in 0..asked.len() {
                list_for(
                    scores,
                    &asked.items[..row],
                    asked.timestamps.at(row),
                    &asked.items[row..=row],
                    &state,
                );
                model.update(&mut state, asked.items[row], asked.values[row], asked.timestamps.at(row));
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_models::{Device, FitContext, Kind};

    #[test]
    fn takers_are_users() {
        let train = Histories::new(vec![0, 3, 4], vec![1, 0, 1, 1], vec![1.0; 4], vec![0; 4], 3);
        assert_eq!(takers(&train), [1, 2, 0]);
    }

    #[test]
    fn popularity_by_hand() {
        // Item 0 has three rows, 1 two, 2 one, 3 none. User 0 has items 0 and 2, then takes 1 and 3.
        let train = Histories::new(vec![0, 2, 4, 6], vec![0, 2, 0, 1, 0, 1], vec![1.0; 6], vec![0; 6], 4);
        let test = Histories::new(vec![0, 2, 2, 2], vec![1, 3], vec![1.0; 2], vec![5, 6], 4);
        let device = Device::flex();
        let model =
            Kind::POPULARITY.defaults().fit(&train, None, &FitContext::new(0, &device)).unwrap().model;
        let figure =
            |figures: &Figures, name: &str| figures.metrics.iter().find(|(n, _)| n == name).unwrap().1;
        let (frozen, by_user) = evaluate(model.as_ref(), &train, &train, &test, Reading::Frozen);
        // The only item left to recommend is 1, of two that were relevant.
        assert_eq!(
            (figure(&frozen, "recall@5"), figure(&frozen, "MRR@20"), figure(&frozen, "precision@5")),
            (0.5, 1.0, 0.2)
        );
        assert!((figure(&frozen, "coverage@10") - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(by_user.len(), 1);
        let (streaming, by_user) = evaluate(model.as_ref(), &train, &train, &test, Reading::Streaming);
        // The second list is empty: nothing is left, and item 3 is in no list.
        assert_eq!((streaming.lists, figure(&streaming, "recall@5"), by_user[0].0), (2, 0.5, 2));
    }
}
