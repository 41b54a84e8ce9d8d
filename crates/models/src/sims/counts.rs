//! Exact counts of who took what with what, an item at a time; on a device by tiles (`tiles.rs`).
//!
//! An item's row of counts is gathered from the units that hold it, into one accumulator a thread: memory is
//! that of the units, plus threads times items, plus the neighbours kept, however many pairs there are.

use super::{Settings, Weight};
use crate::ranking::by_item;
use crate::{FitContext, Result};
use foretaste_data::{Histories, IdleGaps};
use rayon::prelude::*;

/// Days in a second.
const DAYS: f64 = 1.0 / 86_400.0;

/// Items by unit and units by item.
pub(super) struct Units {
    /// First entry of each unit, and the total.
    pub(super) unit_offsets: Vec<usize>,
    /// Items of the units' entries.
    pub(super) items: Vec<u32>,
    /// Their rows' ages in days.
    pub(super) ages: Vec<f32>,
    /// First entry of each item in `holders`, and the total.
    item_offsets: Vec<usize>,
    /// For each item the units that hold it, with the age of its row there.
    holders: Vec<(u32, f32)>,
    /// `s_i`.
    weights: Vec<f64>,
    /// Weight of all units.
    total: f64,
    pub(super) n_items: usize,
}

/// What of a similarity is one item's alone: the first's, and the second's.
pub(super) struct Scales {
    bases: Vec<f64>,
    factors: Vec<f64>,
}

/// An item's counts with all others, and which of them are not zero.
struct Row {
    sums: Vec<f32>,
    counts: Vec<u32>,
    /// Counters that no item with more units than they can hold uses.
    short: Vec<u16>,
    touched: Vec<u32>,
}

/// The most similar items so far.
struct Best {
    k: usize,
    /// Most similar first where `k` is not 0, for all else as they come.
    items: Vec<(u32, f32)>,
    /// What the next must be above.
    bar: f32,
}

/// Most similar first, then by index.
fn order(a: (u32, f32), b: (u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

impl Best {
    /// Of `k` items; of all for 0.
    fn new(k: usize) -> Self {
        Self { k, items: Vec::new(), bar: f32::NEG_INFINITY }
    }

    /// Items come in ascending order, so that of equals the first stays.
    fn offer(&mut self, item: u32, similarity: f32) {
        if self.k == 0 {
            self.items.push((item, similarity));
        } else if self.items.len() < self.k || similarity > self.bar {
            let at = self.items.partition_point(|other| order(*other, (item, similarity)).is_lt());
            self.items.insert(at, (item, similarity));
            self.items.truncate(self.k);
            self.bar = self.items[self.items.len() - 1].1;
        }
    }

    fn finish(mut self) -> Vec<(u32, f32)> {
        if self.k == 0 {
            self.items.sort_unstable_by(|a, b| order(*a, *b));
        }
        self.items
    }
}

/// The values at the two percentiles of `sorted`.
fn at(sorted: &[usize], low: f64, high: f64) -> (usize, usize) {
    let of = |share: f64| sorted.get(((sorted.len().max(1) - 1) as f64 * share).round() as usize).copied().unwrap_or(0);
    (of(low), of(high))
}

impl Units {
    pub fn new(settings: &Settings, train: &Histories) -> Self {
        let n_items = train.n_items();
        let newest = train.timestamps().iter().copied().max().unwrap_or(0);
        let mut popularity = vec![0_usize; n_items];
        train.items().iter().for_each(|item| popularity[*item as usize] += 1);
        let mut sorted: Vec<usize> = popularity.iter().copied().filter(|n| *n > 0).collect();
        sorted.sort_unstable();
        let items = at(&sorted, settings.min_item_interaction_count_percentile, settings.max_item_interaction_count_percentile);
        let mut lengths: Vec<usize> = (0..train.n_users() as u32).map(|user| train.range(user).len()).filter(|n| *n > 0).collect();
        lengths.sort_unstable();
        let users = at(&lengths, settings.min_user_history_length_percentile, settings.max_user_history_length_percentile);
        let gaps = (settings.sessions > 0).then(|| IdleGaps::new(vec![settings.sessions]).ok()).flatten();

        let mut units = Self {
            unit_offsets: vec![0],
            items: Vec::new(),
            ages: Vec::new(),
            item_offsets: Vec::new(),
            holders: Vec::new(),
            weights: vec![0.0; n_items],
            total: 0.0,
            n_items,
        };
        let mut unit: Vec<(u32, i64)> = Vec::new();
        for user in 0..train.n_users() as u32 {
            let history = train.user(user);
            if !(users.0..=users.1).contains(&history.len()) {
                continue;
            }
            for row in 0..history.len() {
                let begins = row > 0 && gaps.as_ref().is_some_and(|gaps| gaps.crossed(history.timestamps[row] - history.timestamps[row - 1]) > 0);
                if begins {
                    units.close(&mut unit, newest);
                }
                if (items.0..=items.1).contains(&popularity[history.items[row] as usize]) {
                    unit.push((history.items[row], history.timestamps[row]));
                }
            }
            units.close(&mut unit, newest);
        }
        let age = |days: f32| if settings.age_half_life > 0.0 { (-f64::from(days) / settings.age_half_life).exp2() } else { 1.0 };
        for (item, days) in units.items.iter().zip(&units.ages) {
            units.weights[*item as usize] += age(*days);
        }
        let weights = units.unit_offsets.windows(2).map(|span| units.ages[span[0]..span[1]].iter().map(|days| age(*days)).fold(0.0, f64::max));
        units.total = weights.sum();
        let (item_offsets, entries) = by_item(&units.unit_offsets, &units.items, n_items);
        units.item_offsets = item_offsets;
        units.holders = entries.into_iter().map(|(unit, place)| (unit, units.ages[place])).collect();
        units
    }

    /// Ends a unit: each item once, its newest row.
    fn close(&mut self, unit: &mut Vec<(u32, i64)>, newest: i64) {
        if unit.is_empty() {
            return;
        }
        unit.sort_unstable_by_key(|(item, time)| (*item, std::cmp::Reverse(*time)));
        unit.dedup_by_key(|(item, _)| *item);
        self.items.extend(unit.iter().map(|(item, _)| *item));
        self.ages.extend(unit.iter().map(|(_, time)| ((newest - time) as f64 * DAYS) as f32));
        self.unit_offsets.push(self.items.len());
        unit.clear();
    }

    /// `s_i` as shares of the highest.
    pub fn shares(&self) -> Vec<f32> {
        let highest = self.weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        self.weights.iter().map(|weight| (weight / highest) as f32).collect()
    }

    /// For each item its most similar ones, most similar first.
    ///
    /// # Errors
    /// [`crate::ModelError::Interrupted`] when asked to stop, [`crate::ModelError::Device`] when the device fails.
    pub fn neighbours(&self, settings: &Settings, context: &FitContext) -> Result<Vec<Vec<(u32, f32)>>> {
        if context.device.is_flex() { self.counted(settings, context) } else { self.tiled(settings, context) }
    }

    /// [`neighbours`](Self::neighbours), counting.
    pub(super) fn counted(&self, settings: &Settings, context: &FitContext) -> Result<Vec<Vec<(u32, f32)>>> {
        let scales = self.scales(settings);
        let row = || Row { sums: vec![0.0; self.n_items], counts: vec![0; self.n_items], short: vec![0; self.n_items], touched: Vec::new() };
        let of = |row: &mut Row, item: usize| -> Result<Vec<(u32, f32)>> {
            context.go_on()?;
            let units = &self.holders[self.item_offsets[item]..self.item_offsets[item + 1]];
            let increments: usize = units.iter().map(|(unit, _)| self.unit_offsets[*unit as usize + 1] - self.unit_offsets[*unit as usize]).sum();
            if !settings.decays() && 4 * increments > self.n_items {
                // Most items are met: counting needs no list of them. Short counters stay nearer to the processor.
                return Ok(if u16::try_from(units.len()).is_ok() {
                    self.met(settings, &scales, item, &mut row.short)
                } else {
                    self.met(settings, &scales, item, &mut row.counts)
                });
            }
            self.count(settings, units, row);
            row.touched.sort_unstable();
            let (sums, counts) = (&mut row.sums, &mut row.counts);
            let met = row.touched.drain(..).map(|other| {
                let at = other as usize;
                (at, f64::from(std::mem::take(&mut sums[at])), std::mem::take(&mut counts[at]))
            });
            Ok(self.best(settings, &scales, item, met))
        };
        (0..self.n_items).into_par_iter().map_init(row, of).collect()
    }

    /// The items most similar to `item`, by counters of all items, which come and go as zeros.
    fn met<C: Copy + Default + std::ops::AddAssign + From<u8> + Into<u32>>(
        &self,
        settings: &Settings,
        scales: &Scales,
        item: usize,
        counts: &mut [C],
    ) -> Vec<(u32, f32)> {
        for (unit, _) in &self.holders[self.item_offsets[item]..self.item_offsets[item + 1]] {
            let span = self.unit_offsets[*unit as usize]..self.unit_offsets[*unit as usize + 1];
            self.items[span].iter().for_each(|other| counts[*other as usize] += C::from(1));
        }
        let met = counts.iter().map(|count| (*count).into()).enumerate().filter(|(_, count)| *count > 0);
        let best = self.best(settings, scales, item, met.map(|(other, count)| (other, f64::from(count), count)));
        counts.fill(C::default());
        best
    }

    /// What of a pair's similarity depends on one of the two alone.
    pub(super) fn scales(&self, settings: &Settings) -> Scales {
        let discount = 0.5 - settings.popularity_discount_factor;
        let base = |weight: f64| if settings.weight == Weight::Cosine { 1.0 / (weight + settings.shrinkage).sqrt() } else { 1.0 };
        let bases: Vec<f64> = self.weights.iter().map(|weight| base(*weight)).collect();
        let factors = self.shares().iter().zip(&bases).map(|(share, base)| base * f64::from(*share).max(1e-12).powf(discount)).collect();
        Scales { bases, factors }
    }

    /// The items most similar to `item`, of those that come, in ascending order, with `c_ij` and the units shared.
    pub(super) fn best(&self, settings: &Settings, scales: &Scales, item: usize, met: impl Iterator<Item = (usize, f64, u32)>) -> Vec<(u32, f32)> {
        let least = settings.min_cointeraction_count.max(1);
        let mut best = Best::new(settings.neighbours);
        for (other, sum, count) in met {
            if other != item && count >= least {
                best.offer(other as u32, (self.weigh(settings, item, other, sum) * scales.bases[item] * scales.factors[other]) as f32);
            }
        }
        best.finish()
    }

    /// Gathers `c_ij` and the number of shared units of the item that `units` hold with all others.
    fn count(&self, settings: &Settings, units: &[(u32, f32)], row: &mut Row) {
        let (gap, age) = settings.rates();
        for (unit, own) in units {
            let span = self.unit_offsets[*unit as usize]..self.unit_offsets[*unit as usize + 1];
            for (other, days) in self.items[span.clone()].iter().zip(&self.ages[span]) {
                let at = *other as usize;
                if row.counts[at] == 0 {
                    row.touched.push(*other);
                }
                row.counts[at] += 1;
                row.sums[at] += if gap + age == 0.0 { 1.0 } else { (-(own - days).abs() * gap - own.min(*days) * age).exp2() };
            }
        }
    }

    /// The base weight of a pair with `c_ij = both`; of the cosine what is not either item's alone.
    fn weigh(&self, settings: &Settings, i: usize, j: usize, both: f64) -> f64 {
        let (a, b, k) = (self.weights[i], self.weights[j], settings.shrinkage);
        match settings.weight {
            Weight::Cosine => both,
            Weight::Jaccard => both / (a + b - both + k).max(f64::MIN_POSITIVE),
            Weight::Lift => self.total * both / ((a + k) * (b + k)),
            Weight::LogLikelihood => log_likelihood(both, a, b, self.total.max(a + b - both)),
        }
    }
}

/// Dunning's ratio for a table of units with both, with `a`, with `b`, of `n`.
fn log_likelihood(both: f64, a: f64, b: f64, n: f64) -> f64 {
    let x = |v: f64| if v > 0.0 { v * v.ln() } else { 0.0 };
    let table = x(both) + x(a - both) + x(b - both) + x(n - a - b + both);
    (2.0 * (table - x(a) - x(n - a) - x(b) - x(n - b) + x(n))).max(0.0)
}
