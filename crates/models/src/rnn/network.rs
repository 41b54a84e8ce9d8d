//! One window of a batch, forward and backward, on a burn device.

use super::parameters::{Parameters, Places, TABLE_INPUT, TABLE_OUTPUT};
use super::{Scale, Settings, gap_feature};
use crate::Device;
use crate::optimizer::{ids, on_device};
use crate::recurrent::{Carried, unroll};
use burn::tensor::{Gradients, Int, Tensor};
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
    /// The state after the window.
    pub carried: Carried,
}

/// Runs `batch` from the state `carried`. The loss is the sum of squared errors divided by the
/// batch's full number of entries, so that a half-empty batch pulls half as hard.
pub(super) fn window(parameters: &Parameters, settings: &Settings, scale: Scale, batch: &Batch, carried: Carried, device: &Device) -> Window {
    let (steps, rows) = (settings.window, settings.rows);
    let entries = steps * rows;
    let places = Places::new(settings.cell);
    let leaf = |t: &Tensor<2>| t.clone().autodiff().require_grad();
    let dense: Vec<Tensor<2>> = parameters.dense.iter().map(|p| leaf(&p.value)).collect();
    let (input, rest) = dense.split_at(places.gates);
    let (input_bias, rest) = rest.split_at(places.gates);
    let hidden = &rest[..places.gates];

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
    let projections: Vec<Tensor<2>> = input.iter().zip(input_bias).map(|(w, b)| x.clone().matmul(w.clone()) + b.clone()).collect();
    let keep = |step: usize| {
        let start = &batch.start[step * rows..(step + 1) * rows];
        start.contains(&1.0).then(|| column(start.iter().map(|s| 1.0 - s), device))
    };
    let unrolled = unroll(settings.cell, &projections, hidden, places.hidden_bias.map(|at| &dense[at]), steps, keep, carried);

    // Decoder and loss.
    let [decoder, decoder_bias, user_bias] = [0, 1, 2].map(|at| dense[places.decoder + at].clone());
    let states = Tensor::cat(unrolled.before.clone(), 0);
    let decoded = states.clone().matmul(decoder) + decoder_bias;
    let factors = tables[TABLE_OUTPUT].clone().select(0, inverse);
    let prediction = (decoded * factors).sum_dim(1) + states.matmul(user_bias);
    let target = column(batch.values.iter().map(|v| v - scale.mean), device);
    let mask = column(batch.mask.iter().copied(), device);
    let error = (prediction - target) * mask;
    let squares = error.clone().mul(error).sum_dim(0).reshape([1]);
    let loss = squares.clone() * (1.0 / entries as f32);
    let mut recurrent = loss.backward();
    let mut projected = unrolled.back(projections, &mut recurrent, device);

    let take = |t: &Tensor<2>, gradients: &mut Gradients| t.grad_remove(gradients).unwrap_or_else(|| Tensor::zeros(t.dims(), device.burn()));
    let gradients = dense
        .iter()
        .enumerate()
        .map(|(index, parameter)| match &mut projected {
            Some(gradients) if index < 2 * places.gates => take(parameter, gradients),
            _ => take(parameter, &mut recurrent),
        })
        .collect();
    let input_rows = projected.as_mut().map_or_else(|| tables[TABLE_INPUT].clone().inner() * 0.0, |gradients| take(&tables[TABLE_INPUT], gradients));
    let output_rows = take(&tables[TABLE_OUTPUT], &mut recurrent);
    Window { squares: squares.inner(), dense: gradients, tables: vec![input_rows, output_rows], rows: touched, carried: unrolled.carried }
}

fn column(values: impl Iterator<Item = f32>, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = values.collect();
    let rows = values.len();
    on_device(values, [rows, 1], device)
}
