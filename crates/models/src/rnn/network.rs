//! One window of a batch, forward and backward, on a burn device.
//!
//! Slicing a step out of a tracked tensor costs a full-size gradient a step, so the graph is cut
//! between the input projections and the recurrence: the recurrence runs over leaves of its own,
//! and their gradients, put together, are the gradient of the projections.

use super::parameters::{DECODER, DECODER_BIAS, HIDDEN, HIDDEN_BIAS, INPUT, INPUT_BIAS, Parameters, TABLE_INPUT, TABLE_OUTPUT, USER_BIAS, on_device};
use super::{Scale, Settings, gap_feature};
use crate::Device;
use burn::tensor::{Gradients, Int, Tensor, TensorData, activation::sigmoid};
use foretaste_data::batch::Batch;

/// What a window gives back.
pub(super) struct Window {
    /// Sum of squared errors over the interactions of the window; shape `[1]`.
    pub squares: Tensor<1>,
    /// Gradients of the dense parameters, in their order.
    pub dense: Vec<Tensor<2>>,
    /// Gradients of the touched rows of the item tables.
    pub tables: Vec<Tensor<2>>,
    /// The touched rows, distinct and ascending.
    pub rows: Tensor<1, Int>,
    /// The state after the window; shape `[batch rows, size]`.
    pub hidden: Tensor<2>,
}

/// Runs `batch` from the state `hidden` (`[rows, size]`). The loss is the sum of squared errors
/// divided by the batch's full number of entries, so that a half-empty batch pulls half as hard.
pub(super) fn window(parameters: &Parameters, settings: &Settings, scale: Scale, batch: &Batch, hidden: Tensor<2>, device: &Device) -> Window {
    let (steps, rows) = (settings.window, settings.rows);
    let entries = steps * rows;
    let leaf = |t: &Tensor<2>| t.clone().autodiff().require_grad();
    let dense: Vec<Tensor<2>> = parameters.dense.iter().map(|p| leaf(&p.value)).collect();

    // Padding stands on some touched row, with gradient 0, so that it moves no row of its own.
    let mut distinct: Vec<u32> = batch.items.iter().zip(&batch.mask).filter(|(_, mask)| **mask > 0.0).map(|(item, _)| *item).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let place = |item: &u32| distinct.binary_search(item).unwrap_or(0) as i32;
    let inverse = ids(batch.items.iter().map(place).collect(), device);
    let touched = ids(distinct.iter().map(|i| *i as i32).collect(), device);
    let tables: Vec<Tensor<2>> = parameters.tables.iter().map(|p| leaf(&p.value.clone().select(0, touched.clone()))).collect();

    // Input projections of the whole window.
    let value = column(batch.values.iter().zip(&batch.mask).map(|(v, m)| m * scale.standardize(*v)), device);
    let gap = column(batch.gaps.iter().map(|g| gap_feature(*g)), device);
    let item = tables[TABLE_INPUT].clone().select(0, inverse.clone());
    let x = Tensor::cat(vec![item.clone(), item * value.clone(), value, gap], 1);
    let projections: Vec<Tensor<2>> = (0..3).map(|gate| x.clone().matmul(dense[INPUT + gate].clone()) + dense[INPUT_BIAS + gate].clone()).collect();
    let cut: Vec<Tensor<2>> = projections.iter().map(|p| p.clone().inner()).collect();

    // The recurrence over leaves.
    let mut leaves: Vec<[Tensor<2>; 3]> = Vec::with_capacity(steps);
    let mut before: Vec<Tensor<2>> = Vec::with_capacity(steps);
    let mut h = hidden.autodiff();
    for step in 0..steps {
        let range = step * rows..(step + 1) * rows;
        if batch.start[range.clone()].contains(&1.0) {
            h = h * column(batch.start[range].iter().map(|s| 1.0 - s), device);
        }
        before.push(h.clone());
        let at: [Tensor<2>; 3] = std::array::from_fn(|gate| cut[gate].clone().narrow(0, step * rows, rows).autodiff().require_grad());
        let through = |gate: usize| h.clone().matmul(dense[HIDDEN + gate].clone());
        let reset = sigmoid(at[0].clone() + through(0));
        let update = sigmoid(at[1].clone() + through(1));
        let new = (at[2].clone() + reset * (through(2) + dense[HIDDEN_BIAS].clone())).tanh();
        h = new.clone() + update * (h - new);
        leaves.push(at);
    }

    // Decoder and loss.
    let states = Tensor::cat(before, 0);
    let decoded = states.clone().matmul(dense[DECODER].clone()) + dense[DECODER_BIAS].clone();
    let factors = tables[TABLE_OUTPUT].clone().select(0, inverse);
    let prediction = (decoded * factors).sum_dim(1) + states.matmul(dense[USER_BIAS].clone());
    let target = column(batch.values.iter().map(|v| v - scale.mean), device);
    let mask = column(batch.mask.iter().copied(), device);
    let error = (prediction - target) * mask;
    let squares = error.clone().mul(error).sum_dim(0).reshape([1]);
    let loss = squares.clone() * (1.0 / entries as f32);
    let mut recurrent = loss.backward();

    // Back through the cut.
    let zeros = |like: &Tensor<2>| like.clone().inner() * 0.0;
    let take = |t: &Tensor<2>, gradients: &mut Gradients| t.grad_remove(gradients).unwrap_or_else(|| zeros(t));
    let mut cut_loss: Option<Tensor<2>> = None;
    for (gate, projection) in projections.into_iter().enumerate() {
        let gradient = Tensor::cat(leaves.iter().map(|at| take(&at[gate], &mut recurrent)).collect(), 0);
        let part = projection * gradient;
        cut_loss = Some(match cut_loss {
            None => part,
            Some(sum) => sum + part,
        });
    }
    let mut projected = cut_loss.map(|loss| loss.backward());
    let dense = dense
        .iter()
        .enumerate()
        .map(|(index, parameter)| match &mut projected {
            Some(gradients) if index < HIDDEN => take(parameter, gradients),
            _ => take(parameter, &mut recurrent),
        })
        .collect();
    let input_rows = projected.as_mut().map_or_else(|| zeros(&tables[TABLE_INPUT]), |gradients| take(&tables[TABLE_INPUT], gradients));
    let output_rows = take(&tables[TABLE_OUTPUT], &mut recurrent);
    Window { squares: squares.inner(), dense, tables: vec![input_rows, output_rows], rows: touched, hidden: h.inner() }
}

fn column(values: impl Iterator<Item = f32>, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = values.collect();
    let rows = values.len();
    on_device(values, [rows, 1], device)
}

fn ids(ids: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let n = ids.len();
    Tensor::from_data(TensorData::new(ids, [n]), device.burn())
}
