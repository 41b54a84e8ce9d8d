//! One window of one side's sequences, forward and backward, with the other side fixed, on a device;
//! `native.rs` is the same on the CPU.

use super::native::first_values;
use super::steps::{Ratings, Steps};
use super::{Scale, Settings};
use crate::engine::optimizer::{AdamStep, steps_of, steps_tensor};
use crate::engine::parameter::{Parameter, ids, on_device, values};
use crate::engine::recurrent::Cell;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::engine::unrolled::{Carried, unroll};
use crate::{Device, Result};
use burn_tensor::{Gradients, IndexingUpdateOp, Int, Tensor};
use foretaste_data::batch::Batch;

/// One side's parameters.
pub(super) struct Network {
    pub name: &'static str,
    pub dense: Vec<Parameter>,
    /// Embeddings of what a step rates.
    pub inputs: Parameter,
    /// Stationary factors and bias.
    pub stationary: Parameter,
    steps: u64,
}

impl Network {
    /// A network with its [`first_values`].
    pub fn new(
        settings: &Settings,
        name: &'static str,
        others: usize,
        stationary: Vec<f32>,
        seed: u64,
        device: &Device,
    ) -> Self {
        let mut dense: Vec<Parameter> = first_values(settings, name, others, stationary, seed)
            .into_iter()
            .map(|(name, values, shape)| Parameter::new(name, values, shape, device))
            .collect();
        let (stationary, inputs) = (dense.pop(), dense.pop());
        let (Some(stationary), Some(inputs)) = (stationary, inputs) else {
            unreachable!("the tables come last")
        };
        Self { name, dense, inputs, stationary, steps: 0 }
    }

    /// Values in the order [`super::replay::Side::new`] takes them.
    pub fn values(&self) -> Result<Vec<Vec<f32>>> {
        self.dense.iter().chain([&self.inputs, &self.stationary]).map(|p| values(p.value.clone())).collect()
    }

    pub fn state(&self) -> Result<Vec<NamedTensor>> {
        let mut state = vec![steps_tensor(&format!("{}.steps", self.name), self.steps)];
        for parameter in self.dense.iter().chain([&self.inputs, &self.stationary]) {
            state.extend(parameter.state()?);
        }
        Ok(state)
    }

    pub fn restore(&mut self, tensors: &Tensors, device: &Device) -> Result<()> {
        self.steps = steps_of(tensors, &format!("{}.steps", self.name))?;
        self.dense
            .iter_mut()
            .chain([&mut self.inputs, &mut self.stationary])
            .try_for_each(|p| p.restore(tensors, device))
    }
}

/// What is fixed while one side is trained.
pub(super) struct Fixed<'a> {
    pub settings: &'a Settings,
    pub scale: Scale,
    pub ratings: &'a Ratings<'a>,
    /// The moving side's steps, and for each rating the other side's.
    pub steps: &'a Steps,
    pub other_steps: &'a Steps,
    /// `m~` (or `u~`) at each of the other side's steps.
    pub other_states: &'a [f32],
    /// The other side's stationary part.
    pub other_stationary: Tensor<2>,
    /// Owners of the ratings on the moving side and on the other.
    pub owners: &'a [u32],
    pub others: &'a [u32],
    /// Ratings taken at a time.
    pub stretch: usize,
    pub device: &'a Device,
}

impl Fixed<'_> {
    /// Predictions less ratings of training rows, given the moving side's `u~` and its stationary part for
    /// each.
    fn errors(&self, states: Tensor<2>, own: Tensor<2>, rows: &[u32]) -> Tensor<2> {
        let (n, k, s) = (rows.len(), self.settings.dynamic_factors, self.settings.stationary_factors);
        let other: Vec<f32> = rows
            .iter()
            .flat_map(|row| {
                let step = self.other_steps.of_row[*row as usize] as usize;
                self.other_states[step * k..(step + 1) * k].iter().copied()
            })
            .collect();
        let dynamic = (states * on_device(other, [n, k], self.device)).sum_dim(1);
        let other = self
            .other_stationary
            .clone()
            .select(0, ids(rows.iter().map(|row| self.others[*row as usize] as i32).collect(), self.device));
        let product = (own.clone().narrow(1, 0, s) * other.clone().narrow(1, 0, s)).sum_dim(1);
        let prediction = dynamic + product + own.narrow(1, s, 1) + other.narrow(1, s, 1);
        prediction
            - on_device(rows.iter().map(|row| self.ratings.target(*row)).collect(), [n, 1], self.device)
    }
}

/// Rows of a table that a window touches.
struct Touched {
    distinct: Vec<u32>,
}

impl Touched {
    fn new(ids: impl Iterator<Item = u32>) -> Self {
        let mut distinct: Vec<u32> = ids.collect();
        distinct.sort_unstable();
        distinct.dedup();
        Self { distinct }
    }

    fn rows(&self, device: &Device) -> Tensor<1, Int> {
        ids(self.distinct.iter().map(|i| *i as i32).collect(), device)
    }

    fn places(&self, of: impl Iterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
        ids(of.map(|id| self.distinct.binary_search(&id).unwrap_or(0) as i32).collect(), device)
    }
}

/// Gradients of a window.
pub(super) struct Window {
    pub squares: Tensor<2>,
    pub dense: Vec<Tensor<2>>,
    pub inputs: Tensor<2>,
    pub stationary: Tensor<2>,
    pub carried: Carried,
    input_rows: Tensor<1, Int>,
    stationary_rows: Tensor<1, Int>,
}

/// Runs a window (whose items are step numbers) from the state `carried`; the loss is the mean
/// squared error over the window's ratings.
#[allow(clippy::too_many_lines)] // The equations of a window, in their order.
pub(super) fn window(network: &Network, fixed: &Fixed, batch: &Batch, carried: Carried) -> Window {
    let (settings, device, ratings, steps) = (fixed.settings, fixed.device, fixed.ratings, fixed.steps);
    let (length, rows, gates) = (settings.window, settings.rows, Cell::Lstm.gates().len());
    let leaf = |t: Tensor<2>| t.autodiff().require_grad();
    let take = |t: &Tensor<2>, gradients: &mut Gradients| {
        t.grad_remove(gradients).unwrap_or_else(|| Tensor::zeros(t.dims(), device.burn()))
    };
    let dense: Vec<Tensor<2>> = network.dense.iter().map(|p| leaf(p.value.clone())).collect();

    // The ratings of the step before as input, those of the step as what is predicted.
    let (mut segments, mut read, mut predicted, mut at) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut times = Vec::with_capacity(3 * length * rows);
    for entry in 0..length * rows {
        let step = batch.items[entry];
        let (there, begins) = (batch.mask[entry] > 0.0, batch.start[entry] > 0.0);
        let now = fixed.scale.tau(steps.days[step as usize]);
        let then = if there && !begins { fixed.scale.tau(steps.days[step as usize - 1]) } else { now };
        times.extend(if there { [f32::from(u8::from(begins)), now, then] } else { [0.0; 3] });
        if !there {
            continue;
        }
        if !begins {
            for row in steps.rows(step - 1) {
                segments.push(entry as i32);
                read.push(*row);
            }
        }
        for row in steps.rows(step) {
            at.push(entry as i32);
            predicted.push(*row);
        }
    }

    let inputs = Touched::new(read.iter().map(|row| fixed.others[*row as usize]));
    let input_rows = if inputs.distinct.is_empty() { ids(vec![0], device) } else { inputs.rows(device) };
    let embeddings = network.inputs.value.clone().select(0, input_rows.clone());
    // A stretch's entries, the places of its embeddings, and its ratings.
    let stretches: Vec<_> = segments
        .chunks(fixed.stretch)
        .zip(read.chunks(fixed.stretch))
        .map(|(segments, read)| {
            (
                ids(segments.to_vec(), device),
                inputs.places(read.iter().map(|row| fixed.others[*row as usize]), device),
                on_device(read.iter().map(|row| ratings.value(*row)).collect(), [read.len(), 1], device),
            )
        })
        .collect();
    let mut bag = Tensor::zeros([length * rows, settings.embedding], device.burn());
    for (entries, places, value) in stretches.iter().cloned() {
        bag = bag.select_assign(
            0,
            entries,
            embeddings.clone().select(0, places) * value,
            IndexingUpdateOp::Add,
        );
    }
    let bag = leaf(bag);
    let x = on_device(times, [length * rows, 3], device).matmul(dense[3 * gates].clone()) + bag.clone();
    let projections: Vec<Tensor<2>> =
        (0..gates).map(|gate| x.clone().matmul(dense[gate].clone()) + dense[gates + gate].clone()).collect();
    let keep = |step: usize| {
        let start = &batch.start[step * rows..(step + 1) * rows];
        start.contains(&1.0).then(|| on_device(start.iter().map(|s| 1.0 - s).collect(), [rows, 1], device))
    };
    let unrolled = unroll(
        Cell::Lstm,
        &projections,
        &dense[2 * gates..3 * gates],
        None,
        length,
        keep,
        |_, state| (state, None),
        carried,
    );

    let states = Tensor::cat(unrolled.after.clone(), 0).matmul(dense[3 * gates + 1].clone())
        + dense[3 * gates + 2].clone();
    let owners = Touched::new(predicted.iter().map(|row| fixed.owners[*row as usize]));
    let stationary_rows = owners.rows(device);
    let mut stationary_gradient =
        Tensor::zeros([owners.distinct.len(), settings.stationary_factors + 1], device.burn());
    let mut states_gradient = Tensor::zeros(states.dims(), device.burn());
    let mut squares = Tensor::zeros([1, 1], device.burn());
    for (at, stretch) in at.chunks(fixed.stretch).zip(predicted.chunks(fixed.stretch)) {
        let states = leaf(states.clone().inner());
        let stationary = leaf(network.stationary.value.clone().select(0, stationary_rows.clone()));
        let places = owners.places(stretch.iter().map(|row| fixed.owners[*row as usize]), device);
        let error = fixed.errors(
            states.clone().select(0, ids(at.to_vec(), device)),
            stationary.clone().select(0, places),
            stretch,
        );
        let sum = (error.clone() * error).sum_dim(0);
        squares = squares + sum.clone().inner();
        let mut gradients = (sum * (1.0 / predicted.len() as f32)).backward();
        states_gradient = states_gradient + take(&states, &mut gradients);
        stationary_gradient = stationary_gradient + take(&stationary, &mut gradients);
    }
    let mut recurrent = (states * states_gradient).backward();
    let mut projected = unrolled.back(projections, &mut recurrent, device);

    let in_front = |place: usize| place < 2 * gates || place == 3 * gates;
    let gradients = dense
        .iter()
        .enumerate()
        .map(|(place, parameter)| match &mut projected {
            Some(gradients) if in_front(place) => take(parameter, gradients),
            _ => take(parameter, &mut recurrent),
        })
        .collect();
    let mut input_gradient = Tensor::zeros(embeddings.dims(), device.burn());
    if let Some(gradients) = &mut projected {
        let bag = take(&bag, gradients);
        for (entries, places, value) in stretches {
            input_gradient = input_gradient.select_assign(
                0,
                places,
                bag.clone().select(0, entries) * value,
                IndexingUpdateOp::Add,
            );
        }
    }
    Window {
        squares,
        dense: gradients,
        inputs: input_gradient,
        stationary: stationary_gradient,
        carried: unrolled.carried,
        input_rows,
        stationary_rows,
    }
}

impl Network {
    /// Updates the parameters along a window's gradients.
    pub fn step(mut self, window: Window, settings: &Settings, rate: f32) -> Self {
        self.steps += 1;
        let step = AdamStep { rate, weight_decay: settings.weight_decay, number: self.steps };
        self.dense = self.dense.into_iter().zip(window.dense).map(|(p, g)| p.adam(g, step)).collect();
        self.inputs = self.inputs.adam_rows(&window.input_rows, window.inputs, step);
        let slower = AdamStep { rate: rate * settings.stationary_learning_rate, ..step };
        self.stationary = self.stationary.adam_rows(&window.stationary_rows, window.stationary, slower);
        self
    }
}
