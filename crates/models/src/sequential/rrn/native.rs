//! A window of one side's sequences in native code: the CPU's counterpart of `network.rs`.
//!
//! Rows of a window are independent, so tasks take rows of their own through forward and backward, and their
//! gradients are added in the tasks' order: threads change no bit. The loss is the mean squared error over
//! the window's ratings.

use super::replay::shapes;
use super::steps::{Ratings, Steps};
use super::{Scale, Settings};
use crate::Result;
use crate::engine::host::HostParameter;
use crate::engine::kernels::{Matrix, add, dot, product_into};
use crate::engine::optimizer::{AdamStep, steps_of, steps_tensor};
use crate::engine::recurrent::{Cell, accumulate};
use crate::engine::sequence::{Layer, States, Tape, Transposed, transpose};
use crate::engine::tensors::{NamedTensor, Tensors};
use foretaste_data::batch::Batch;
use foretaste_data::rng;
use rand::RngExt;
use rayon::prelude::*;

/// Sequences per task.
const TASK: usize = 16;
const GATES: usize = 4;

/// Initial values by name, with their shapes: uniform within `1 / sqrt(size)`, a projection a tenth of that;
/// then embeddings of the other side's, and the stationary part as given.
pub(super) fn first_values(
    settings: &Settings,
    name: &str,
    others: usize,
    stationary: Vec<f32>,
    seed: u64,
) -> Vec<(String, Vec<f32>, [usize; 2])> {
    let draw = |what: &str, n: usize, reach: f32| -> Vec<f32> {
        let mut random = rng(seed, &format!("rrn init {what}"));
        (0..n).map(|_| random.random_range(-1.0_f32..1.0) * reach).collect()
    };
    let reach = 1.0 / (settings.size as f32).sqrt();
    let dense = shapes(settings, name).into_iter().map(|(name, shape)| {
        let small = name.contains("projection");
        let mut values = draw(&name, shape[0] * shape[1], if small { 0.1 * reach } else { reach });
        if let Some((_, gate)) = name.split_once("input_bias.") {
            values.iter_mut().for_each(|b| *b += Cell::first_bias(gate));
        }
        (name, values, shape)
    });
    let width = settings.stationary_factors + 1;
    let owners = stationary.len() / width;
    let inputs = (
        format!("{name}.inputs"),
        draw(&format!("{name}.inputs"), others * settings.embedding, 0.1),
        [others, settings.embedding],
    );
    dense.chain([inputs, (format!("{name}.stationary"), stationary, [owners, width])]).collect()
}

/// One side's parameters.
pub(super) struct NativeNetwork {
    pub name: &'static str,
    pub dense: Vec<HostParameter>,
    /// Embeddings of what a step rates.
    pub inputs: HostParameter,
    /// Stationary factors and bias.
    pub stationary: HostParameter,
    steps: u64,
}

impl NativeNetwork {
    /// First values as on a device.
    pub fn new(
        settings: &Settings,
        name: &'static str,
        others: usize,
        stationary: Vec<f32>,
        seed: u64,
    ) -> Self {
        let mut dense: Vec<HostParameter> = first_values(settings, name, others, stationary, seed)
            .into_iter()
            .map(|(name, values, shape)| HostParameter::new(name, values, shape))
            .collect();
        let (stationary, inputs) = (dense.pop(), dense.pop());
        let (Some(stationary), Some(inputs)) = (stationary, inputs) else {
            unreachable!("the tables come last")
        };
        Self { name, dense, inputs, stationary, steps: 0 }
    }

    fn parameters(&self) -> impl Iterator<Item = &HostParameter> {
        self.dense.iter().chain([&self.inputs, &self.stationary])
    }

    /// Values in the order [`super::replay::Side::new`] takes them.
    pub fn values(&self) -> Vec<Vec<f32>> {
        self.parameters().map(|parameter| parameter.value.clone()).collect()
    }

    pub fn state(&self) -> Vec<NamedTensor> {
        std::iter::once(steps_tensor(&format!("{}.steps", self.name), self.steps))
            .chain(self.parameters().flat_map(HostParameter::state))
            .collect()
    }

    pub fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        self.steps = steps_of(tensors, &format!("{}.steps", self.name))?;
        self.dense
            .iter_mut()
            .chain([&mut self.inputs, &mut self.stationary])
            .try_for_each(|parameter| parameter.restore(tensors))
    }

    /// The gates' parameters beside each other, as the fused layer has them.
    fn layer(&self, settings: &Settings) -> Layer {
        let mut layer = Layer::zeros(Cell::Lstm, settings.embedding, settings.size);
        for (kind, to) in [&mut layer.input, &mut layer.bias, &mut layer.hidden].into_iter().enumerate() {
            for gate in 0..GATES {
                let from = self.dense[kind * GATES + gate].value.chunks_exact(settings.size);
                from.zip(to.chunks_exact_mut(GATES * settings.size))
                    .for_each(|(from, to)| to[gate * settings.size..][..settings.size].copy_from_slice(from));
            }
        }
        layer
    }

    /// Updates the parameters along a window's gradients.
    pub fn step(&mut self, window: &Window, settings: &Settings, rate: f32) {
        self.steps += 1;
        let step = AdamStep { rate, weight_decay: settings.weight_decay, number: self.steps };
        for (parameter, gradient) in self.dense.iter_mut().zip(&window.dense) {
            parameter.adam(gradient, step);
        }
        self.inputs.adam_rows(&window.inputs.ids, &window.inputs.values, step);
        let slower = AdamStep { rate: rate * settings.stationary_learning_rate, ..step };
        self.stationary.adam_rows(&window.stationary.ids, &window.stationary.values, slower);
    }
}

/// Gradients of the rows of a table that were touched.
#[derive(Default)]
pub(super) struct Touched {
    /// Rows, ascending.
    pub ids: Vec<u32>,
    /// One row of gradients each.
    pub values: Vec<f32>,
}

impl Touched {
    fn new(mut ids: Vec<u32>, width: usize) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self { values: vec![0.0; ids.len() * width], ids }
    }

    fn row(&mut self, id: u32) -> &mut [f32] {
        let (at, width) = (self.ids.binary_search(&id).unwrap_or(0), self.values.len() / self.ids.len());
        &mut self.values[at * width..(at + 1) * width]
    }

    /// All parts' gradients, in the parts' order.
    fn joined(parts: &[&Self], width: usize) -> Self {
        let mut all = Self::new(parts.iter().flat_map(|part| part.ids.iter().copied()).collect(), width);
        for part in parts {
            part.ids
                .iter()
                .zip(part.values.chunks_exact(width))
                .for_each(|(id, values)| add(all.row(*id), values, 1.0));
        }
        all
    }
}

/// Squared errors and gradients of a window, dense ones in the order of [`super::replay::shapes`].
pub(super) struct Window {
    pub squares: f64,
    pub dense: Vec<Vec<f32>>,
    pub inputs: Touched,
    pub stationary: Touched,
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
    pub other_stationary: &'a HostParameter,
    /// Owners of the ratings on the moving side and on the other.
    pub owners: &'a [u32],
    pub others: &'a [u32],
}

/// The states of a window's rows, task by task.
pub(super) fn carried(settings: &Settings) -> Vec<States> {
    let layer = Layer::zeros(Cell::Lstm, settings.embedding, settings.size);
    (0..settings.rows)
        .step_by(TASK)
        .map(|from| States::zeros(&layer, TASK.min(settings.rows - from)))
        .collect()
}

/// Data shared by the tasks of a window.
struct Shared<'a> {
    network: &'a NativeNetwork,
    fixed: &'a Fixed<'a>,
    layer: Layer,
    transposed: Transposed,
    /// The projection, transposed.
    projection: Vec<f32>,
    /// Of a rating's squared error in the loss.
    weight: f32,
}

/// The result of one task.
struct Part {
    squares: f64,
    layer: Layer,
    /// Of times, projection and its bias.
    rest: [Vec<f32>; 3],
    inputs: Touched,
    stationary: Touched,
}

/// Runs a window (whose items are step numbers) from the states `carried`, which are advanced to its end.
pub(super) fn window(
    network: &NativeNetwork,
    fixed: &Fixed,
    batch: &Batch,
    carried: &mut [States],
) -> Window {
    let settings = fixed.settings;
    let there = (0..settings.window * settings.rows).filter(|entry| batch.mask[*entry] > 0.0);
    let predicted: usize = there.map(|entry| fixed.steps.rows(batch.items[entry]).len()).sum();
    let layer = network.layer(settings);
    let mut transposed = Transposed::default();
    transposed.update(&layer);
    let mut projection = Vec::new();
    transpose(&network.dense[3 * GATES + 1].value, settings.dynamic_factors, &mut projection);
    let shared =
        Shared { network, fixed, layer, transposed, projection, weight: 1.0 / predicted.max(1) as f32 };
    let parts: Vec<Part> = carried
        .par_iter_mut()
        .enumerate()
        .map(|(task, states)| shared.part(batch, task * TASK, states))
        .collect();

    let mut sum = Layer::zeros(Cell::Lstm, settings.embedding, settings.size);
    let mut rest =
        [3 * GATES, 3 * GATES + 1, 3 * GATES + 2].map(|place| vec![0.0; network.dense[place].value.len()]);
    for part in &parts {
        sum.tensors_mut().into_iter().zip(part.layer.tensors()).for_each(|(sum, part)| add(sum, part, 1.0));
        rest.iter_mut().zip(&part.rest).for_each(|(sum, part)| add(sum, part, 1.0));
    }
    let of_gate = |from: &[f32], gate: usize| -> Vec<f32> {
        from.chunks_exact(GATES * settings.size)
            .flat_map(|row| row[gate * settings.size..][..settings.size].iter().copied())
            .collect()
    };
    let gates = [&sum.input, &sum.bias, &sum.hidden]
        .into_iter()
        .flat_map(|from| (0..GATES).map(|gate| of_gate(from, gate)));
    Window {
        squares: parts.iter().map(|part| part.squares).sum(),
        dense: gates.chain(rest).collect(),
        inputs: Touched::joined(
            &parts.iter().map(|part| &part.inputs).collect::<Vec<_>>(),
            settings.embedding,
        ),
        stationary: Touched::joined(
            &parts.iter().map(|part| &part.stationary).collect::<Vec<_>>(),
            settings.stationary_factors + 1,
        ),
    }
}

/// An entry of a task, where a sequence is.
struct Entry {
    at: usize,
    step: u32,
    begins: bool,
    times: [f32; 3],
}

impl Shared<'_> {
    /// The entries of the rows from `from` on, and for all of them whether a sequence begins.
    fn entries(&self, batch: &Batch, from: usize, rows: usize) -> (Vec<Entry>, Vec<f32>) {
        let Fixed { settings, scale, steps, .. } = self.fixed;
        let (mut entries, mut start) = (Vec::new(), Vec::with_capacity(settings.window * rows));
        for place in 0..settings.window {
            for row in 0..rows {
                let entry = place * settings.rows + from + row;
                start.push(batch.start[entry]);
                if batch.mask[entry] > 0.0 {
                    let (step, begins) = (batch.items[entry], batch.start[entry] > 0.0);
                    let now = scale.tau(steps.days[step as usize]);
                    let then = if begins { now } else { scale.tau(steps.days[step as usize - 1]) };
                    entries.push(Entry {
                        at: place * rows + row,
                        step,
                        begins,
                        times: [f32::from(u8::from(begins)), now, then],
                    });
                }
            }
        }
        (entries, start)
    }

    fn part(&self, batch: &Batch, from: usize, states: &mut States) -> Part {
        let Fixed { settings, ratings, steps, others, owners, .. } = self.fixed;
        let (network, dense) = (self.network, &self.network.dense);
        let (e, h, k) = (settings.embedding, settings.size, settings.dynamic_factors);
        let rows = states.hidden.len() / h;
        let (entries, start) = self.entries(batch, from, rows);
        // An entry's input is the ratings of the step before.
        let read = |entry: &Entry| if entry.begins { &[][..] } else { steps.rows(entry.step - 1) };

        let mut x = vec![0.0; start.len() * e];
        for entry in &entries {
            let x = &mut x[entry.at * e..(entry.at + 1) * e];
            read(entry)
                .iter()
                .for_each(|row| add(x, network.inputs.row(others[*row as usize]), ratings.value(*row)));
            accumulate(x, &entry.times, &dense[3 * GATES].value);
        }
        let mut tape = Tape::default();
        self.layer.forward(&x, &start, rows, states, &mut tape, |_, _, _| {});
        let mut projected = vec![0.0; start.len() * k];
        projected.chunks_exact_mut(k).for_each(|row| row.copy_from_slice(&dense[3 * GATES + 2].value));
        product_into(
            &mut projected,
            k,
            Matrix::new(&tape.after, h),
            Matrix::new(&dense[3 * GATES + 1].value, k),
            true,
        );

        let mut stationary = Touched::new(
            entries
                .iter()
                .flat_map(|entry| steps.rows(entry.step))
                .map(|row| owners[*row as usize])
                .collect(),
            settings.stationary_factors + 1,
        );
        let mut d_projected = vec![0.0; projected.len()];
        let mut squares = 0.0;
        for entry in &entries {
            let at = entry.at * k..(entry.at + 1) * k;
            squares += self.errors(entry.step, &projected[at.clone()], &mut d_projected[at], &mut stationary);
        }

        let mut layer = Layer::zeros(Cell::Lstm, e, h);
        let mut rest = [vec![0.0; 3 * e], vec![0.0; h * k], vec![0.0; k]];
        d_projected.chunks_exact(k).for_each(|row| add(&mut rest[2], row, 1.0));
        product_into(&mut rest[1], k, Matrix::new(&tape.after, h).t(), Matrix::new(&d_projected, k), false);
        let mut d_after = vec![0.0; start.len() * h];
        product_into(&mut d_after, h, Matrix::new(&d_projected, k), Matrix::new(&self.projection, h), false);
        let mut dx = vec![0.0; x.len()];
        self.layer.backward(
            &self.transposed,
            &x,
            &start,
            &[],
            &d_after,
            &mut tape,
            &mut layer,
            Some(&mut dx),
            |_, _, _| {},
        );

        let mut inputs =
            Touched::new(entries.iter().flat_map(read).map(|row| others[*row as usize]).collect(), e);
        for entry in &entries {
            let dx = &dx[entry.at * e..(entry.at + 1) * e];
            rest[0].chunks_exact_mut(e).zip(entry.times).for_each(|(out, time)| add(out, dx, time));
            read(entry)
                .iter()
                .for_each(|row| add(inputs.row(others[*row as usize]), dx, ratings.value(*row)));
        }
        Part { squares, layer, rest, inputs, stationary }
    }

    /// Squared errors of a step's ratings under its projected state; adds to the gradients of that state and
    /// of the owners' stationary parts.
    fn errors(&self, step: u32, state: &[f32], d_state: &mut [f32], stationary: &mut Touched) -> f64 {
        let Fixed { ratings, steps, other_steps, other_states, other_stationary, owners, others, .. } =
            self.fixed;
        let (k, s) = (state.len(), self.network.stationary.width() - 1);
        let mut squares = 0.0;
        for row in steps.rows(step) {
            let (owner, at) = (owners[*row as usize], other_steps.of_row[*row as usize] as usize);
            let (other_state, other) =
                (&other_states[at * k..(at + 1) * k], other_stationary.row(others[*row as usize]));
            let own = self.network.stationary.row(owner);
            let error = dot(state, other_state) + dot(&own[..s], &other[..s]) + own[s] + other[s]
                - ratings.target(*row);
            squares += f64::from(error) * f64::from(error);
            let slope = 2.0 * self.weight * error;
            add(d_state, other_state, slope);
            let out = stationary.row(owner);
            add(&mut out[..s], &other[..s], slope);
            out[s] += slope;
        }
        squares
    }
}
