//! A prepared batch: time features, negatives, and the entries of each item and user.

use super::Scope;
use super::inputs::{Scale, Track, When};
use super::negatives::Negatives;
use foretaste_data::Histories;
use foretaste_data::batch::Batch;

/// The distinct ids of a batch and the entries of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// Ids that occur, ascending.
    pub distinct: Vec<u32>,
    /// Place of each entry's id in `distinct`; 0 for padding.
    pub place: Vec<u32>,
    offsets: Vec<u32>,
    entries: Vec<u32>,
    /// Place of every id; stale where the id does not occur.
    table: Vec<u32>,
}

impl Places {
    /// Finds the places of `ids` where `mask` is 1, and of all of `more`, whose entries are counted on from
    /// there.
    fn fill(&mut self, ids: &[u32], mask: &[f32], more: &[u32]) {
        let more = || more.iter().enumerate().map(|(at, id)| (ids.len() + at, *id));
        let occurs = || {
            ids.iter()
                .zip(mask)
                .enumerate()
                .filter(|(_, (_, mask))| **mask > 0.0)
                .map(|(entry, (id, _))| (entry, *id))
                .chain(more())
        };
        let Self { distinct, place, offsets, entries, table } = self;
        distinct.clear();
        for (_, id) in occurs() {
            if table.len() <= id as usize {
                table.resize(id as usize + 1, u32::MAX);
            }
            let known = distinct.get(table[id as usize] as usize) == Some(&id);
            if !known {
                table[id as usize] = distinct.len() as u32;
                distinct.push(id);
            }
        }
        distinct.sort_unstable();
        distinct.iter().enumerate().for_each(|(at, id)| table[*id as usize] = at as u32);
        place.clear();
        place.resize(ids.len() + more().len(), 0);
        offsets.clear();
        offsets.resize(distinct.len() + 1, 0);
        for (entry, id) in occurs() {
            place[entry] = table[id as usize];
            offsets[place[entry] as usize + 1] += 1;
        }
        (0..distinct.len()).for_each(|at| offsets[at + 1] += offsets[at]);
        entries.clear();
        entries.resize(offsets[distinct.len()] as usize, 0);
        let mut next = offsets.clone();
        for (entry, _) in occurs() {
            let at = &mut next[place[entry] as usize];
            entries[*at as usize] = entry as u32;
            *at += 1;
        }
    }

    /// The entries of the id at a place of `distinct`, ascending.
    pub fn entries(&self, place: usize) -> &[u32] {
        &self.entries[self.offsets[place] as usize..self.offsets[place + 1] as usize]
    }
}

/// A batch with all inputs of a window, step-major.
#[derive(Debug, Clone, Default)]
pub(super) struct Prepared {
    pub batch: Batch,
    /// `w`, `[entries, when]`.
    pub when: Vec<f32>,
    /// `v`: the ratings' residuals from the stationary part, in standard deviations.
    pub values: Vec<f32>,
    /// Number of session levels that begin.
    pub crossed: Vec<u8>,
    /// Weights in the loss; 0 for padding.
    pub weights: Vec<f32>,
    pub items: Places,
    pub users: Places,
    /// Sampled negatives; the same for all entries.
    pub samples: Vec<u32>,
    /// Corrections of the scores of `samples`.
    pub corrections: Vec<f32>,
    /// Correction of the score of each entry's own item.
    pub own_corrections: Vec<f32>,
    /// Entries' items, then `samples`; empty where no next items are predicted.
    pub asked: Places,
}

/// Weight of an interaction in training, by its age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Recency {
    latest: i64,
    half_life: f64,
    /// Normalization to a mean weight of 1.
    scale: f64,
}

impl Recency {
    /// Weights `2^(-age / half_life)` from the last training row back, 1 on average; all 1 without half-life.
    pub fn new(train: &Histories, half_life: Option<f64>) -> Self {
        let latest = train.timestamps().iter().max().unwrap_or(0);
        let mut recency = Self { latest, half_life: half_life.unwrap_or(f64::INFINITY), scale: 1.0 };
        let sum: f64 = train.timestamps().iter().map(|t| recency.of(t)).sum();
        recency.scale = train.len() as f64 / sum.max(f64::MIN_POSITIVE);
        recency
    }

    fn of(self, timestamp: i64) -> f64 {
        self.scale * (-(self.latest - timestamp) as f64 / self.half_life).exp2()
    }

    fn weight(self, timestamp: i64) -> f32 {
        self.of(timestamp) as f32
    }
}

/// Prepares the batches in turn; keeps the position of each row's user.
pub(super) struct Preparer<'a> {
    pub when: &'a When,
    pub scale: Scale,
    pub train: &'a Histories,
    /// What the stationary part predicts for each training row; empty for the mean.
    pub base: &'a [f32],
    pub recency: Recency,
    pub scope: Scope,
    /// Where next items are predicted, and the seed of the epoch's draws.
    pub negatives: Option<(&'a Negatives, u64)>,
    /// One a row of the batch.
    tracks: Vec<Track>,
    /// Batches prepared so far.
    batches: u64,
}

impl<'a> Preparer<'a> {
    pub fn new(
        when: &'a When,
        scale: Scale,
        train: &'a Histories,
        base: &'a [f32],
        recency: Recency,
        rows: usize,
    ) -> Self {
        Self {
            when,
            scale,
            train,
            base,
            recency,
            scope: Scope::User,
            negatives: None,
            tracks: vec![Track::default(); rows],
            batches: 0,
        }
    }

    /// Computes the inputs of the batch in `prepared`, the next of an epoch.
    pub fn prepare(&mut self, prepared: &mut Prepared) {
        let Prepared {
            batch,
            when,
            values,
            crossed,
            weights,
            items,
            users,
            samples,
            corrections,
            own_corrections,
            asked,
        } = prepared;
        let (width, rows) = (self.when.len(), self.tracks.len());
        when.resize(batch.items.len() * width, 0.0);
        values.clear();
        values.resize(batch.items.len(), 0.0);
        crossed.clear();
        crossed.resize(batch.items.len(), 0);
        weights.clone_from(&batch.mask);
        let Scale { mean, deviation } = self.scale;
        for (row, track) in self.tracks.iter_mut().enumerate() {
            for at in (row..batch.items.len()).step_by(rows) {
                let out = &mut when[at * width..(at + 1) * width];
                if batch.mask[at] == 0.0 {
                    out.fill(0.0);
                    continue;
                }
                if batch.start[at] > 0.0 {
                    *track = Track::default();
                }
                let from = self.train.range(batch.users[at]).start + batch.positions[at] as usize;
                let (base, timestamp) =
                    (self.base.get(from).copied().unwrap_or(mean), self.train.timestamps().at(from));
                self.when.write(track, timestamp, (base - mean) / deviation, out);
                weights[at] *= self.recency.weight(timestamp);
                crossed[at] = self.when.crossed(track, timestamp);
                if self.scope == Scope::Session && crossed[at] > 0 {
                    batch.start[at] = 1.0;
                }
                values[at] = self.scale.left(batch.values[at], base);
                self.when.take(track, timestamp, values[at]);
            }
        }
        items.fill(&batch.items, &batch.mask, &[]);
        users.fill(&batch.users, &batch.mask, &[]);
        if let Some((negatives, seed)) = self.negatives {
            negatives.draw(seed, self.batches, samples);
            corrections.clear();
            corrections.extend(samples.iter().map(|item| negatives.correction(*item)));
            own_corrections.clear();
            own_corrections.extend(batch.items.iter().map(|item| negatives.correction(*item)));
            asked.fill(&batch.items, &batch.mask, samples);
        }
        self.batches += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_rows_count_more() {
        let train = Histories::new(vec![0, 3], vec![0; 3], vec![1.0; 3], vec![0, 50, 100], 1);
        let recency = Recency::new(&train, Some(50.0));
        let weights = [0, 50, 100].map(|t| recency.of(t));
        assert!(
            (weights[2] / weights[1] - 2.0).abs() < 1e-12 && (weights[1] / weights[0] - 2.0).abs() < 1e-12,
            "{weights:?}"
        );
        assert!((weights.iter().sum::<f64>() - 3.0).abs() < 1e-12);
        assert_eq!([0, 50, 100].map(|t| Recency::new(&train, None).weight(t)), [1.0; 3]);
    }

    #[test]
    fn places_by_hand() {
        let mut places = Places::default();
        places.fill(&[9, 9], &[1.0, 1.0], &[]);
        for _ in 0..2 {
            places.fill(&[4, 0, 7, 4, 4], &[1.0, 0.0, 1.0, 1.0, 1.0], &[5, 4]);
            assert_eq!(places.distinct, [4, 5, 7]);
            assert_eq!(places.place, [0, 0, 2, 0, 0, 1, 0]);
            assert_eq!(places.entries(0), [0, 3, 4, 6]);
            assert_eq!(places.entries(1), [5]);
            assert_eq!(places.entries(2), [2]);
        }
    }
}
