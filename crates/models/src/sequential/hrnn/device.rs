//! The filter on a device, by automatic differentiation; `filter` and `backward` are the same on the CPU. All
//! groups of a step run side by side, with what the shorter ones lack filled with entries of no weight.

use super::lanes::{Group, LANES};
use super::{Dense, Shape, correction};
use crate::engine::parameter::{ids, on_device, values};
use crate::{Device, Result};
use burn_tensor::{Gradients, Int, Tensor};

/// The middle of the rating scale, as the correction has it.
const MIDDLE: f32 = correction::MIDDLE;

/// Shared parameters as leaves of the graph, in logarithms and log odds.
struct Leaves {
    drift: Tensor<2>,
    variances: Tensor<2>,
    n0: Tensor<2>,
    kappa: Tensor<2>,
    empty: Tensor<2>,
    kind_out: Tensor<2>,
    kind_bias: Tensor<2>,
    fade: Tensor<2>,
    streak: Tensor<2>,
    bend: Tensor<2>,
    bend_shift: Tensor<2>,
    bend_out: Tensor<2>,
    hidden: Tensor<2>,
    hidden_bias: Tensor<2>,
    hidden_out: Tensor<2>,
}

/// One step's leaves: the item's vector and what it adds to the bag, what attributes say of the user and of
/// the item's kind, and the logarithm of the noise.
struct Entry {
    vector: Tensor<2>,
    bag: Tensor<2>,
    prior: Tensor<2>,
    kinds: Tensor<2>,
    noise: Tensor<2>,
}

/// What is carried from step to step.
struct Carried {
    mean: Tensor<2>,
    covariance: Tensor<3>,
    bag: Tensor<2>,
    prior: Tensor<2>,
    streak: Tensor<2>,
    count: Tensor<2>,
    surprise: Tensor<2>,
}

fn leaf(tensor: Tensor<2>) -> Tensor<2> {
    tensor.autodiff().require_grad()
}

impl Leaves {
    fn new(shape: Shape, dense: &Dense, device: &Device) -> Self {
        let on = |values: Vec<f32>, of: [usize; 2]| leaf(on_device(values, of, device));
        let odds = |rates: &[f32]| -> Vec<f32> { rates.iter().map(|a| (a / (1.0 - a)).ln()).collect() };
        Self {
            drift: on(odds(&dense.drift), [shape.gaps, shape.levels + 1]),
            variances: on(dense.variances.iter().map(|v| v.ln()).collect(), [1, shape.levels]),
            n0: on(vec![dense.n0.ln()], [1, 1]),
            kappa: on(vec![dense.kappa.ln()], [1, 1]),
            empty: on(dense.empty.clone(), [1, shape.item()]),
            // A correction without units is one unit of weight 0, and no kinds are one: no tensor is empty.
            kind_out: on(padded(&dense.kind_out, shape.tastes), [shape.tastes, shape.kinds.max(1)]),
            kind_bias: on(padded(&dense.kind_bias, 1), [1, shape.kinds.max(1)]),
            bend: on(padded(&dense.bend, 1), [1, shape.bend.max(1)]),
            bend_shift: on(padded(&dense.bend_shift, 1), [1, shape.bend.max(1)]),
            bend_out: on(padded(&dense.bend_out, 1), [shape.bend.max(1), 1]),
            fade: on(padded(&odds(&dense.fade), shape.gaps), [shape.gaps, 1]),
            streak: on(padded(&dense.streak, 1), [1, shape.kinds.max(1)]),
            hidden: on(padded(&dense.hidden, correction::INPUTS), [correction::INPUTS, shape.hidden.max(1)]),
            hidden_bias: on(padded(&dense.hidden_bias, 1), [1, shape.hidden.max(1)]),
            hidden_out: on(padded(&dense.hidden_out, 1), [shape.hidden.max(1), 1]),
        }
    }

    fn gradients(&self, shape: Shape, gradients: &mut Gradients, device: &Device) -> Result<Dense> {
        let mut of = |tensor: &Tensor<2>| gradient(tensor, gradients, device);
        let mut dense = Dense::zeros(shape);
        dense.drift = of(&self.drift)?;
        dense.variances = of(&self.variances)?;
        (dense.n0, dense.kappa) = (of(&self.n0)?[0], of(&self.kappa)?[0]);
        dense.empty = of(&self.empty)?;
        if shape.kinds > 0 {
            (dense.fade, dense.streak) = (of(&self.fade)?, of(&self.streak)?);
            (dense.kind_out, dense.kind_bias) = (of(&self.kind_out)?, of(&self.kind_bias)?);
        }
        if shape.bend > 0 {
            (dense.bend, dense.bend_shift) = (of(&self.bend)?, of(&self.bend_shift)?);
            dense.bend_out = of(&self.bend_out)?;
        }
        if shape.hidden > 0 {
            dense.hidden = of(&self.hidden)?;
            dense.hidden_bias = of(&self.hidden_bias)?;
            dense.hidden_out = of(&self.hidden_out)?;
        }
        Ok(dense)
    }
}

fn padded(values: &[f32], rows: usize) -> Vec<f32> {
    if values.is_empty() { vec![0.0; rows] } else { values.to_vec() }
}

fn gradient(tensor: &Tensor<2>, gradients: &mut Gradients, device: &Device) -> Result<Vec<f32>> {
    values(tensor.grad_remove(gradients).unwrap_or_else(|| Tensor::zeros(tensor.dims(), device.burn())))
}

/// Runs the groups forward and back: as [`super::filter::forward`] and [`super::backward::backward`], of all
/// groups together.
pub(super) fn pass(shape: Shape, dense: &Dense, groups: &mut [Group], device: &Device) -> Result<Dense> {
    let steps = groups.iter().map(|group| group.steps).max().unwrap_or(0);
    let n = groups.len() * LANES;
    let leaves = Leaves::new(shape, dense, device);
    let columns = Columns { groups, n, device };
    let entries: Vec<Entry> = (0..steps).map(|t| columns.entry(shape, t)).collect();
    let zeros = |width: usize| on_device(vec![0.0; n * width], [n, width], device).autodiff();
    let mut carried = Carried {
        mean: zeros(shape.state()),
        covariance: zeros(shape.state() * shape.state()).reshape([n, shape.state(), shape.state()]),
        bag: zeros(shape.item()),
        prior: zeros(shape.item()),
        streak: zeros(shape.kinds.max(1)),
        count: zeros(1),
        surprise: zeros(1),
    };
    let mut loss = zeros(1).sum();
    let mut squares = Vec::with_capacity(steps);
    for (t, entry) in entries.iter().enumerate() {
        let (by_step, error) = step(shape, dense.range, &leaves, &columns, (t, entry), &mut carried);
        loss = loss + by_step;
        squares.push(values(error.inner())?);
    }
    let mut gradients = loss.backward();
    let found = leaves.gradients(shape, &mut gradients, device)?;
    for group in groups.iter_mut() {
        group.squares = 0.0;
    }
    for (t, entry) in entries.iter().enumerate() {
        let mut of = |tensor: &Tensor<2>| gradient(tensor, &mut gradients, device);
        let (vector, bag, prior) = (of(&entry.vector)?, of(&entry.bag)?, of(&entry.prior)?);
        let (kinds, noise) = (of(&entry.kinds)?, of(&entry.noise)?);
        for (at, group) in groups.iter_mut().enumerate().filter(|(_, group)| t < group.steps) {
            let k = shape.item();
            let (from, to) = (at * LANES, t * LANES);
            for (column, found, k) in [
                (&mut group.vectors, &vector, k),
                (&mut group.bags, &bag, k),
                (&mut group.priors, &prior, k),
                (&mut group.kinds, &kinds, shape.kinds),
            ] {
                column[to * k..(to + LANES) * k].copy_from_slice(&found[from * k..(from + LANES) * k]);
            }
            group.noise_gradient[to..to + LANES].copy_from_slice(&noise[from..from + LANES]);
            let weights = &group.weights[to..to + LANES];
            let sum: f32 = squares[t][from..from + LANES].iter().zip(weights).map(|(e, w)| w * e * e).sum();
            group.squares += f64::from(sum);
        }
    }
    Ok(found)
}

/// The groups' columns, step by step.
struct Columns<'a> {
    groups: &'a [Group],
    n: usize,
    device: &'a Device,
}

impl Columns<'_> {
    /// One step's `width` numbers an entry; `fill` where a group has ended.
    fn rows(&self, t: usize, width: usize, fill: f32, of: impl Fn(&Group) -> &[f32]) -> Vec<f32> {
        let rows = self.groups.iter().map(|group| {
            let range = t * LANES * width..(t + 1) * LANES * width;
            if t < group.steps { of(group)[range].to_vec() } else { vec![fill; LANES * width] }
        });
        rows.flatten().collect()
    }

    fn column(&self, t: usize, fill: f32, of: impl Fn(&Group) -> &[f32]) -> Tensor<2> {
        on_device(self.rows(t, 1, fill, of), [self.n, 1], self.device)
    }

    fn entry(&self, shape: Shape, t: usize) -> Entry {
        let k = shape.item();
        let on = |values: Vec<f32>, width: usize| leaf(on_device(values, [self.n, width], self.device));
        let noise = self.rows(t, 1, 1.0, |group| &group.noise);
        let kinds = match shape.kinds {
            0 => vec![0.0; self.n],
            kinds => self.rows(t, kinds, 0.0, |group| &group.kinds),
        };
        Entry {
            vector: on(self.rows(t, k, 0.0, |group| &group.vectors), k),
            bag: on(self.rows(t, k, 0.0, |group| &group.bags), k),
            prior: on(self.rows(t, k, 0.0, |group| &group.priors), k),
            kinds: on(kinds, shape.kinds.max(1)),
            noise: on(noise.iter().map(|noise| noise.ln()).collect(), 1),
        }
    }

    /// Classes of gaps, and 0 at first rows.
    fn places(&self, t: usize) -> (Tensor<1, Int>, Tensor<2>) {
        let of = |group: &Group| {
            (0..LANES)
                .map(|l| {
                    if t < group.steps {
                        (group.gaps[t * LANES + l], group.first[t * LANES + l])
                    } else {
                        (0, true)
                    }
                })
                .collect::<Vec<_>>()
        };
        let found: Vec<(u8, bool)> = self.groups.iter().flat_map(of).collect();
        let keep = found.iter().map(|(_, first)| f32::from(u8::from(!first))).collect();
        (
            ids(found.iter().map(|(gap, _)| i32::from(*gap)).collect(), self.device),
            on_device(keep, [self.n, 1], self.device),
        )
    }
}

/// One step; returns its loss and its errors.
fn step(
    shape: Shape,
    range: (f32, f32),
    leaves: &Leaves,
    columns: &Columns,
    (t, entry): (usize, &Entry),
    carried: &mut Carried,
) -> (Tensor<1>, Tensor<2>) {
    let (n, d, levels, tastes) = (columns.n, shape.state(), shape.levels, shape.tastes);
    let device = columns.device;
    let ones = |width: usize| on_device(vec![1.0; n * width], [n, width], device).autodiff();
    let (gaps, keep) = columns.places(t);
    let keep = keep.autodiff();
    let constant = |fill: f32, of: fn(&Group) -> &[f32]| columns.column(t, fill, of).autodiff();
    // Drift.
    let rates = burn_tensor::activation::sigmoid(leaves.drift.clone()).select(0, gaps.clone());
    let fade = burn_tensor::activation::sigmoid(leaves.fade.clone()).select(0, gaps) * keep.clone();
    let a = Tensor::cat(
        vec![rates.clone().narrow(1, 0, levels), rates.narrow(1, levels, 1).repeat(&[1, tastes])],
        1,
    ) * keep.clone();
    let prior = Tensor::cat(vec![leaves.variances.clone().exp().repeat(&[n, 1]), ones(tastes)], 1);
    let mean = carried.mean.clone() * a.clone();
    let eye = Tensor::<2>::eye(d, device.burn()).autodiff().unsqueeze_dim::<3>(0);
    let spread = (ones(d) - a.clone() * a.clone()) * prior;
    let covariance = carried.covariance.clone() * (a.clone().unsqueeze_dim::<3>(2) * a.unsqueeze_dim::<3>(1))
        + eye * spread.unsqueeze_dim::<3>(2);
    let begun = |old: Tensor<2>, new: Tensor<2>| old * keep.clone() + new * (ones(1) - keep.clone());
    let bag = begun(carried.bag.clone(), leaves.empty.clone().repeat(&[n, 1]));
    let attributes = begun(carried.prior.clone(), entry.prior.clone());
    let streak = carried.streak.clone() * fade.clone();
    let count = carried.count.clone() * keep.clone();
    let surprise = carried.surprise.clone() * keep.clone();
    // Prediction.
    let q = entry.vector.clone().narrow(1, 1, tastes);
    let h = Tensor::cat(vec![ones(levels), q.clone()], 1);
    let u = (covariance.clone() * h.clone().unsqueeze_dim::<3>(1)).sum_dim(2).reshape([n, d]);
    let root = (count.clone() + leaves.kappa.clone().exp()).sqrt().recip();
    let known = attributes.clone() + bag.clone() * root;
    let kinds = entry.kinds.clone() + q.clone().matmul(leaves.kind_out.clone()) + leaves.kind_bias.clone();
    let kinds = burn_tensor::activation::softmax(kinds, 1);
    let straight = constant(0.0, |group| &group.base)
        + entry.vector.clone().narrow(1, 0, 1)
        + known.clone().narrow(1, 0, 1)
        + (h.clone() * mean.clone()).sum_dim(1)
        + (q * known.narrow(1, 1, tastes)).sum_dim(1)
        + (streak.clone() * kinds.clone() * leaves.streak.clone()).sum_dim(1);
    let units = (straight.clone() - MIDDLE) * leaves.bend.clone() + leaves.bend_shift.clone();
    let expected = straight + units.tanh().matmul(leaves.bend_out.clone());
    let n0 = leaves.n0.clone().exp();
    let user = (surprise.clone() + n0.clone()) / (count.clone() + n0);
    let variance = (h * u.clone()).sum_dim(1) + entry.noise.clone().exp() * user.clone();
    let value = constant(0.0, |group| &group.values);
    let error = value.clone() - expected.clone();
    // Correction.
    let at = expected.clamp(range.0, range.1) - MIDDLE;
    let value = value - MIDDLE;
    let inputs = Tensor::cat(
        vec![
            at.clone(),
            at.clone() * at,
            error.clone(),
            variance.clone(),
            value.clone(),
            value.clone() * value,
        ],
        1,
    );
    let units = (inputs.matmul(leaves.hidden.clone()) + leaves.hidden_bias.clone()).tanh();
    let warped = error.clone() + units.matmul(leaves.hidden_out.clone());
    // Update.
    let take = constant(0.0, |group| &group.take);
    let moved = (take.clone() + (ones(1) - keep.clone())).clamp_max(1.0);
    let stays = ones(1) - moved.clone();
    let share = take.clone() / variance.clone();
    carried.mean =
        (mean + u.clone() * (share.clone() * warped)) * moved.clone() + carried.mean.clone() * stays.clone();
    let product = u.clone().unsqueeze_dim::<3>(2) * (u * share.clone()).unsqueeze_dim::<3>(1);
    carried.covariance = (covariance - product) * moved.clone().unsqueeze_dim::<3>(2)
        + carried.covariance.clone() * stays.clone().unsqueeze_dim::<3>(2);
    let new = take.clone() * (ones(1) - fade);
    carried.streak = (streak + kinds * new) * moved.clone() + carried.streak.clone() * stays.clone();
    carried.bag = bag + entry.bag.clone() * take.clone();
    carried.prior = attributes;
    carried.count = count + take;
    let square = error.clone() * error.clone();
    carried.surprise = surprise + share * user * square.clone();
    let weight = constant(0.0, |group| &group.weights);
    ((weight * (square / variance.clone() + variance.log()) * 0.5).sum(), error)
}
