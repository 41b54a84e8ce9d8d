//! Where each parameter stands, its first value and its penalty.

use super::correction::INPUTS;
use super::{Dense, Settings, Shape};
use foretaste_data::rng;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// Sizes that settings and data determine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sizes {
    pub shape: Shape,
    pub users: usize,
    pub items: usize,
    /// Width of the raters' vectors; 0 for free vectors of items.
    pub raters: usize,
    pub bag: usize,
    /// Attribute codes of users and of items.
    pub user_codes: usize,
    pub item_codes: usize,
    pub bins: Bins,
}

/// Parts of the time that training rows span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bins {
    pub n: usize,
    /// First and last time.
    pub first: i64,
    pub last: i64,
}

impl Bins {
    /// The part that a time falls into; the first or last one for times beyond.
    pub fn of(self, time: i64) -> usize {
        let share = |time: i64| time.clamp(self.first, self.last) as f64 - self.first as f64;
        let part = share(time) / (share(self.last) + 1.0) * self.n as f64;
        (part as usize).min(self.n.saturating_sub(1))
    }
}

/// Ranges of the parameters in one list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub mean: Range<usize>,
    pub bias: Range<usize>,
    pub log_bias_variance: Range<usize>,
    /// Logarithm of the biases' prior deviation.
    pub log_bias_deviation: Range<usize>,
    pub rater: Range<usize>,
    pub rater_out: Range<usize>,
    pub rating: Range<usize>,
    pub rating_out: Range<usize>,
    pub free: Range<usize>,
    pub bag: Range<usize>,
    pub bag_out: Range<usize>,
    pub empty: Range<usize>,
    pub log_kappa: Range<usize>,
    pub log_noise: Range<usize>,
    pub item_noise: Range<usize>,
    pub log_n0: Range<usize>,
    /// Log odds of what is left after a gap: `[gaps, levels + 1]`.
    pub drift: Range<usize>,
    pub log_variances: Range<usize>,
    pub hidden: Range<usize>,
    pub hidden_bias: Range<usize>,
    pub hidden_out: Range<usize>,
    pub bend: Range<usize>,
    pub bend_shift: Range<usize>,
    pub bend_out: Range<usize>,
    /// What each attribute adds to what is expected of a user, and to an item's vector:
    /// `[codes, 1 + tastes]`.
    pub user_codes: Range<usize>,
    pub item_codes: Range<usize>,
    /// Levels of items over time, `[items, bins]`.
    pub bins: Range<usize>,
    /// From an item's tastes and attributes to its kind, `[tastes, kinds]`, `[kinds]`, `[codes, kinds]`; what
    /// a streak of each does, `[kinds]`; log odds of what is left of it after a gap.
    pub kind_out: Range<usize>,
    pub kind_bias: Range<usize>,
    pub kind_codes: Range<usize>,
    pub streak: Range<usize>,
    pub fade: Range<usize>,
}

/// Gaps in seconds for which drifts begin at [`LEVELS`] and [`TASTES`].
const KNOTS: [i64; 7] = [0, 5, 60, 600, 7200, 86_400, 2_592_000];

/// First log odds of what a gap leaves of each level: one that hardly moves, one of a sitting and the next
/// days, one of some rows, one of a few.
const LEVELS: [[f32; 7]; super::settings::HEIGHT] = [
    [6.0; 7],
    [6.0, 5.5, 5.0, 4.0, 1.0, 1.0, 0.0],
    [3.0, 2.5, 1.0, 0.0, -1.0, -1.0, -1.0],
    [1.0, 0.5, 0.0, -1.0, -1.0, -1.0, -1.0],
];

/// The same of tastes.
const TASTES: [f32; 7] = [8.0, 8.0, 7.0, 6.0, 5.0, 5.0, 4.0];

/// First effect of a streak on a like item: dis-interest.
const STREAK: f32 = -0.5;

/// Deviation of the first weights from tastes to kinds.
const KIND: f32 = 2.0;

/// First variances of the levels, in standard units.
const VARIANCES: [f32; super::settings::HEIGHT] = [0.12, 0.08, 0.1, 0.1];

impl Layout {
    /// The layout and the number of parameters.
    pub fn new(sizes: Sizes) -> (Self, usize) {
        let mut end = 0;
        let mut next = |n: usize| {
            end += n;
            end - n..end
        };
        let Sizes { shape, users, items, raters, bag, user_codes, item_codes, bins } = sizes;
        let k = shape.item();
        let users = if raters > 0 { users } else { 0 };
        let layout = Self {
            mean: next(1),
            bias: next(items),
            log_bias_variance: next(items),
            log_bias_deviation: next(1),
            rater: next(users * raters),
            rater_out: next(raters * k),
            rating: next(users * raters),
            rating_out: next(raters * k),
            free: next(if raters > 0 { 0 } else { items * shape.tastes }),
            bag: next(items * bag),
            bag_out: next(bag * k),
            empty: next(k),
            log_kappa: next(1),
            log_noise: next(1),
            item_noise: next(items),
            log_n0: next(1),
            drift: next(shape.gaps * (shape.levels + 1)),
            log_variances: next(shape.levels),
            hidden: next(INPUTS * shape.hidden),
            hidden_bias: next(shape.hidden),
            hidden_out: next(shape.hidden),
            bend: next(shape.bend),
            bend_shift: next(shape.bend),
            bend_out: next(shape.bend),
            user_codes: next(user_codes * k),
            item_codes: next(item_codes * k),
            bins: next(items * bins.n),
            kind_out: next(shape.tastes * shape.kinds),
            kind_bias: next(shape.kinds),
            kind_codes: next(item_codes * shape.kinds),
            streak: next(shape.kinds),
            fade: next(if shape.kinds > 0 { shape.gaps } else { 0 }),
        };
        (layout, end)
    }

    /// First values. `counts` are the items' numbers of training rows, `mean` their mean rating.
    pub fn first(&self, sizes: Sizes, settings: &Settings, mean: f32, counts: &[u32], seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.fade.end];
        let random = &mut rng(seed, "hrnn first values");
        let root = |n: usize| (n.max(1) as f32).sqrt();
        let drawn = [
            (&self.rater, 0.03),
            (&self.rating, 0.03),
            (&self.rater_out, 0.3 / root(sizes.raters)),
            (&self.rating_out, 0.3 / root(sizes.raters)),
            (&self.free, 0.05),
            (&self.bag, 0.03),
            (&self.bag_out, 0.3 / root(sizes.bag)),
            (&self.hidden, 1.0 / 3.0),
            (&self.bend, 1.0),
            (&self.bend_shift, 1.0),
            (&self.kind_out, KIND),
            (&self.kind_codes, 1.0),
        ];
        for (range, deviation) in drawn {
            values[range.clone()].iter_mut().for_each(|x| {
                let z: f32 = StandardNormal.sample(random);
                *x = deviation * z;
            });
        }
        values[self.mean.start] = mean;
        for (x, n) in values[self.log_bias_variance.clone()].iter_mut().zip(counts) {
            // Of a bias with the prior deviation .3 after n ratings of variance 1.
            *x = -(1.0 / 0.09 + *n as f32).ln();
        }
        values[self.log_bias_deviation.start] = 0.5_f32.ln();
        values[self.log_kappa.start] = 5.0_f32.ln();
        values[self.log_noise.start] = 0.75_f32.ln();
        values[self.log_n0.start] = 20.0_f32.ln();
        values[self.streak.clone()].fill(STREAK);
        for (class, x) in values[self.fade.clone()].iter_mut().enumerate() {
            let gap = if class == 0 { 0 } else { settings.gaps[class - 1] };
            *x = if gap < 7200 { 2.0 } else { 0.0 };
        }
        let levels = sizes.shape.levels;
        let drift = &mut values[self.drift.clone()];
        for (class, row) in drift.chunks_exact_mut(levels + 1).enumerate() {
            let gap = if class == 0 { 0 } else { settings.gaps[class - 1] };
            let knot = KNOTS.iter().rposition(|knot| *knot <= gap).unwrap_or(0);
            row.iter_mut().zip(&LEVELS).for_each(|(x, level)| *x = level[knot]);
            row[levels] = TASTES[knot];
        }
        for (x, variance) in values[self.log_variances.clone()].iter_mut().zip(VARIANCES) {
            *x = variance.ln();
        }
        values
    }

    /// Weights of the squared parameters in the loss, over the number of training rows.
    pub fn penalties(&self, settings: &Settings) -> [(Range<usize>, f32); 13] {
        [
            (self.rater.clone(), settings.rater_penalty),
            (self.rating.clone(), settings.rater_penalty),
            (self.rater_out.clone(), 1.0),
            (self.rating_out.clone(), 1.0),
            (self.free.clone(), settings.vector_penalty),
            (self.bag.clone(), settings.bag_penalty),
            (self.empty.clone(), 1.0),
            (self.item_noise.clone(), settings.noise_penalty),
            (self.user_codes.clone(), settings.attribute_penalty),
            (self.item_codes.clone(), settings.attribute_penalty),
            (self.bins.clone(), 1.0),
            (self.kind_out.clone(), 1.0),
            (self.kind_codes.clone(), 1.0),
        ]
    }

    /// The shared parameters as the filter reads them.
    pub fn dense(&self, values: &[f32], range: (f32, f32)) -> Dense {
        let of = |range: &Range<usize>| values[range.clone()].to_vec();
        let exp = |range: &Range<usize>| values[range.start].exp();
        let odds = |range: &Range<usize>| -> Vec<f32> {
            values[range.clone()].iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect()
        };
        Dense {
            drift: odds(&self.drift),
            variances: of(&self.log_variances).iter().map(|x| x.exp()).collect(),
            n0: exp(&self.log_n0),
            kappa: exp(&self.log_kappa),
            empty: of(&self.empty),
            kind_out: of(&self.kind_out),
            kind_bias: of(&self.kind_bias),
            fade: odds(&self.fade),
            streak: of(&self.streak),
            hidden: of(&self.hidden),
            hidden_bias: of(&self.hidden_bias),
            hidden_out: of(&self.hidden_out),
            bend: of(&self.bend),
            bend_shift: of(&self.bend_shift),
            bend_out: of(&self.bend_out),
            range,
        }
    }

    /// Adds the gradients of the shared parameters to `gradient`.
    pub fn add_dense(&self, from: &Dense, gradient: &mut [f32]) {
        let ranges = [
            (&self.drift, &from.drift),
            (&self.log_variances, &from.variances),
            (&self.empty, &from.empty),
            (&self.kind_out, &from.kind_out),
            (&self.kind_bias, &from.kind_bias),
            (&self.fade, &from.fade),
            (&self.streak, &from.streak),
            (&self.hidden, &from.hidden),
            (&self.hidden_bias, &from.hidden_bias),
            (&self.hidden_out, &from.hidden_out),
            (&self.bend, &from.bend),
            (&self.bend_shift, &from.bend_shift),
            (&self.bend_out, &from.bend_out),
        ];
        for (range, from) in ranges {
            gradient[range.clone()].iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
        gradient[self.log_n0.start] += from.n0;
        gradient[self.log_kappa.start] += from.kappa;
    }
}
