//! Recommendations: the best items for a user, and for millions of users.

use crate::ranking::NEVER;
use crate::{Recommender, Trained, top_k};
use foretaste_data::{Histories, History};
use rayon::prelude::*;

/// A recommended item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recommended {
    /// Item index.
    pub item: u32,
    /// The model's score: the higher, the sooner the user is expected to take it. Its unit is the model's.
    pub score: f32,
}

/// Recommends items with a trained model.
///
/// By default ten items of the whole catalogue, without those of the user's own history.
#[derive(Clone)]
pub struct Recommend<'a> {
    model: &'a dyn Trained,
    n_items: usize,
    k: usize,
    seen: bool,
    allowed: Option<&'a [bool]>,
}

impl<'a> Recommend<'a> {
    /// Recommendations by `model`, over a catalogue of `n_items` items.
    #[must_use]
    pub fn new(model: &'a dyn Trained, n_items: usize) -> Self {
        Self { model, n_items, k: 10, seen: false, allowed: None }
    }

    /// Sets the number of items.
    #[must_use]
    pub fn top(self, k: usize) -> Self {
        Self { k, ..self }
    }

    /// Whether items of the user's own history may be recommended again.
    #[must_use]
    pub fn with_seen(self, seen: bool) -> Self {
        Self { seen, ..self }
    }

    /// Restricts to items whose entry in `allowed` is true; items beyond its end are not allowed.
    #[must_use]
    pub fn among(self, allowed: &'a [bool]) -> Self {
        Self { allowed: Some(allowed), ..self }
    }

    /// The best items for `user` with the history `known`, at `timestamp` (Unix seconds), best first. A user
    /// without history, or unknown to the model, gets the model's list for new users.
    #[must_use]
    pub fn for_user(&self, user: u32, known: History<'_>, timestamp: i64) -> Vec<Recommended> {
        self.with(&mut vec![0.0; self.n_items], user, known, timestamp)
    }

    /// The best items for each of `users`, each at its own time, passed to `take` in their order. However
    /// many users there are, memory holds the lists of a few thousand of them. Where a model's scores are
    /// inner products, many users are scored at once, and a score may differ in its last digit from
    /// [`for_user`](Self::for_user)'s.
    pub fn for_users(
        &self,
        known: &Histories,
        users: &[(u32, i64)],
        mut take: impl FnMut(u32, Vec<Recommended>),
    ) {
        /// Number of users whose lists are in memory at once.
        const BLOCK: usize = 4096;
        /// Number of scores in memory at once, on each thread.
        const SCORES: usize = 1 << 22;
        let together = (SCORES / self.n_items.max(1)).clamp(1, 128);
        let products = self
            .model
            .as_recommender()
            .and_then(Recommender::inner_products)
            .filter(|p| p.items.len() == self.n_items * p.width);
        for block in users.chunks(BLOCK) {
            let of = |scores: &mut Vec<f32>, users: &[(u32, i64)]| -> Vec<Vec<Recommended>> {
                match &products {
                    None => users
                        .iter()
                        .map(|(user, timestamp)| {
                            self.with(&mut scores[..self.n_items], *user, known.user(*user), *timestamp)
                        })
                        .collect(),
                    Some(products) => {
                        products.scores(known, users, scores);
                        users
                            .iter()
                            .zip(scores.chunks_exact_mut(self.n_items))
                            .map(|((user, _), scores)| self.best(scores, known.user(*user)))
                            .collect()
                    }
                }
            };
            let lists: Vec<Vec<Vec<Recommended>>> =
                block.par_chunks(together).map_init(|| vec![0.0; together * self.n_items], of).collect();
            block.iter().zip(lists.into_iter().flatten()).for_each(|((user, _), list)| take(*user, list));
        }
    }

    fn with(&self, scores: &mut [f32], user: u32, known: History<'_>, timestamp: i64) -> Vec<Recommended> {
        self.model.scores(&self.model.start(user, known), timestamp, scores);
        self.best(scores, known)
    }

    /// The best of the scores, without those that may not be recommended.
    fn best(&self, scores: &mut [f32], known: History<'_>) -> Vec<Recommended> {
        if let Some(allowed) = self.allowed {
            let allowed = allowed.iter().copied().chain(std::iter::repeat(false));
            scores
                .iter_mut()
                .zip(allowed)
                .filter(|(_, allowed)| !allowed)
                .for_each(|(score, _)| *score = NEVER);
        }
        if !self.seen {
            known.items.iter().for_each(|item| {
                if let Some(score) = scores.get_mut(*item as usize) {
                    *score = NEVER;
                }
            });
        }
        top_k(scores, self.k)
            .into_iter()
            .map(|item| Recommended { item, score: scores[item as usize] })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, FitContext, Kind};

    #[test]
    fn lists_by_hand() {
        // Popularity: item 0 three times, 1 twice, 2 once, 3 never.
        let known =
            Histories::new(vec![0, 2, 4, 6], vec![0, 2, 0, 1, 0, 1], vec![f32::NAN; 6], vec![0; 6], 4);
        let device = Device::flex();
        let model =
            Kind::POPULARITY.defaults().fit(&known, None, &FitContext::new(0, &device)).unwrap().model;
        let ask = Recommend::new(model.as_ref(), 4);
        let items = |ask: &Recommend, user: u32| {
            ask.for_user(user, known.user(user), 9).iter().map(|r| r.item).collect::<Vec<_>>()
        };
        assert_eq!(items(&ask, 0), [1, 3]);
        assert_eq!(items(&ask, u32::MAX), [0, 1, 2, 3], "a new user has seen nothing");
        assert_eq!(items(&ask.clone().with_seen(true).top(2), 0), [0, 1]);
        assert_eq!(items(&ask.clone().among(&[true, false, true]), 1), [2]);
        let mut all = Vec::new();
        ask.for_users(&known, &[(2, 9), (0, 9)], |user, list| all.push((user, list[0].item)));
        assert_eq!(all, [(2, 2), (0, 1)]);
    }

    /// Users get the same lists, whether scored together or one by one.
    #[test]
    fn many_users_get_what_each_gets() {
        let (users, rows, n) = (80_u32, 12_u32, 50_u32);
        let items = (0..users * rows).map(|at| (at * at / 7 + at % rows * 3 + at / rows) % n).collect();
        let known = Histories::new(
            (0..=users).map(|u| (u * rows) as usize).collect(),
            items,
            vec![f32::NAN; (users * rows) as usize],
            (0..i64::from(users * rows)).collect::<Vec<_>>(),
            n as usize,
        );
        let device = Device::flex();
        for settings in ["factors = 8", "objective = \"next-item\"\nepochs = 1\nsize = 6"] {
            let kind = if settings.starts_with("factors") { Kind::IALS } else { Kind::HRNN_GRU };
            let model = kind
                .settings(settings.parse().unwrap())
                .unwrap()
                .fit(&known, None, &FitContext::new(0, &device))
                .unwrap()
                .model;
            assert!(model.as_recommender().unwrap().inner_products().is_some());
            let ask = Recommend::new(model.as_ref(), n as usize).top(5);
            let wanted: Vec<(u32, i64)> = (0..users).map(|user| (user, 2000)).collect();
            let mut met = 0;
            ask.for_users(&known, &wanted, |user, list| {
                let alone = ask.for_user(user, known.user(user), 2000);
                assert!(
                    list.iter().zip(&alone).all(|(a, b)| (a.score - b.score).abs() < 1e-4),
                    "{list:?} {alone:?}"
                );
                met += list.len();
            });
            assert_eq!(met, 400);
        }
    }
}
