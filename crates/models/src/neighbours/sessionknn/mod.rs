//! VMIS-kNN: recommends the items of sessions that are similar to the current one.
//!
//! Vector-multiplication-indexed session kNN (Kersbergen, Sprangers and Schelter 2022, *Serenade: Low-Latency
//! Session-Based Recommendation in e-Commerce at Scale*, section 3), after VS-kNN (Ludewig and Jannach 2018).
//! For the items `s` of the current session, the oldest at place 1 of `n`:
//!
//! ```text
//! candidates   the `recent` newest training sessions that hold an item of s
//! r_v          = sum_{i in s and v} place_s(i) / n                                similarity of session v
//! score_i      = sum_{v in N(s), i in v} l(d_v) r_v ln(H / h_i)      N(s): the `neighbours` most similar
//! ```
//!
//! with `d_v` the number of places between the session's end and its newest item in `v` (0 for the last) and
//! `l(d) = max(1 - 0.1 d, 0)` (the reference code's linear decay); `H` is the number of sessions and `h_i` of
//! those with item `i`. A session without items gets the items' popularity, far below any score.

use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::ranking::{RowScorer, begin, distinct, require_rows};
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelSettings, Result};
use foretaste_data::{Histories, History, IdleGaps};
use std::collections::HashMap;

const NAME: &str = "session-knn";

/// Settings of VMIS-kNN.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Seconds of idleness that end a session.
    pub idle: i64,
    /// Newest sessions with a common item that are considered.
    pub recent: usize,
    /// The most similar of them, which count.
    pub neighbours: usize,
    /// Newest items of the current session that count.
    pub length: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { idle: 1800, recent: 1000, neighbours: 200, length: 50 }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "VMIS-kNN";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "idle", self.idle, 1, 1_000_000_000)?;
        within(NAME, "recent", self.recent, 1, 10_000_000)?;
        within(NAME, "neighbours", self.neighbours, 1, 10_000_000)?;
        within(NAME, "length", self.length, 1, 1_000_000)
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }

    fn needs_times(&self) -> bool {
        true
    }

    fn predicts_ratings(&self) -> bool {
        false
    }
}

/// Sessions by item, newest first.
pub struct Model {
    settings: Settings,
    /// First item of each session, and the total; sessions ascend by the time of their last row, their items
    /// are distinct.
    offsets: Vec<usize>,
    items: Vec<u32>,
    /// Sessions of each item, newest first.
    holders: Vec<Vec<u32>>,
}

/// Stores the sessions of `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows.
pub fn fit(settings: &Settings, train: &Histories, _: Option<&Histories>, _: &FitContext) -> Result<Fitted> {
    require_rows(NAME, train)?;
    let gaps = IdleGaps::new(vec![settings.idle])?;
    let mut sessions: Vec<(i64, Vec<u32>)> = Vec::new();
    for user in 0..train.n_users() as u32 {
        let history = train.user(user);
        for row in 0..history.len() {
            let begins =
                row == 0 || gaps.crossed(history.timestamps.at(row) - history.timestamps.at(row - 1)) > 0;
            if begins {
                sessions.push((0, Vec::new()));
            }
            if let Some((last, items)) = sessions.last_mut() {
                *last = history.timestamps.at(row);
                items.push(history.items[row]);
            }
        }
    }
    sessions.sort_by_key(|(last, _)| *last);
    let (mut offsets, mut items) = (vec![0], Vec::new());
    for (_, own) in sessions {
        items.extend(distinct(&own));
        offsets.push(items.len());
    }
    Ok(Fitted {
        model: Box::new(Model::new(settings.clone(), offsets, items, train.n_items())),
        curve: Vec::new(),
        best_epoch: 0,
    })
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let n = tensors.integers("n_items")?.first().map_or(0, |n| *n as usize);
        let offsets = tensors.integers("offsets")?.into_iter().map(|o| o as usize).collect();
        Ok(Self::new(
            settings,
            offsets,
            tensors.integers("items")?.into_iter().map(|i| i as u32).collect(),
            n,
        ))
    }

    fn new(settings: Settings, offsets: Vec<usize>, items: Vec<u32>, n: usize) -> Self {
        let mut holders = vec![Vec::new(); n];
        for session in (0..offsets.len() - 1).rev() {
            items[offsets[session]..offsets[session + 1]]
                .iter()
                .for_each(|item| holders[*item as usize].push(session as u32));
        }
        Self { settings, offsets, items, holders }
    }

    /// The newest items of the session that is open at `timestamp`, each at its newest place, newest first.
    fn present(&self, known: History<'_>, timestamp: i64) -> Vec<u32> {
        let (mut present, mut next) = (Vec::new(), timestamp);
        for (item, time) in known.items.iter().zip(known.timestamps).rev() {
            if next - time > self.settings.idle || present.len() == self.settings.length {
                break;
            }
            next = time;
            if !present.contains(item) {
                present.push(*item);
            }
        }
        present
    }
}

impl RowScorer for Model {
    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.items.len()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        vec![
            NamedTensor::integers("n_items", std::iter::once(self.holders.len() as i64)),
            NamedTensor::integers("offsets", self.offsets.iter().map(|o| *o as i64)),
            NamedTensor::integers("items", self.items.iter().map(|i| i64::from(*i))),
        ]
    }

    fn score(&self, _: u32, known: History<'_>, timestamp: i64, out: &mut [f32]) {
        let total = self.offsets.len().max(2) - 1;
        begin(out, self.holders.iter().map(|holders| holders.len() as f32 / total as f32));
        let present = self.present(known, timestamp);
        let n = present.len() as f32;
        // Similarity, and how far from the end the newest common item stands.
        let mut found: HashMap<u32, (f32, usize)> = HashMap::new();
        for (distance, item) in present.iter().enumerate() {
            let Some(holders) = self.holders.get(*item as usize) else { continue };
            for session in holders.iter().take(self.settings.recent) {
                found.entry(*session).or_insert((0.0, distance)).0 += (n - distance as f32) / n;
            }
        }
        let mut candidates: Vec<(u32, f32, usize)> = found
            .into_iter()
            .map(|(session, (similarity, distance))| (session, similarity, distance))
            .collect();
        candidates.sort_unstable_by_key(|(session, ..)| std::cmp::Reverse(*session));
        candidates.truncate(self.settings.recent);
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
        candidates.truncate(self.settings.neighbours);
        for (session, similarity, distance) in candidates {
            let weight = (1.0 - 0.1 * distance as f32).max(0.0) * similarity;
            for item in &self.items[self.offsets[session as usize]..self.offsets[session as usize + 1]] {
                if let Some(out) = out.get_mut(*item as usize) {
                    *out += weight * (total as f32 / self.holders[*item as usize].len() as f32).ln();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn scores_by_hand() {
        // Sessions, oldest first: {0, 1}, {1, 2}, {0, 1, 3}, {4}.
        let train = Histories::new(
            vec![0, 2, 4, 7, 8],
            vec![0, 1, 1, 2, 0, 1, 3, 4],
            vec![1.0; 8],
            vec![0, 1, 100, 101, 200, 201, 202, 300],
            5,
        );
        let score = |recent: usize, items: &[u32], times: &[i64], now: i64| {
            let settings = Settings { idle: 50, recent, ..Settings::default() };
            let model = fit(&settings, &train, None, &FitContext::new(0, &Device::flex())).unwrap().model;
            let mut out = vec![0.0; 5];
            let values = [f32::NAN; 2][..items.len()].into();
            let state = model.start(9, History { items, values, timestamps: times.into() });
            model.scores(&state, now, &mut out);
            out
        };
        // Items 0 (place 1 of 2) and 1 (place 2): similarities 1.5, 1 and 1.5; the newest common item is the
        // last in all.
        let scores = score(9, &[0, 1], &[1000, 1010], 1020);
        let idf = |h: f32| (4.0 / h).ln();
        assert!(
            (scores[2] - 1.0 * idf(1.0)).abs() < 1e-4 && (scores[3] - 1.5 * idf(1.0)).abs() < 1e-4,
            "{scores:?}"
        );
        assert!((scores[1] - 4.0 * idf(3.0)).abs() < 1e-4 && scores[4] < 1e-5, "{scores:?}");
        // Item 0 alone counts nine tenths where it is the newest common item and stands one before the end.
        let scores = score(9, &[0, 4], &[1000, 1010], 1020);
        assert!((scores[3] - 0.9 * 0.5 * idf(1.0)).abs() < 1e-4, "{scores:?}");
        assert!(score(1, &[0, 1], &[1000, 1010], 1020)[2] < 1e-5, "the newest session alone");
        assert!(
            score(9, &[0, 1], &[1000, 1010], 1100).iter().all(|s| *s < 1e-5),
            "a new session has no items"
        );
    }
}
