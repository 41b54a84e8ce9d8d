//! One sweep over all parameters of a machine, coordinate by coordinate: alternating least squares
//! or, with noise, Gibbs sampling.
//!
//! The prediction is linear in each parameter alone: `y = y_0 + theta h`. Given all others,
//!
//! ```text
//! theta | . ~ N(m, 1/p),   p = alpha sum_r h_r^2 + lambda_g
//!                          m = (alpha sum_r h_r (e_r + h_r theta) + lambda_g mu_g) / p
//! ```
//!
//! (Freudenthaler, Schmidt-Thieme and Rendle 2011, *Bayesian Factorization Machines*; Rendle 2012,
//! algorithms 2 and 4). ALS takes `m`, Gibbs sampling draws. With `h_r = x_j (o_r + u_t)`, where
//! `o_r` is what the row's other blocks contribute and `u_t` what the part's other features do, the
//! sums over rows fold into sums over parts, `n`, `sum o`, `sum o^2`, `sum o e` and `sum e`, so a
//! sweep over a block's features costs its parts' size rather than the rows' (Rendle 2013, section 4).
//!
//! Sums over rows run over a fixed number of chunks, added in order: threads change no bit.

use super::design::{Block, Columns, Design};
use super::machine::Machine;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Chunks of rows; decides the order of sums.
const CHUNKS: usize = 16;

/// Prior of one group of features in one dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prior {
    pub mean: f32,
    pub precision: f32,
}

/// The values of a part that a sweep over its features needs: one cache line.
///
/// With `u` what the part's other features contribute to `q`, a step of one feature's parameter moves
/// `moving -= step (level + u slope)`, four numbers at once.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Part {
    /// `sum e` and `sum o e` over the part's rows, less the change of the part's own contribution, `q_t`.
    moving: [f32; 4],
    /// `sum o`, `sum o^2`, 0, -1.
    level: [f32; 4],
    /// Number of rows, `sum o`, -1, 0.
    slope: [f32; 4],
}

impl Part {
    fn new(q: f32, rows: f32, [e, oe, o, oo]: [f32; 4]) -> Self {
        Self { moving: [e, oe, 0.0, q], level: [o, oo, 0.0, -1.0], slope: [rows, o, -1.0, 0.0] }
    }

    fn q(&self) -> f32 {
        self.moving[3]
    }

    /// Change of the part's own contribution.
    fn own(&self) -> f32 {
        self.moving[2]
    }
}

struct BlockPlan {
    columns: Columns,
    /// Rows of each part.
    counts: Vec<f32>,
    /// Where each chunk of rows stores its parts' sums.
    slots: Slots,
    /// Whether neighbouring rows mostly share a part.
    runs: bool,
}

/// Where a chunk of rows stores the sums of its parts.
enum Slots {
    /// One slot for each part from the chunk's first to its last: the first, and how many.
    Spans(Vec<(usize, usize)>),
    /// Few of these parts have rows in the chunk: a slot for each that has, and each row's slot.
    Listed { parts: Vec<Vec<u32>>, of_rows: Vec<u32> },
}

impl Slots {
    fn new(rows: &[u32], chunk: usize) -> Self {
        let span = |rows: &[u32]| {
            let (low, high) = rows.iter().fold((u32::MAX, 0), |(low, high), p| (low.min(*p), high.max(*p)));
            (low as usize, high as usize + 1 - low as usize)
        };
        let spans: Vec<(usize, usize)> = rows.chunks(chunk).map(span).collect();
        // An unused slot costs as much as a row.
        if spans.iter().map(|(_, length)| length).sum::<usize>() < rows.len() {
            return Self::Spans(spans);
        }
        let mut slot_of = vec![u32::MAX; rows.iter().max().map_or(0, |last| *last as usize + 1)];
        let (mut parts, mut of_rows) = (Vec::new(), Vec::with_capacity(rows.len()));
        for rows in rows.chunks(chunk) {
            let mut listed = Vec::new();
            for part in rows {
                if std::mem::replace(&mut slot_of[*part as usize], 0) == u32::MAX {
                    listed.push(*part);
                }
            }
            listed.sort_unstable();
            listed.iter().zip(0..).for_each(|(part, slot)| slot_of[*part as usize] = slot);
            of_rows.extend(rows.iter().map(|part| slot_of[*part as usize]));
            listed.iter().for_each(|part| slot_of[*part as usize] = u32::MAX);
            parts.push(listed);
        }
        Self::Listed { parts, of_rows }
    }

    /// The parts of a chunk's slots.
    fn parts(&self, chunk: usize) -> impl Iterator<Item = usize> {
        let (span, listed) = match self {
            Self::Spans(spans) => (spans[chunk].0..spans[chunk].0 + spans[chunk].1, &[][..]),
            Self::Listed { parts, .. } => (0..0, parts[chunk].as_slice()),
        };
        span.chain(listed.iter().map(|part| *part as usize))
    }

    /// What each row of a chunk is found by, and what is taken off it for its slot; `rows` are the rows'
    /// parts.
    fn of_rows<'a>(&'a self, chunk: usize, from: usize, rows: &'a [u32]) -> (&'a [u32], usize) {
        match self {
            Self::Spans(spans) => (rows, spans[chunk].0),
            Self::Listed { of_rows, .. } => (&of_rows[from..from + rows.len()], 0),
        }
    }
}

/// Buffers that sweeps reuse.
#[derive(Default)]
struct Scratch {
    /// The sums of each chunk's slots.
    sums: Vec<Vec<Sums>>,
    /// The sums of each part over all chunks.
    totals: Vec<[f32; 4]>,
    parts: Vec<Part>,
    /// The last block's changes, per part: `q` before, `q`'s change, its own contribution's change.
    changes: Vec<[f32; 3]>,
}

/// Data shared by the sweeps over one design.
pub(super) struct Sweeper<'a> {
    design: &'a Design,
    plans: Vec<BlockPlan>,
    /// Rows a chunk.
    chunk: usize,
}

/// A chunk's sums for a part of the next block.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Sums {
    q: f32,
    /// `sum e`, `sum o e`, `sum o`, `sum o^2`.
    terms: [f32; 4],
}

impl<'a> Sweeper<'a> {
    pub fn new(design: &'a Design) -> Self {
        let chunk = design.len().div_ceil(CHUNKS).max(1);
        let plan = |block: &Block| {
            let mut counts = vec![0.0; block.n_parts()];
            block.rows.iter().for_each(|part| counts[*part as usize] += 1.0);
            let changes = block.rows.windows(2).filter(|pair| pair[0] != pair[1]).count();
            BlockPlan {
                columns: block.columns(),
                counts,
                slots: Slots::new(&block.rows, chunk),
                runs: changes * 4 < block.rows.len(),
            }
        };
        Self { design, plans: design.blocks().iter().map(plan).collect(), chunk }
    }

    /// Whether any row has the feature.
    pub fn occurs(&self, block: usize, feature: usize) -> bool {
        !self.plans[block].columns.of(feature).is_empty()
    }

    /// Sweeps over all weights, then over the factors, dimension by dimension. `errors` are target
    /// less prediction of each row and stay so. `priors(dimension, group)` has dimension `factors`
    /// for the weights. With a generator parameters are drawn, without they are set to their means.
    pub fn sweep<R: Rng>(
        &self,
        machine: &mut Machine,
        folded: &[Vec<f32>],
        errors: &mut [f32],
        alpha: f32,
        priors: impl Fn(usize, u32) -> Prior,
        mut random: Option<&mut R>,
    ) {
        let (width, factors) = (machine.width(), machine.factors);
        let blocks = self.design.blocks();
        // The sum of q over each row's blocks, in the current dimension.
        let totals = &mut vec![0.0_f32; errors.len()];
        let mut scratch = Scratch { sums: (0..CHUNKS).map(|_| Vec::new()).collect(), ..Scratch::default() };
        // The block whose changes have not been applied to the rows yet.
        let mut pending: Option<usize> = None;
        for dimension in std::iter::once(factors).chain(0..factors) {
            let linear = dimension == factors;
            // In the linear dimension no other block and no other feature enters.
            let q: Vec<Vec<f32>> = folded
                .iter()
                .map(|table| {
                    if linear {
                        vec![0.0; table.len() / width]
                    } else {
                        table.iter().skip(dimension).step_by(width).copied().collect()
                    }
                })
                .collect();
            for (place, block) in blocks.iter().enumerate() {
                let fresh = (place == 0).then_some(q.as_slice());
                self.gather(place, &q[place], fresh, pending, errors, totals, linear, &mut scratch);
                let table = &mut machine.tables[place];
                let columns = &self.plans[place].columns;
                for (feature, group) in block.groups().iter().enumerate() {
                    let value = &mut table[feature * width + dimension];
                    let prior = priors(dimension, *group);
                    let entries = columns.of(feature);
                    if entries.is_empty() {
                        *value = prior.mean;
                        continue;
                    }
                    let noise: f32 = random.as_mut().map_or(0.0, |random| StandardNormal.sample(*random));
                    let step = if linear { update::<true> } else { update::<false> };
                    *value = step(&mut scratch.parts, entries, *value, alpha, prior, noise);
                }
                // A weight's change is its part's own contribution.
                let change = |(part, old): (&Part, &f32)| {
                    if linear { [0.0, 0.0, part.q()] } else { [*old, part.q() - old, part.own()] }
                };
                scratch.changes.clear();
                scratch.changes.extend(scratch.parts.iter().zip(&q[place]).map(change));
                pending = Some(place);
            }
        }
        if let Some(place) = pending {
            let changes = &scratch.changes;
            let chunks = errors.par_chunks_mut(self.chunk).zip(totals.par_chunks_mut(self.chunk));
            chunks.zip(blocks[place].rows.par_chunks(self.chunk)).for_each(|((errors, totals), rows)| {
                for ((error, total), part) in errors.iter_mut().zip(totals).zip(rows) {
                    take_in(changes, *part, error, total);
                }
            });
        }
    }

    /// Takes the changes of block `pending` into errors and totals, and puts together what a sweep over block
    /// `place` needs. Where a dimension begins, totals are those of the `fresh` `q` of all blocks.
    #[allow(clippy::too_many_arguments)] // One caller, which has all of it.
    fn gather(
        &self,
        place: usize,
        q: &[f32],
        fresh: Option<&[Vec<f32>]>,
        pending: Option<usize>,
        errors: &mut [f32],
        totals: &mut [f32],
        linear: bool,
        scratch: &mut Scratch,
    ) {
        let (plan, blocks) = (&self.plans[place], self.design.blocks());
        let changes = &scratch.changes;
        errors
            .par_chunks_mut(self.chunk)
            .zip(totals.par_chunks_mut(self.chunk))
            .zip(blocks[place].rows.par_chunks(self.chunk))
            .zip(scratch.sums.par_iter_mut())
            .enumerate()
            .for_each(|(chunk, (((errors, totals), rows), sums))| {
                sums.clear();
                sums.extend(plan.slots.parts(chunk).map(|part| Sums { q: q[part], terms: [0.0; 4] }));
                let n = rows.len();
                let going = pending
                    .map(|changed| (changes.as_slice(), &blocks[changed].rows[chunk * self.chunk..][..n]));
                match (fresh, going) {
                    (Some(q), _) => self.begin(chunk, q, going, errors, totals, sums),
                    (None, None) => {}
                    (None, Some((changes, changed))) => {
                        let (errors, totals) = (&mut errors[..n], &mut totals[..n]);
                        let (slots, low) = plan.slots.of_rows(chunk, chunk * self.chunk, rows);
                        collect(sums, low, slots, plan.runs, |row| {
                            take_in(changes, changed[row], &mut errors[row], &mut totals[row])
                        });
                    }
                }
            });
        scratch.totals.clear();
        scratch.totals.resize(plan.counts.len(), [0.0; 4]);
        for (chunk, sums) in scratch.sums.iter().enumerate().take(errors.len().div_ceil(self.chunk)) {
            for (part, sum) in plan.slots.parts(chunk).zip(sums) {
                (0..4).for_each(|at| scratch.totals[part][at] += sum.terms[at]);
            }
        }
        let part = |((q, rows), [e, oe, o, oo]): ((&f32, &f32), &[f32; 4])| {
            // In the linear dimension h = x: as if every row's other blocks contributed 1.
            Part::new(*q, *rows, if linear { [*e, *e, *rows, *rows] } else { [*e, *oe, *o, *oo] })
        };
        scratch.parts.clear();
        scratch.parts.extend(q.iter().zip(&plan.counts).zip(&scratch.totals).map(part));
    }
}

type Going<'a> = Option<(&'a [[f32; 3]], &'a [u32])>;

impl Sweeper<'_> {
    /// The sums of a dimension's first block, and its totals.
    fn begin(
        &self,
        chunk: usize,
        q: &[Vec<f32>],
        going: Going,
        errors: &mut [f32],
        totals: &mut [f32],
        sums: &mut [Sums],
    ) {
        match q.len() {
            1 => self.begin_blocks::<1>(chunk, q, going, errors, totals, sums),
            2 => self.begin_blocks::<2>(chunk, q, going, errors, totals, sums),
            3 => self.begin_blocks::<3>(chunk, q, going, errors, totals, sums),
            4 => self.begin_blocks::<4>(chunk, q, going, errors, totals, sums),
            5 => self.begin_blocks::<5>(chunk, q, going, errors, totals, sums),
            _ => self.begin_blocks::<{ super::design::MOST_BLOCKS }>(chunk, q, going, errors, totals, sums),
        }
    }

    fn begin_blocks<const N: usize>(
        &self,
        chunk: usize,
        q: &[Vec<f32>],
        going: Going,
        errors: &mut [f32],
        totals: &mut [f32],
        sums: &mut [Sums],
    ) {
        let n = errors.len();
        let rows: [&[u32]; N] =
            std::array::from_fn(|b| &self.design.blocks()[b].rows[chunk * self.chunk..][..n]);
        let q: [&[f32]; N] = std::array::from_fn(|b| q[b].as_slice());
        let (slots, low) = self.plans[0].slots.of_rows(chunk, chunk * self.chunk, rows[0]);
        let runs = self.plans[0].runs;
        let (errors, totals) = (&mut errors[..n], &mut totals[..n]);
        let fresh = |row: usize| (0..N).map(|b| q[b][rows[b][row] as usize]).sum::<f32>();
        match going {
            None => collect(sums, low, slots, runs, |row| {
                totals[row] = fresh(row);
                (errors[row], totals[row])
            }),
            Some((changes, changed)) => {
                let changed = &changed[..n];
                collect(sums, low, slots, runs, |row| {
                    // The totals are still those of the dimension before.
                    take_in(changes, changed[row], &mut errors[row], &mut totals[row]);
                    totals[row] = fresh(row);
                    (errors[row], totals[row])
                });
            }
        }
    }
}

/// Updates one row for the change of its part; returns its error and total.
#[inline(always)]
#[allow(clippy::inline_always)] // A call a row would cost as much as the row.
fn take_in(changes: &[[f32; 3]], part: u32, error: &mut f32, total: &mut f32) -> (f32, f32) {
    let [q, change, own] = changes[part as usize];
    *error -= (*total - q) * change + own;
    *total += change;
    (*error, *total)
}

/// Sums the rows' terms by part; `value` gives a row's error and total.
#[inline]
fn collect(
    sums: &mut [Sums],
    low: usize,
    rows: &[u32],
    runs: bool,
    mut value: impl FnMut(usize) -> (f32, f32),
) {
    let terms = |q: f32, (error, total): (f32, f32)| {
        let o = total - q;
        [error, o * error, o, o * o]
    };
    let add = |sum: &mut [f32; 4], terms: [f32; 4]| (0..4).for_each(|at| sum[at] += terms[at]);
    if !runs {
        for (row, part) in rows.iter().enumerate() {
            let value = value(row);
            let sum = &mut sums[*part as usize - low];
            add(&mut sum.terms, terms(sum.q, value));
        }
        return;
    }
    // Sums of a run stay in registers: through memory each row would wait for the one before.
    let mut from = 0;
    while from < rows.len() {
        let part = rows[from];
        let run = rows[from..].iter().position(|p| *p != part).unwrap_or(rows.len() - from);
        let sum = &mut sums[part as usize - low];
        let (mut e, mut oe, mut o, mut oo) = (0.0, 0.0, 0.0, 0.0);
        for row in from..from + run {
            let (error, total) = value(row);
            let other = total - sum.q;
            e += error;
            oe += other * error;
            o += other;
            oo += other * other;
        }
        add(&mut sum.terms, [e, oe, o, oo]);
        from += run;
    }
}

/// Sets one parameter given all others and brings the parts that have its feature up to date.
#[inline]
fn update<const LINEAR: bool>(
    parts: &mut [Part],
    entries: &[(u32, f32)],
    value: f32,
    alpha: f32,
    prior: Prior,
    noise: f32,
) -> f32 {
    let rest = |part: &Part, x: f32| if LINEAR { 0.0 } else { part.q() - x * value };
    let one = |(part, x): (u32, f32)| {
        let part = &parts[part as usize];
        let u = rest(part, x);
        (
            x * x * (part.level[1] + u * (2.0 * part.level[0] + part.slope[0] * u)),
            x * (part.moving[1] + u * part.moving[0]),
        )
    };
    // Two sums each: a single one would be a chain of dependent additions.
    let (mut squares, mut products) = ([0.0_f32; 2], [0.0_f32; 2]);
    let (pairs, last) = entries.as_chunks::<2>();
    for pair in pairs {
        for lane in 0..2 {
            let (square, product) = one(pair[lane]);
            squares[lane] += square;
            products[lane] += product;
        }
    }
    for entry in last {
        let (square, product) = one(*entry);
        squares[0] += square;
        products[0] += product;
    }
    let (square, product) = (squares[0] + squares[1], products[0] + products[1]);
    let precision = alpha * square + prior.precision;
    let new = (alpha * (product + square * value) + prior.precision * prior.mean) / precision
        + noise / precision.sqrt();
    let change = new - value;
    for (part, x) in entries {
        let part = &mut parts[*part as usize];
        let (u, step) = (rest(part, *x), x * change);
        for lane in 0..4 {
            part.moving[lane] -= step * (part.level[lane] + u * part.slope[lane]);
        }
    }
    new
}
