//! The network's parameters on a device, and Adam over them.
//!
//! Dense parameters take a plain Adam step (Kingma and Ba 2015). Item tables take it on the rows a
//! batch touches alone (as lazy Adam does), so that a step costs what the batch touches, whatever
//! the size of the catalogue.

use super::Settings;
use crate::error::ModelError;
use crate::tensors::{NamedTensor, Tensors};
use crate::{Device, Result};
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use foretaste_data::rng;
use rand::RngExt;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// The gates in the order of their parameters.
pub(super) const GATES: [&str; 3] = ["reset", "update", "new"];

/// Positions of the dense parameters in [`Parameters::dense`].
pub(super) const INPUT: usize = 0;
pub(super) const INPUT_BIAS: usize = 3;
pub(super) const HIDDEN: usize = 6;
pub(super) const HIDDEN_BIAS: usize = 9;
pub(super) const DECODER: usize = 10;
pub(super) const DECODER_BIAS: usize = 11;
pub(super) const USER_BIAS: usize = 12;
/// Positions of the item tables in [`Parameters::tables`].
pub(super) const TABLE_INPUT: usize = 0;
pub(super) const TABLE_OUTPUT: usize = 1;

/// Name and sizes of a parameter.
pub(super) type Shape = (String, [usize; 2]);

/// Names and shapes of all dense parameters, then of the tables.
pub(super) fn shapes(settings: &Settings, items: usize) -> (Vec<Shape>, Vec<Shape>) {
    let (h, d, x) = (settings.size, settings.item_factors, settings.inputs());
    let gates = |name: &str, shape: [usize; 2]| GATES.map(|gate| (format!("{name}.{gate}"), shape));
    let mut dense: Vec<Shape> = Vec::new();
    dense.extend(gates("input", [x, h]));
    dense.extend(gates("input_bias", [1, h]));
    dense.extend(gates("hidden", [h, h]));
    dense.push(("hidden_bias.new".into(), [1, h]));
    dense.push(("decoder".into(), [h, d + 1]));
    dense.push(("decoder_bias".into(), [1, d + 1]));
    dense.push(("user_bias".into(), [h, 1]));
    (dense, vec![("item_input".into(), [items, d]), ("item_output".into(), [items, d + 1])])
}

/// A parameter with Adam's two moments.
pub(super) struct Parameter {
    pub name: String,
    pub value: Tensor<2>,
    first: Tensor<2>,
    second: Tensor<2>,
}

/// One Adam step's numbers.
#[derive(Clone, Copy)]
pub(super) struct AdamStep {
    pub rate: f32,
    pub weight_decay: f32,
    /// Number of this step, from 1.
    pub number: u64,
}

impl AdamStep {
    /// New moments and the change of the value.
    fn apply(self, value: Tensor<2>, first: Tensor<2>, second: Tensor<2>, gradient: Tensor<2>, decay: f32) -> [Tensor<2>; 3] {
        let first = first * BETA_1 + gradient.clone() * (1.0 - BETA_1);
        let second = second * BETA_2 + gradient.clone() * gradient * (1.0 - BETA_2);
        let n = self.number.min(1_000_000) as i32;
        let (c1, c2) = (1.0 - f64::from(BETA_1).powi(n), 1.0 - f64::from(BETA_2).powi(n));
        let direction = first.clone() * ((1.0 / c1) as f32) / ((second.clone() * ((1.0 / c2) as f32)).sqrt() + EPSILON);
        let change = if decay > 0.0 { direction + value * decay } else { direction } * -self.rate;
        [change, first, second]
    }
}

impl Parameter {
    fn step(self, gradient: Tensor<2>, step: AdamStep) -> Self {
        let [change, first, second] = step.apply(self.value.clone(), self.first, self.second, gradient, 0.0);
        Self { name: self.name, value: self.value + change, first, second }
    }

    /// The step on the rows `rows` (distinct) alone.
    fn step_rows(self, rows: &Tensor<1, Int>, gradient: Tensor<2>, step: AdamStep) -> Self {
        let [old_value, old_first, old_second] = [&self.value, &self.first, &self.second].map(|t| t.clone().select(0, rows.clone()));
        let [change, first, second] = step.apply(old_value, old_first.clone(), old_second.clone(), gradient, step.weight_decay);
        let add = |table: Tensor<2>, change: Tensor<2>| table.select_assign(0, rows.clone(), change, IndexingUpdateOp::Add);
        Self { name: self.name, value: add(self.value, change), first: add(self.first, first - old_first), second: add(self.second, second - old_second) }
    }
}

/// All parameters and the number of steps taken.
pub(super) struct Parameters {
    pub dense: Vec<Parameter>,
    pub tables: Vec<Parameter>,
    pub steps: u64,
}

impl Parameters {
    /// First values: uniform within `1 / sqrt(size)` for the network, small factors, the decoder's
    /// last component 1 on `item_biases`.
    pub fn new(settings: &Settings, item_biases: &[f32], seed: u64, device: &Device) -> Self {
        let (dense, tables) = shapes(settings, item_biases.len());
        let d = settings.item_factors;
        let reach = 1.0 / (settings.size as f32).sqrt();
        let draw = |name: &str, shape: [usize; 2]| -> Vec<f32> {
            let mut random = rng(seed, &format!("rnn init {name}"));
            let mut uniform = |reach: f32| (0..shape[0] * shape[1]).map(|_| random.random_range(-1.0_f32..1.0) * reach).collect::<Vec<f32>>();
            match name {
                "decoder_bias" => (0..=d).map(|c| if c == d { 1.0 } else { 0.0 }).collect(),
                "user_bias" => vec![0.0; shape[0]],
                "item_input" => uniform(0.5),
                "item_output" => {
                    let mut values = uniform(0.1);
                    for (row, bias) in values.chunks_exact_mut(d + 1).zip(item_biases) {
                        row[d] = *bias;
                    }
                    values
                }
                _ => uniform(reach),
            }
        };
        let make = |shapes: Vec<Shape>| {
            shapes
                .into_iter()
                .map(|(name, shape)| Parameter {
                    value: on_device(draw(&name, shape), shape, device),
                    first: Tensor::zeros(shape, device.burn()),
                    second: Tensor::zeros(shape, device.burn()),
                    name,
                })
                .collect()
        };
        Self { dense: make(dense), tables: make(tables), steps: 0 }
    }

    /// Takes one Adam step. `rows` are the distinct table rows the gradients belong to.
    pub fn step(&mut self, dense: Vec<Tensor<2>>, tables: Vec<Tensor<2>>, rows: &Tensor<1, Int>, rate: f32, weight_decay: f32) {
        self.steps += 1;
        let step = AdamStep { rate, weight_decay, number: self.steps };
        // Parameters move through the step, so that tables nobody else holds change in place.
        self.dense = std::mem::take(&mut self.dense).into_iter().zip(dense).map(|(p, g)| p.step(g, step)).collect();
        self.tables = std::mem::take(&mut self.tables).into_iter().zip(tables).map(|(p, g)| p.step_rows(rows, g, step)).collect();
    }

    fn all(&self) -> impl Iterator<Item = &Parameter> {
        self.dense.iter().chain(&self.tables)
    }

    /// Values alone, by name.
    pub fn values(&self) -> Result<Vec<NamedTensor>> {
        self.all().map(|p| read(&p.name, &p.value)).collect()
    }

    /// Values, moments and the number of steps, for a checkpoint.
    pub fn state(&self) -> Result<Vec<NamedTensor>> {
        let mut tensors = Vec::new();
        for p in self.all() {
            tensors.push(read(&format!("now.{}", p.name), &p.value)?);
            tensors.push(read(&format!("first.{}", p.name), &p.first)?);
            tensors.push(read(&format!("second.{}", p.name), &p.second)?);
        }
        // Two halves, each exact in f32.
        tensors.push(NamedTensor::new("steps", &[2], vec![(self.steps >> 20) as f32, (self.steps & 0xf_ffff) as f32]));
        Ok(tensors)
    }

    /// Takes up what [`state`](Self::state) wrote.
    pub fn restore(&mut self, tensors: &Tensors, device: &Device) -> Result<()> {
        for p in self.dense.iter_mut().chain(&mut self.tables) {
            let shape = p.value.dims();
            let get = |kind: &str| -> Result<Tensor<2>> {
                let values = tensors.values(&format!("{kind}.{}", p.name), &[Some(shape[0]), Some(shape[1])])?;
                Ok(on_device(values, shape, device))
            };
            (p.value, p.first, p.second) = (get("now")?, get("first")?, get("second")?);
        }
        let steps = tensors.values("steps", &[Some(2)])?;
        self.steps = (steps[0] as u64) << 20 | steps[1] as u64;
        Ok(())
    }
}

pub(super) fn on_device(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device.burn())
}

pub(super) fn read(name: &str, tensor: &Tensor<2>) -> Result<NamedTensor> {
    let shape = tensor.dims();
    let values = tensor.clone().try_into_vec_as::<f32>().map_err(|e| ModelError::device("", format!("reading {name} back failed: {e}")))?;
    Ok(NamedTensor::new(name, &shape, values))
}
