//! One window of a batch on a burn device: what [`super::native`] computes, by autodiff.
//!
//! Weights and moments stay on the host; a window takes the dense weights and the touched rows to
//! the device and brings their gradients back, so that steps, checkpoints and sparse rows are the same
//! code for every device.

use super::batch::Prepared;
use super::gradients::Gradients;
use super::losses::OUT;
use super::noise::Noise;
use super::weights::{Dense, ITEM_INPUT, ITEM_NEXT, ITEM_OUTPUT, Sizes, USER, Weights};
use super::{Errors, Goal, Loss};
use crate::engine::parameter::{ids, on_device, values};
use crate::engine::recurrent::Cell;
use crate::engine::unrolled::{Carried, Unrolled, unroll};
use crate::{Device, Result};
use burn_tensor::activation::{log_softmax, sigmoid, softmax};
use burn_tensor::{Gradients as Found, Tensor};

/// Computes windows on a device; keeps the rows' states between them.
pub(super) struct Network {
    sizes: Sizes,
    rows: usize,
    device: Device,
    carried: Vec<Carried>,
    /// States of the levels above sessions, `[rows, size]` each.
    levels: Vec<Tensor<2>>,
}

/// A layer's weights on the device, one tensor per gate.
struct Layer {
    input: Vec<Tensor<2>>,
    bias: Vec<Tensor<2>>,
    hidden: Vec<Tensor<2>>,
    inner: Option<Tensor<2>>,
}

/// A level above sessions on the device.
struct Level {
    cell: Layer,
    matrix: Tensor<2>,
    bias: Tensor<2>,
}

impl Network {
    /// For batches of this many rows.
    pub fn new(sizes: Sizes, rows: usize, device: &Device) -> Self {
        let mut network =
            Self { sizes, rows, device: device.clone(), carried: Vec::new(), levels: Vec::new() };
        network.reset();
        network
    }

    /// Resets all states.
    pub fn reset(&mut self) {
        self.levels =
            vec![Tensor::zeros([self.rows, self.sizes.size], self.device.burn()); self.sizes.levels];
        let zeros = |layer: &crate::engine::sequence::Layer| {
            let mut carried = Carried::zeros(self.rows, layer.size, &self.device);
            if layer.cell == Cell::Convolution {
                carried.memory = Tensor::zeros([layer.reach * self.rows, layer.inputs], self.device.burn());
            }
            carried
        };
        self.carried = Dense::zeros(&self.sizes).layers.iter().map(zeros).collect();
    }

    fn leaf(&self, values: Vec<f32>, columns: usize) -> Tensor<2> {
        let rows = values.len() / columns;
        on_device(values, [rows, columns], &self.device).autodiff().require_grad()
    }

    fn plain(&self, values: Vec<f32>, columns: usize) -> Tensor<2> {
        let rows = values.len() / columns;
        on_device(values, [rows, columns], &self.device)
    }

    /// Session boundaries before a step, row by row through masks: see [`crate::engine::sequence::Levels`].
    fn climb(
        &self,
        levels: &[Level],
        start: &[f32],
        crossed: &[u8],
        state: Tensor<2>,
        states: &mut [Tensor<2>],
    ) -> Tensor<2> {
        let column = |of: &dyn Fn(usize) -> bool| {
            self.plain((0..start.len()).map(|row| f32::from(u8::from(of(row)))).collect(), 1)
        };
        if start.contains(&1.0) {
            let going = column(&|row| start[row] == 0.0);
            states.iter_mut().for_each(|state| *state = state.clone() * going.clone());
        }
        let begun = |row: usize| if start[row] > 0.0 { 0 } else { usize::from(crossed[row]) };
        if (0..start.len()).all(|row| begun(row) == 0) {
            return state;
        }
        let mut below = state.clone();
        let risen: Vec<Tensor<2>> = levels
            .iter()
            .zip(states.iter())
            .map(|(level, state)| {
                below = gru(&level.cell, &below, state);
                below.clone()
            })
            .collect();
        let hand = |level: &Level, above: &Tensor<2>| {
            (above.clone().matmul(level.matrix.clone()) + level.bias.clone()).tanh()
        };
        for at in (0..levels.len()).rev() {
            let mut next = states[at].clone() * column(&|row| begun(row) <= at)
                + risen[at].clone() * column(&|row| begun(row) == at + 1);
            if at + 1 < levels.len() {
                next = next + hand(&levels[at + 1], &states[at + 1]) * column(&|row| begun(row) > at + 1);
            }
            states[at] = next;
        }
        state * column(&|row| begun(row) == 0) + hand(&levels[0], &states[0]) * column(&|row| begun(row) > 0)
    }

    /// As [`super::native::Native::window`].
    ///
    /// # Errors
    /// [`crate::ModelError::Device`] when a gradient cannot be read back.
    #[allow(clippy::too_many_lines)] // The equations of a window, in their order.
    pub fn window(
        &mut self,
        weights: &Weights,
        batch: &Prepared,
        goal: Goal,
        noise: Noise,
        gradients: &mut Gradients,
    ) -> Result<Errors> {
        let sizes = self.sizes;
        let (d, h, w, q) = (sizes.factors, sizes.size, sizes.when, sizes.query());
        let entries = batch.batch.items.len();
        let steps = entries / self.rows;
        let gates = sizes.cell.gates().len();
        let split = |matrix: &[f32]| {
            (0..gates).map(|g| self.leaf(columns(matrix, gates * h, g * h, h), h)).collect::<Vec<_>>()
        };
        let leaves = |layer: &crate::engine::sequence::Layer| {
            let inner = (sizes.cell == Cell::Gru).then(|| self.leaf(layer.inner.clone(), h));
            Layer {
                input: split(&layer.input),
                bias: split(&layer.bias),
                hidden: split(&layer.hidden),
                inner,
            }
        };
        let layers: Vec<Layer> = weights.dense.layers.iter().map(leaves).collect();
        let levels: Vec<Level> = weights
            .dense
            .levels
            .levels
            .iter()
            .map(|level| {
                let (matrix, bias) = level.handover.split_at(h * h);
                Level {
                    cell: leaves(&level.cell),
                    matrix: self.leaf(matrix.to_vec(), h),
                    bias: self.leaf(bias.to_vec(), h),
                }
            })
            .collect();
        let context = sizes.all.then(|| split(&weights.dense.levels.context));
        let mut states_of_levels: Vec<Tensor<2>> =
            self.levels.iter().map(|state| state.clone().autodiff()).collect();
        let rows_of = |table: usize, ids: &[u32]| {
            let width = weights.width(table);
            let mut rows = vec![0.0; ids.len() * width];
            rows.chunks_exact_mut(width).zip(ids).for_each(|(out, id)| weights.item(table, *id, out));
            self.leaf(rows, width)
        };
        let item_input = rows_of(ITEM_INPUT, &batch.items.distinct);
        let item_output = sizes.rates.then(|| rows_of(ITEM_OUTPUT, &batch.items.distinct));
        let item_next = sizes.ranks.then(|| rows_of(ITEM_NEXT, &batch.asked.distinct));
        let users = (!weights.tables[USER].is_empty()).then(|| {
            self.leaf(
                batch
                    .users
                    .distinct
                    .iter()
                    .filter_map(|user| weights.row(USER, *user))
                    .flatten()
                    .copied()
                    .collect(),
                q,
            )
        });
        let place = |places: &[u32]| ids(places.iter().map(|p| *p as i32).collect(), &self.device);
        let item_place = place(&batch.items.place);

        // Inputs.
        let mask = |width: usize, drop: &dyn Fn(usize, &mut [f32])| {
            let mut mask = vec![1.0; entries * width];
            mask.chunks_exact_mut(width).enumerate().for_each(|(entry, row)| drop(entry, row));
            self.plain(mask, width)
        };
        let mut item = item_input.clone().select(0, item_place.clone());
        if noise.input > 0.0 {
            item = item * mask(d, &|entry, row| noise.inputs(entry, false, d, row));
        }
        let time =
            self.plain(batch.when.chunks_exact(w).flat_map(|row| &row[..w - 1]).copied().collect(), w - 1);
        let mut x = if sizes.ratings {
            let value = self.plain(batch.values.clone(), 1);
            let dislike = self.plain(batch.values.iter().map(|v| (-v).max(0.0)).collect(), 1);
            Tensor::cat(vec![item.clone(), item * value.clone(), value, dislike, time], 1)
        } else {
            Tensor::cat(vec![item, time], 1)
        };

        // Layers, with the graph split before each recurrence.
        let keep = |step: usize| {
            let start = &batch.batch.start[step * self.rows..(step + 1) * self.rows];
            start.contains(&1.0).then(|| self.plain(start.iter().map(|s| 1.0 - s).collect(), 1))
        };
        let mut passed: Vec<(Unrolled, Vec<Tensor<2>>)> = Vec::new();
        let (mut top, mut convolved) = (None, Vec::new());
        for (at, layer) in layers.iter().enumerate() {
            if sizes.cell == Cell::Convolution {
                let reach = weights.dense.layers[at].reach;
                let (before, after, carried) =
                    self.convolve(layer, &x, &batch.batch.start, reach, &self.carried[at]);
                (x, top) = (after, Some(before));
                convolved.push(carried);
                continue;
            }
            let projections: Vec<Tensor<2>> = layer
                .input
                .iter()
                .zip(&layer.bias)
                .map(|(w, b)| x.clone().matmul(w.clone()) + b.clone())
                .collect();
            let enter = |step: usize, state: Tensor<2>| {
                if at > 0 || levels.is_empty() {
                    return (state, None);
                }
                let span = step * self.rows..(step + 1) * self.rows;
                let state = self.climb(
                    &levels,
                    &batch.batch.start[span.clone()],
                    &batch.crossed[span],
                    state,
                    &mut states_of_levels,
                );
                (
                    state,
                    context.as_ref().map(|context| {
                        context.iter().map(|v| states_of_levels[0].clone().matmul(v.clone())).collect()
                    }),
                )
            };
            let unrolled = unroll(
                sizes.cell,
                &projections,
                &layer.hidden,
                layer.inner.as_ref(),
                steps,
                keep,
                enter,
                self.carried[at].clone(),
            );
            x = Tensor::cat(unrolled.after.clone(), 0);
            passed.push((unrolled, projections));
        }
        let mut states = top.unwrap_or_else(|| Tensor::cat(passed[sizes.depth - 1].0.before.clone(), 0));

        // Decoder and loss.
        let when = self.plain(batch.when.clone(), w);
        let gate = sizes.gate.then(|| self.leaf(weights.dense.gate.clone(), h));
        if let Some(gate) = &gate {
            states = states * sigmoid(when.clone().matmul(gate.clone()));
        }
        if noise.state > 0.0 {
            states = states * mask(h, &|entry, row| noise.state(entry, row));
        }
        let decoded = Tensor::cat(vec![states, when], 1);
        let weight = self.plain(batch.weights.clone(), 1);
        let mut loss = Tensor::<1>::zeros([1], self.device.burn()).autodiff();
        let (mut squares, mut losses) = (None, None);
        let query = sizes.rates.then(|| self.leaf(weights.dense.query.clone(), q));
        if let Some((query, item_output)) = query.as_ref().zip(item_output.as_ref()) {
            let mut asked = decoded.clone().matmul(query.clone());
            if let Some(users) = &users {
                asked = asked + users.clone().select(0, place(&batch.users.place));
            }
            let factors = Tensor::cat(
                vec![
                    item_output.clone().select(0, item_place),
                    Tensor::ones([entries, 1], self.device.burn()),
                ],
                1,
            );
            let target = self.plain(batch.values.iter().map(|v| v * goal.deviation).collect(), 1);
            let error = ((asked * factors).sum_dim(1) - target) * self.plain(batch.batch.mask.clone(), 1);
            let found = error.clone() * error;
            loss = loss + (found.clone() * weight.clone()).sum() * goal.rating_share;
            squares = Some(found);
        }
        let next = sizes.ranks.then(|| self.leaf(weights.dense.next.clone(), sizes.next()));
        if let Some((next, item_next)) = next.as_ref().zip(item_next.as_ref()) {
            let found = self.next_items(batch, goal, decoded.matmul(next.clone()), item_next);
            loss = loss + (found.clone() * weight).sum() * (1.0 - goal.rating_share);
            losses = Some(found);
        }
        let mut found = (loss * (1.0 / entries as f32)).backward();

        // Gradients: the decoder's, then layer by layer downwards.
        let read = |leaf: &Tensor<2>, found: &mut Found| match leaf.grad_remove(found) {
            Some(gradient) => values(gradient),
            None => Ok(vec![0.0; leaf.dims().iter().product()]),
        };
        let join = |tensors: &[Tensor<2>], found: &mut Found, out: &mut [f32]| -> Result<()> {
            for (gate, tensor) in tensors.iter().enumerate() {
                let gradient = read(tensor, found)?;
                for (to, from) in out.chunks_exact_mut(gates * h).zip(gradient.chunks_exact(h)) {
                    to[gate * h..(gate + 1) * h].copy_from_slice(from);
                }
            }
            Ok(())
        };
        let tables = &mut gradients.tables;
        let (mut output, mut asked, mut of_users) = (Vec::new(), Vec::new(), Vec::new());
        let heads = [
            (&query, &mut gradients.dense.query),
            (&next, &mut gradients.dense.next),
            (&gate, &mut gradients.dense.gate),
        ];
        let rows = [(&item_output, &mut output), (&item_next, &mut asked), (&users, &mut of_users)];
        for (leaf, out) in heads.into_iter().chain(rows) {
            if let Some(leaf) = leaf {
                *out = read(leaf, &mut found)?;
            }
        }
        (tables[ITEM_OUTPUT], tables[ITEM_NEXT], tables[USER]) = (output, asked, of_users);
        for (at, (unrolled, projections)) in passed.into_iter().enumerate().rev() {
            let (layer, out) = (&layers[at], &mut gradients.dense.layers[at]);
            if at == 0 {
                for (level, out) in levels.iter().zip(&mut gradients.dense.levels.levels) {
                    let (matrix, bias) = out.handover.split_at_mut(h * h);
                    matrix.copy_from_slice(&read(&level.matrix, &mut found)?);
                    bias.copy_from_slice(&read(&level.bias, &mut found)?);
                    let Layer { input, bias, hidden, inner } = &level.cell;
                    for (leaves, out) in [
                        (input, &mut out.cell.input),
                        (bias, &mut out.cell.bias),
                        (hidden, &mut out.cell.hidden),
                    ] {
                        join(leaves, &mut found, out)?;
                    }
                    if let Some(inner) = inner {
                        out.cell.inner = read(inner, &mut found)?;
                    }
                }
                if let Some(context) = &context {
                    join(context, &mut found, &mut gradients.dense.levels.context)?;
                }
            }
            join(&layer.hidden, &mut found, &mut out.hidden)?;
            if let Some(inner) = &layer.inner {
                out.inner = read(inner, &mut found)?;
            }
            if let Some(below) = unrolled.back(projections, &mut found, &self.device) {
                found = below;
            }
            join(&layer.input, &mut found, &mut out.input)?;
            join(&layer.bias, &mut found, &mut out.bias)?;
            self.carried[at] = unrolled.carried;
        }
        if sizes.cell == Cell::Convolution {
            self.carried = convolved;
            for (layer, out) in layers.iter().zip(&mut gradients.dense.layers) {
                join(&layer.hidden, &mut found, &mut out.hidden)?;
                join(&layer.input, &mut found, &mut out.input)?;
                join(&layer.bias, &mut found, &mut out.bias)?;
            }
        }
        self.levels = states_of_levels.into_iter().map(Tensor::inner).collect();
        gradients.tables[ITEM_INPUT] = read(&item_input, &mut found)?;
        gradients.spread(weights, batch);
        let sum = |column: Option<Tensor<2>>| -> Result<f64> {
            let Some(column) = column else { return Ok(0.0) };
            Ok(values(column.inner())?
                .iter()
                .zip(&batch.batch.mask)
                .map(|(value, mask)| f64::from(value * mask))
                .sum())
        };
        Ok(Errors { squares: sum(squares)?, losses: sum(losses)? })
    }

    /// A layer of convolution over a window, as [`crate::engine::sequence`] has it: the states before and
    /// after each step, and the state carried to the next window.
    fn convolve(
        &self,
        layer: &Layer,
        x: &Tensor<2>,
        start: &[f32],
        reach: usize,
        carried: &Carried,
    ) -> (Tensor<2>, Tensor<2>, Carried) {
        let (rows, entries, inputs, size) = (self.rows, start.len(), x.dims()[1], self.sizes.size);
        // Whether the input `reach` steps before an entry (of the window, and of the next `reach` steps) is
        // of its sequence.
        let mut begun = vec![None; rows];
        let mut keeps = Vec::with_capacity(entries + reach * rows);
        for at in 0..entries + reach * rows {
            let (step, row) = (at / rows, at % rows);
            if start.get(at).is_some_and(|start| *start > 0.0) {
                begun[row] = Some(step);
            }
            let keep = begun[row].is_none_or(|begun| step >= begun + reach);
            keeps.push(f32::from(u8::from(keep)));
        }
        let carry = keeps.split_off(entries);
        let whole = Tensor::cat(vec![carried.memory.clone().autodiff(), x.clone()], 0);
        let past = whole.clone().narrow(0, 0, entries) * self.plain(keeps, 1);
        let sum = |gate: usize| {
            x.clone().matmul(layer.input[gate].clone())
                + past.clone().matmul(layer.hidden[gate].clone())
                + layer.bias[gate].clone()
        };
        let mut after = sum(0).tanh() * sigmoid(sum(1));
        if inputs == size {
            after = after + x.clone();
        }
        let shifted = Tensor::cat(
            vec![carried.hidden.clone().autodiff(), after.clone().narrow(0, 0, entries - rows)],
            0,
        );
        let before = shifted * self.plain(start.iter().map(|start| 1.0 - start).collect(), 1);
        let hidden = after.clone().inner().narrow(0, entries - rows, rows);
        let memory = whole.inner().narrow(0, entries, reach * rows) * self.plain(carry, 1);
        (before, after, Carried { hidden, memory })
    }

    /// The next items' losses, `[entries, 1]`, as [`super::losses`] has them.
    fn next_items(&self, batch: &Prepared, goal: Goal, query: Tensor<2>, rows: &Tensor<2>) -> Tensor<2> {
        let (entries, n) = (batch.batch.items.len(), batch.samples.len());
        let place = |places: &[u32]| {
            rows.clone().select(0, ids(places.iter().map(|p| *p as i32).collect(), &self.device))
        };
        let (own, others) = batch.asked.place.split_at(entries);
        let own = (query.clone() * place(own)).sum_dim(1) - self.plain(batch.own_corrections.clone(), 1);
        let hits =
            batch.batch.items.iter().flat_map(|item| {
                batch.samples.iter().map(move |sample| if sample == item { OUT } else { 0.0 })
            });
        let corrections = self.plain(batch.corrections.clone(), n);
        let scores = query.matmul(place(others).transpose()) - corrections + self.plain(hits.collect(), n);
        if goal.loss == Loss::Softmax {
            return log_softmax(Tensor::cat(vec![own, scores], 1), 1).slice([0..entries, 0..1]).neg();
        }
        let share = softmax(scores.clone(), 1);
        let scores = scores.clamp_min(-1e4);
        let square = scores.clone() * scores.clone();
        if goal.loss == Loss::Top1Max {
            return (share * (sigmoid(scores - own) + sigmoid(square))).sum_dim(1);
        }
        let won = (share.clone() * sigmoid(own - scores)).sum_dim(1).clamp_min(1e-24);
        won.log().neg() + (share * square).sum_dim(1) * goal.penalty
    }
}

/// One step of a GRU.
fn gru(cell: &Layer, x: &Tensor<2>, state: &Tensor<2>) -> Tensor<2> {
    let outer = |gate: usize| x.clone().matmul(cell.input[gate].clone()) + cell.bias[gate].clone();
    let through = |gate: usize| state.clone().matmul(cell.hidden[gate].clone());
    let candidate = match &cell.inner {
        Some(inner) => through(2) + inner.clone(),
        None => through(2),
    };
    let (reset, update) = (sigmoid(outer(0) + through(0)), sigmoid(outer(1) + through(1)));
    let new = (outer(2) + reset * candidate).tanh();
    new.clone() + update * (state.clone() - new)
}

/// Columns `from..from + n` of a row-major matrix with `width` of them.
fn columns(matrix: &[f32], width: usize, from: usize, n: usize) -> Vec<f32> {
    matrix.chunks_exact(width).flat_map(|row| &row[from..from + n]).copied().collect()
}
