//! Training: one batch of rows a step, native or on a device.

#[cfg(feature = "burn")]
use super::middle::Middle;
use super::native::NativeMiddle;
use super::replay::{Network, Shape};
use super::rows::{ByColumn, Rows};
use super::wide::{Table, Wide};
use super::{Optimizer, Step};
use crate::engine::host::HostParameter;
use crate::engine::optimizer::{steps_of, steps_tensor};
#[cfg(feature = "burn")]
use crate::engine::parameter::{Parameter, values};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::{Device, FitContext, Result};
use foretaste_data::rng;
use rand::RngExt;
use rand::seq::SliceRandom;

/// The objective and how it is minimized.
#[derive(Debug, Clone)]
pub(crate) struct Objective {
    pub optimizer: Optimizer,
    /// Rows per step.
    pub batch: usize,
    /// Penalty on all weights, `l/2 |w|^2`, beside the sum of squared errors over all rows.
    pub regularization: f32,
    /// Whether a step's loss is the mean over its ratings; else their sum.
    pub mean: bool,
    /// Share of the code layer that is dropped.
    pub dropout: f32,
    /// Steps on a batch's own dense output after each step on the batch.
    pub refeeding: usize,
    /// Whether the last, partial batch of an epoch is left out.
    pub drop_last: bool,
}

/// The layers, where they are computed.
pub(super) enum Layers {
    Native(Box<Wide>, NativeMiddle),
    /// `V`, `b_1`, `W`, `b_o` on a device, where batches are made dense, and the layers between.
    #[cfg(feature = "burn")]
    Dense(Vec<Parameter>, Middle),
}

/// A network in training.
pub(crate) struct Training<'a> {
    pub(super) shape: Shape,
    pub(super) objective: Objective,
    data: &'a Rows,
    pub(super) layers: Layers,
    steps: u64,
    #[cfg(feature = "burn")]
    pub(super) device: &'a Device,
}

const NAMES: [&str; 4] = ["input", "input_bias", "output", "output_bias"];

impl<'a> Training<'a> {
    /// First values: uniform within `sqrt(6 / (in + out))` (Glorot and Bengio 2010), biases 0.
    pub fn new(shape: Shape, objective: Objective, data: &'a Rows, seed: u64, device: &'a Device) -> Self {
        Self::on(shape, objective, data, seed, device, device.is_flex())
    }

    /// The same with a given form of the wide layers.
    pub(super) fn on(
        shape: Shape,
        objective: Objective,
        data: &'a Rows,
        seed: u64,
        device: &'a Device,
        native: bool,
    ) -> Self {
        #[cfg(not(feature = "burn"))]
        let _ = device;
        let draw = |name: &str, rows: usize, columns: usize| -> Vec<f32> {
            let mut random = rng(seed, &format!("autoencoder init {name}"));
            let reach = (6.0 / (rows + columns) as f32).sqrt();
            (0..rows * columns).map(|_| random.random_range(-1.0_f32..1.0) * reach).collect()
        };
        let (first, last) = (shape.sizes[0], shape.sizes[shape.sizes.len() - 1]);
        let width = shape.width;
        let tables = [
            (draw("input", width, first), first),
            (vec![0.0; first], first),
            (draw("output", width, last), last),
            (vec![0.0; width], 1),
        ];
        let between: Vec<(String, Vec<f32>, [usize; 2])> = shape
            .sizes
            .windows(2)
            .enumerate()
            .flat_map(|(layer, pair)| {
                let weights = (
                    format!("layer.{layer}"),
                    draw(&format!("layer {layer}"), pair[0], pair[1]),
                    [pair[0], pair[1]],
                );
                [weights, (format!("layer_bias.{layer}"), vec![0.0; pair[1]], [1, pair[1]])]
            })
            .collect();
        let (activation, code) = (shape.activation, shape.code);
        let layers = if native {
            let [input, input_bias, output, output_bias] =
                tables.map(|(values, size)| Table::new(values, size));
            let parameters = between
                .into_iter()
                .map(|(name, values, shape)| HostParameter::new(name, values, shape))
                .collect();
            Layers::Native(
                Box::new(Wide { input, input_bias, output, output_bias }),
                NativeMiddle { parameters, activation, code },
            )
        } else {
            #[cfg(not(feature = "burn"))]
            unreachable!("a device but the CPU comes with the feature burn");
            #[cfg(feature = "burn")]
            {
                // Biases are added to rows of a batch.
                let shapes = [[width, first], [1, first], [width, last], [1, width]];
                let edges = tables
                    .into_iter()
                    .zip(shapes)
                    .zip(NAMES)
                    .map(|(((values, _), shape), name)| Parameter::new(name, values, shape, device))
                    .collect();
                let parameters = between
                    .into_iter()
                    .map(|(name, values, shape)| Parameter::new(name, values, shape, device))
                    .collect();
                Layers::Dense(edges, Middle { parameters, activation, code })
            }
        };
        Self {
            shape,
            objective,
            data,
            layers,
            steps: 0,
            #[cfg(feature = "burn")]
            device,
        }
    }

    /// One pass over all rows that have ratings; returns the sum of squared errors before each step.
    pub fn epoch(&mut self, epoch: usize, rate: f32, context: &FitContext) -> Result<f64> {
        let mut order: Vec<u32> =
            (0..self.data.len() as u32).filter(|row| !self.data.row(*row as usize).0.is_empty()).collect();
        order.shuffle(&mut rng(context.seed, &format!("autoencoder order {epoch}")));
        let full = order.len() / self.objective.batch * self.objective.batch;
        let rows = order.len();
        // A data set smaller than one batch still trains.
        if self.objective.drop_last && full > 0 {
            order.truncate(full);
        }
        let mut squares = 0.0;
        let mut seen = 0;
        for (number, wanted) in order.chunks(self.objective.batch).enumerate() {
            context.go_on()?;
            let batch = self.data.batch(wanted);
            seen += batch.columns.len();
            squares += self.step(
                &batch,
                wanted.len() as f32 / rows as f32,
                rate,
                &format!("{} {epoch} {number}", context.seed),
            )?;
        }
        // Rows left out count as the average of the others.
        Ok(squares * self.data.columns.len() as f64 / seen.max(1) as f64)
    }

    /// One step on a batch (and on its re-fed output); `share` is the batch's share of all rows.
    fn step(&mut self, batch: &Rows, share: f32, rate: f32, name: &str) -> Result<f64> {
        let divisor = if self.objective.mean { batch.columns.len() as f32 } else { 1.0 };
        let penalty = if self.objective.mean {
            self.objective.regularization
        } else {
            self.objective.regularization * share
        };
        let mask = self.mask(batch.len(), &format!("{name} 0"));
        let mut step = Step { optimizer: self.objective.optimizer, rate, penalty, number: self.steps + 1 };
        let (squares, mut refed) = match &self.layers {
            Layers::Native(..) => self.native_step(batch, mask.as_deref(), divisor, step),
            #[cfg(feature = "burn")]
            Layers::Dense(..) => self.dense_step(batch, mask, divisor, step)?,
        };
        for round in 0..self.objective.refeeding {
            let Some(rows) = refed else { break };
            step.number += 1;
            let mask = self.mask(batch.len(), &format!("{name} {}", round + 1));
            refed = Some(match &self.layers {
                Layers::Native(..) => self.native_refeed(&rows, mask.as_deref(), step),
                #[cfg(feature = "burn")]
                Layers::Dense(..) => self.dense_refeed(rows, mask, step)?,
            });
        }
        self.steps = step.number;
        Ok(squares)
    }

    /// 0 where a unit of the code layer is dropped, `1 / (1 - dropout)` elsewhere.
    fn mask(&self, rows: usize, name: &str) -> Option<Vec<f32>> {
        if self.objective.dropout == 0.0 {
            return None;
        }
        let mut random = rng(0, &format!("dropout {name}"));
        let (size, kept) = (self.shape.sizes[self.shape.code], 1.0 - self.objective.dropout);
        Some(
            (0..rows * size)
                .map(|_| if random.random_range(0.0_f32..1.0) < kept { 1.0 / kept } else { 0.0 })
                .collect(),
        )
    }

    /// A step on sparse rows; returns the squares and, for re-feeding, the dense output before the step.
    fn native_step(
        &mut self,
        batch: &Rows,
        mask: Option<&[f32]>,
        divisor: f32,
        step: Step,
    ) -> (f64, Option<Vec<f32>>) {
        let Layers::Native(wide, middle) = &mut self.layers else { unreachable!("the caller looked") };
        let output = self.shape.output;
        let passed = middle.forward(wide.encode(batch), mask);
        let hidden = passed.output(middle.code).to_vec();
        let refed = (self.objective.refeeding > 0).then(|| wide.decode(&hidden, output));
        let by_column = ByColumn::new(batch);
        let (squares, outcome, back) = wide.compare(batch, hidden, output, divisor);
        let back = middle.backward(&passed, back, mask, step);
        wide.step_output(&by_column, &outcome, step);
        wide.step_input(batch, &by_column, &back, step);
        (squares, refed)
    }

    /// A step on dense rows that are their own targets; returns their output before the step.
    fn native_refeed(&mut self, rows: &[f32], mask: Option<&[f32]>, step: Step) -> Vec<f32> {
        let Layers::Native(wide, middle) = &mut self.layers else { unreachable!("the caller looked") };
        let passed = middle.forward(wide.encode_dense(rows), mask);
        let hidden = passed.output(middle.code).to_vec();
        let next =
            if self.objective.refeeding > 1 { wide.decode(&hidden, self.shape.output) } else { Vec::new() };
        let (outcome, back) = wide.compare_dense(rows, hidden, self.shape.output, rows.len() as f32);
        let back = middle.backward(&passed, back, mask, step);
        wide.step_output(&ByColumn { offsets: Vec::new(), entries: Vec::new() }, &outcome, step);
        wide.step_input_dense(rows, &back, step);
        next
    }

    /// The current network.
    pub fn network(&self) -> Result<Network> {
        let mut all: Vec<Vec<f32>> = match &self.layers {
            Layers::Native(wide, middle) => {
                let edges = [&wide.input, &wide.input_bias, &wide.output, &wide.output_bias]
                    .map(|table| table.value.clone());
                edges
                    .into_iter()
                    .chain(middle.parameters.iter().map(|parameter| parameter.value.clone()))
                    .collect()
            }
            #[cfg(feature = "burn")]
            Layers::Dense(edges, middle) => edges
                .iter()
                .chain(&middle.parameters)
                .map(|parameter| values(parameter.value.clone()))
                .collect::<Result<_>>()?,
        };
        let between = all.split_off(NAMES.len());
        let layers = between.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let [input, input_bias, output, output_bias]: [Vec<f32>; 4] = all.try_into().unwrap_or_default();
        Ok(Network { shape: self.shape.clone(), input, input_bias, output, output_bias, layers })
    }

    /// Everything needed to resume training.
    pub fn state(&self) -> Result<Vec<NamedTensor>> {
        let mut state = vec![steps_tensor("steps", self.steps)];
        match &self.layers {
            Layers::Native(wide, middle) => {
                state.extend(middle.parameters.iter().flat_map(HostParameter::state));
                for (name, table) in
                    NAMES.iter().zip([&wide.input, &wide.input_bias, &wide.output, &wide.output_bias])
                {
                    let shape = [table.value.len() / table.size, table.size];
                    for (kind, values) in
                        [("now", &table.value), ("first", &table.first), ("second", &table.second)]
                    {
                        state.push(NamedTensor::new(format!("{kind}.{name}"), &shape, values.clone()));
                    }
                }
            }
            #[cfg(feature = "burn")]
            Layers::Dense(edges, middle) => {
                for parameter in middle.parameters.iter().chain(edges) {
                    state.extend(parameter.state()?);
                }
            }
        }
        Ok(state)
    }

    /// Restores what [`state`](Self::state) returned.
    pub fn restore(&mut self, state: &Tensors) -> Result<()> {
        self.steps = steps_of(state, "steps")?;
        match &mut self.layers {
            Layers::Native(wide, middle) => {
                middle.parameters.iter_mut().try_for_each(|parameter| parameter.restore(state))?;
                for (name, table) in NAMES.iter().zip([
                    &mut wide.input,
                    &mut wide.input_bias,
                    &mut wide.output,
                    &mut wide.output_bias,
                ]) {
                    let shape = [Some(table.value.len() / table.size), Some(table.size)];
                    for (kind, values) in [
                        ("now", &mut table.value),
                        ("first", &mut table.first),
                        ("second", &mut table.second),
                    ] {
                        *values = state.values(&format!("{kind}.{name}"), &shape)?;
                    }
                }
            }
            #[cfg(feature = "burn")]
            Layers::Dense(edges, middle) => {
                middle
                    .parameters
                    .iter_mut()
                    .chain(edges)
                    .try_for_each(|parameter| parameter.restore(state, self.device))?;
            }
        }
        Ok(())
    }
}

/// A network's weights, by name.
pub(crate) fn tensors_of(network: &Network) -> Vec<NamedTensor> {
    let (first, last) = (network.shape.sizes[0], network.shape.sizes[network.shape.sizes.len() - 1]);
    let width = network.shape.width;
    let mut tensors = vec![
        NamedTensor::new("input", &[width, first], network.input.clone()),
        NamedTensor::new("input_bias", &[first], network.input_bias.clone()),
        NamedTensor::new("output", &[width, last], network.output.clone()),
        NamedTensor::new("output_bias", &[width], network.output_bias.clone()),
    ];
    for (layer, (pair, (weights, biases))) in network.shape.sizes.windows(2).zip(&network.layers).enumerate()
    {
        tensors.push(NamedTensor::new(format!("layer.{layer}"), &[pair[0], pair[1]], weights.clone()));
        tensors.push(NamedTensor::new(format!("layer_bias.{layer}"), &[pair[1]], biases.clone()));
    }
    tensors
}
