//! Exact co-occurrence counts, one item at a time; on a device by tiles (`tiles.rs`).
//!
//! An item's row of counts with the items after it is gathered from the units that hold it, into one
//! accumulator per thread; each pair, counted once, is offered to both items. Memory is that of the units,
//! plus threads times items, plus the neighbours kept, however many pairs there are.

use super::{Settings, Weight};
use crate::ranking::by_item;
use crate::{FitContext, Result};
use foretaste_data::{Histories, IdleGaps};
use rayon::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The least weight of an item that takes part, as a share of the greatest: forty half-lives.
const LEAST: f64 = 1e-12;

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
    /// For each item the units that hold it, with its place among their entries.
    holders: Vec<(u32, u32)>,
    /// `s_i`.
    weights: Vec<f64>,
    /// Weight of all units.
    total: f64,
    pub(super) n_items: usize,
}

/// The parts of a similarity that depend on one item only: the first, and the second.
pub(super) struct Scales {
    bases: Vec<f64>,
    factors: Vec<f64>,
}

/// An item's counts with all others, and which of them are not zero.
struct Row {
    sums: Vec<f32>,
    counts: Vec<u32>,
    /// Short counters, used only for items whose number of units they can hold.
    short: Vec<u16>,
    touched: Vec<u32>,
}

/// The most similar items so far.
struct Best {
    k: usize,
    /// Most similar first if `k` is not 0, otherwise in any order.
    items: Vec<(u32, f32)>,
    /// The threshold for the next item.
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

    /// Adds an item if it is among the best; the order of items does not matter.
    fn offer(&mut self, item: u32, similarity: f32) {
        if self.k == 0 {
            self.items.push((item, similarity));
        } else if self.items.len() < self.k || similarity >= self.bar {
            let at = self.items.partition_point(|other| order(*other, (item, similarity)).is_lt());
            self.items.insert(at, (item, similarity));
            self.items.truncate(self.k);
            if self.items.len() == self.k {
                self.bar = self.items[self.k - 1].1;
            }
        }
    }

    fn finish(mut self) -> Vec<(u32, f32)> {
        if self.k == 0 {
            self.items.sort_unstable_by(|a, b| order(*a, *b));
        }
        self.items
    }
}

/// The most similar items of every item, filled from all threads.
struct Lists {
    best: Vec<Mutex<Best>>,
    /// The lists' thresholds, possibly outdated: items below them need no lock.
    bars: Vec<AtomicU32>,
}

impl Lists {
    fn new(n: usize, k: usize) -> Self {
        let bar = f32::NEG_INFINITY.to_bits();
        Self {
            best: (0..n).map(|_| Mutex::new(Best::new(k))).collect(),
            bars: (0..n).map(|_| AtomicU32::new(bar)).collect(),
        }
    }

    fn offer(&self, to: usize, item: u32, similarity: f32) {
        if similarity >= f32::from_bits(self.bars[to].load(Relaxed)) {
            self.with(to, |best| best.offer(item, similarity));
        }
    }

    fn with(&self, to: usize, change: impl FnOnce(&mut Best)) {
        // A list is consistent between two offers: after a panic of its holder it can still be read.
        let mut best = self.best[to].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut best);
        self.bars[to].store(best.bar.to_bits(), Relaxed);
    }

    fn finish(self) -> Vec<Vec<(u32, f32)>> {
        let best = self
            .best
            .into_par_iter()
            .map(|best| best.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
        best.map(Best::finish).collect()
    }
}

/// Pairs of items waiting to be added to both items' lists.
struct Pairs<'a> {
    units: &'a Units,
    settings: &'a Settings,
    scales: Scales,
    lists: &'a Lists,
}

impl Pairs<'_> {
    /// Offers `item` and each of the items that come with `c_ij` and the units shared, to one another.
    fn offer(&self, item: usize, met: impl Iterator<Item = (usize, f64, u32)>) {
        let least = self.settings.min_cointeraction_count.max(1);
        let mut own = Best::new(self.settings.neighbours);
        for (other, sum, count) in met {
            if count >= least {
                let base = self.units.weigh(self.settings, item, other, sum);
                own.offer(other as u32, Units::similarity(&self.scales, item, other, base));
                self.lists.offer(other, item as u32, Units::similarity(&self.scales, other, item, base));
            }
        }
        self.lists.with(item, |best| {
            own.items.iter().for_each(|(other, similarity)| best.offer(*other, *similarity));
        });
    }

    /// Offers the pairs of `item` and the items after it, by counters of all items, which begin and end as
    /// zeros.
    fn met<C: Copy + Default + std::ops::AddAssign + From<u8> + Into<u32>>(
        &self,
        item: usize,
        holders: &[(u32, u32)],
        counts: &mut [C],
    ) {
        for holder in holders {
            self.units.items[self.units.after(*holder)]
                .iter()
                .for_each(|other| counts[*other as usize] += C::from(1));
        }
        let after = item + 1;
        let met =
            counts[after..].iter().map(|count| (*count).into()).enumerate().filter(|(_, count)| *count > 0);
        self.offer(item, met.map(|(at, count)| (after + at, f64::from(count), count)));
        counts[after..].fill(C::default());
    }
}

/// The values at the two percentiles of `sorted`.
fn at(sorted: &[usize], low: f64, high: f64) -> (usize, usize) {
    let of = |share: f64| {
        sorted.get(((sorted.len().max(1) - 1) as f64 * share).round() as usize).copied().unwrap_or(0)
    };
    (of(low), of(high))
}

/// Units of some users, one after the other.
#[derive(Default)]
struct Closed {
    ends: Vec<usize>,
    items: Vec<u32>,
    ages: Vec<f32>,
}

impl Closed {
    /// Ends a unit: each item once, its newest row.
    fn close(&mut self, unit: &mut Vec<(u32, i64)>, newest: i64) {
        if unit.is_empty() {
            return;
        }
        unit.sort_unstable_by_key(|(item, time)| (*item, std::cmp::Reverse(*time)));
        unit.dedup_by_key(|(item, _)| *item);
        self.items.extend(unit.iter().map(|(item, _)| *item));
        self.ages.extend(unit.iter().map(|(_, time)| ((newest - time) as f64 * DAYS) as f32));
        self.ends.push(self.items.len());
        unit.clear();
    }
}

impl Units {
    pub fn new(settings: &Settings, train: &Histories) -> Self {
        let n_items = train.n_items();
        let blocks = Self::blocks(settings, train);
        let mut units = Self {
            unit_offsets: vec![0],
            items: Vec::with_capacity(train.len()),
            ages: Vec::with_capacity(train.len()),
            item_offsets: Vec::new(),
            holders: Vec::new(),
            weights: vec![0.0; n_items],
            total: 0.0,
            n_items,
        };
        for block in blocks {
            let before = units.items.len();
            units.items.extend(block.items);
            units.ages.extend(block.ages);
            units.unit_offsets.extend(block.ends.iter().map(|end| before + end));
        }
        units.weigh_units(settings);
        let (item_offsets, entries) = by_item(&units.unit_offsets, &units.items, n_items);
        units.item_offsets = item_offsets;
        units.holders = entries
            .into_iter()
            .map(|(unit, place)| (unit, (place - units.unit_offsets[unit as usize]) as u32))
            .collect();
        units
    }

    /// The units of users and items inside the percentiles, in blocks of users.
    fn blocks(settings: &Settings, train: &Histories) -> Vec<Closed> {
        let n_items = train.n_items();
        let newest = train.timestamps().iter().max().unwrap_or(0);
        let mut popularity = vec![0_usize; n_items];
        train.items().iter().for_each(|item| popularity[*item as usize] += 1);
        let mut sorted: Vec<usize> = popularity.iter().copied().filter(|n| *n > 0).collect();
        sorted.sort_unstable();
        let items = at(
            &sorted,
            settings.min_item_interaction_count_percentile,
            settings.max_item_interaction_count_percentile,
        );
        let mut lengths: Vec<usize> =
            (0..train.n_users() as u32).map(|user| train.range(user).len()).filter(|n| *n > 0).collect();
        lengths.sort_unstable();
        let users = at(
            &lengths,
            settings.min_user_history_length_percentile,
            settings.max_user_history_length_percentile,
        );
        let gaps = (settings.sessions > 0).then(|| IdleGaps::new(vec![settings.sessions]).ok()).flatten();

        let of_users = |block: &[u32]| {
            let (mut closed, mut unit) = (Closed::default(), Vec::new());
            for user in block {
                let history = train.user(*user);
                if !(users.0..=users.1).contains(&history.len()) {
                    continue;
                }
                for row in 0..history.len() {
                    let begins = row > 0
                        && gaps.as_ref().is_some_and(|gaps| {
                            gaps.crossed(history.timestamps.at(row) - history.timestamps.at(row - 1)) > 0
                        });
                    if begins {
                        closed.close(&mut unit, newest);
                    }
                    if (items.0..=items.1).contains(&popularity[history.items[row] as usize]) {
                        unit.push((history.items[row], history.timestamps.at(row)));
                    }
                }
                closed.close(&mut unit, newest);
            }
            closed
        };
        let all: Vec<u32> = (0..train.n_users() as u32).collect();
        all.par_chunks(256).map(of_users).collect()
    }

    /// `s_i`, and the weight of all units.
    fn weigh_units(&mut self, settings: &Settings) {
        let age = |days: f32| {
            if settings.age_half_life > 0.0 {
                (-f64::from(days) / settings.age_half_life).exp2()
            } else {
                1.0
            }
        };
        // `T` is the newest row that takes part: the newest of all may be of a user or an item outside the
        // percentiles.
        if settings.age_half_life > 0.0 {
            let youngest = self.ages.iter().copied().fold(f32::INFINITY, f32::min);
            self.ages.iter_mut().for_each(|days| *days -= youngest);
        }
        for (item, days) in self.items.iter().zip(&self.ages) {
            self.weights[*item as usize] += age(*days);
        }
        // Where nothing is left of an item's weight, quotients by it would be infinite.
        let least = LEAST * self.weights.iter().copied().fold(0.0, f64::max);
        for item in &self.items {
            let weight = &mut self.weights[*item as usize];
            *weight = weight.max(least);
        }
        let weights = self
            .unit_offsets
            .windows(2)
            .map(|span| self.ages[span[0]..span[1]].iter().map(|days| age(*days)).fold(0.0, f64::max));
        self.total = weights.sum();
    }

    /// `s_i` as shares of the highest.
    pub fn shares(&self) -> Vec<f32> {
        let highest = self.weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        self.weights.iter().map(|weight| (weight / highest) as f32).collect()
    }

    /// For each item its most similar ones, most similar first.
    ///
    /// # Errors
    /// [`crate::ModelError::Interrupted`] when asked to stop, [`crate::ModelError::Device`] when the device
    /// fails.
    pub fn neighbours(&self, settings: &Settings, context: &FitContext) -> Result<Vec<Vec<(u32, f32)>>> {
        #[cfg(feature = "burn")]
        if !context.device.is_flex() {
            return self.tiled(settings, context);
        }
        self.counted(settings, context)
    }

    /// [`neighbours`](Self::neighbours), counting.
    pub(super) fn counted(&self, settings: &Settings, context: &FitContext) -> Result<Vec<Vec<(u32, f32)>>> {
        let lists = Lists::new(self.n_items, settings.neighbours);
        let pairs = Pairs { units: self, settings, scales: self.scales(settings), lists: &lists };
        let row = || Row {
            sums: vec![0.0; self.n_items],
            counts: vec![0; self.n_items],
            short: vec![0; self.n_items],
            touched: Vec::new(),
        };
        let of = |row: &mut Row, item: usize| -> Result<()> {
            context.go_on()?;
            let holders = &self.holders[self.item_offsets[item]..self.item_offsets[item + 1]];
            let increments: usize = holders.iter().map(|holder| self.after(*holder).len()).sum();
            if settings.decays() || 4 * increments < self.n_items - item {
                self.count(settings, holders, row);
                let (sums, counts) = (&mut row.sums, &mut row.counts);
                let met = row.touched.drain(..).map(|other| {
                    let at = other as usize;
                    (at, f64::from(std::mem::take(&mut sums[at])), std::mem::take(&mut counts[at]))
                });
                pairs.offer(item, met);
            } else if u16::try_from(holders.len()).is_ok() {
                // Most items occur: counting needs no list of them. Short counters stay closer to the
                // processor.
                pairs.met(item, holders, &mut row.short);
            } else {
                pairs.met(item, holders, &mut row.counts);
            }
            Ok(())
        };
        (0..self.n_items).into_par_iter().map_init(row, of).collect::<Result<()>>()?;
        Ok(lists.finish())
    }

    /// The entries of a unit after an item's.
    fn after(&self, (unit, place): (u32, u32)) -> std::ops::Range<usize> {
        self.unit_offsets[unit as usize] + place as usize + 1..self.unit_offsets[unit as usize + 1]
    }

    /// The part of a pair's similarity that depends on one of the two items only.
    pub(super) fn scales(&self, settings: &Settings) -> Scales {
        let discount = 0.5 - settings.popularity_discount_factor;
        let base = |weight: f64| {
            if settings.weight == Weight::Cosine { 1.0 / (weight + settings.shrinkage).sqrt() } else { 1.0 }
        };
        let bases: Vec<f64> = self.weights.iter().map(|weight| base(*weight)).collect();
        let factors = self
            .shares()
            .iter()
            .zip(&bases)
            .map(|(share, base)| base * f64::from(*share).max(1e-12).powf(discount))
            .collect();
        Scales { bases, factors }
    }

    /// The items most similar to `item`, of those that come with `c_ij` and the units shared.
    #[cfg(feature = "burn")]
    pub(super) fn best(
        &self,
        settings: &Settings,
        scales: &Scales,
        item: usize,
        met: impl Iterator<Item = (usize, f64, u32)>,
    ) -> Vec<(u32, f32)> {
        let least = settings.min_cointeraction_count.max(1);
        let mut best = Best::new(settings.neighbours);
        for (other, sum, count) in met {
            if other != item && count >= least {
                best.offer(
                    other as u32,
                    Self::similarity(scales, item, other, self.weigh(settings, item, other, sum)),
                );
            }
        }
        best.finish()
    }

    /// Gathers `c_ij` and the number of shared units of the item that `holders` hold with the items after it.
    fn count(&self, settings: &Settings, holders: &[(u32, u32)], row: &mut Row) {
        let (gap, age) = settings.rates();
        for holder in holders {
            let span = self.after(*holder);
            let own = self.ages[span.start - 1];
            for (other, days) in self.items[span.clone()].iter().zip(&self.ages[span]) {
                let at = *other as usize;
                if row.counts[at] == 0 {
                    row.touched.push(*other);
                }
                row.counts[at] += 1;
                row.sums[at] += if gap + age == 0.0 {
                    1.0
                } else {
                    (-(own - days).abs() * gap - own.min(*days) * age).exp2()
                };
            }
        }
    }

    /// The similarity that `item`'s list gives `other`, from the pair's base weight.
    fn similarity(scales: &Scales, item: usize, other: usize, base: f64) -> f32 {
        (base * scales.bases[item] * scales.factors[other]) as f32
    }

    /// The base weight of a pair with `c_ij = both`; of the cosine what is not either item's alone.
    fn weigh(&self, settings: &Settings, i: usize, j: usize, both: f64) -> f64 {
        // In one order, so that a pair has one weight to the last bit.
        let (a, b, k) = (self.weights[i.min(j)], self.weights[i.max(j)], settings.shrinkage);
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
