//! The network's parameters: names, sizes, first values.

use super::Settings;
use crate::optimizer::{AdamStep, Parameter, steps_of, steps_tensor};
use crate::recurrent::Cell;
use crate::tensors::{NamedTensor, Tensors};
use crate::{Device, Result};
use burn::tensor::{Int, Tensor};
use foretaste_data::rng;
use rand::RngExt;

/// Positions of the item tables in [`Parameters::tables`].
pub(super) const TABLE_INPUT: usize = 0;
pub(super) const TABLE_OUTPUT: usize = 1;

/// Name and sizes of a parameter.
pub(super) type Shape = (String, [usize; 2]);

/// Where the dense parameters stand: a run of gates each for input weights, input biases and hidden
/// weights, then the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub gates: usize,
    /// The GRU's inner bias.
    pub hidden_bias: Option<usize>,
    pub decoder: usize,
}

impl Places {
    pub fn new(cell: Cell) -> Self {
        let gates = cell.gates().len();
        let inner = cell == Cell::Gru;
        Self { gates, hidden_bias: inner.then_some(3 * gates), decoder: 3 * gates + usize::from(inner) }
    }
}

/// Names and shapes of all dense parameters, then of the tables.
pub(super) fn shapes(settings: &Settings, items: usize) -> (Vec<Shape>, Vec<Shape>) {
    let (h, d, x) = (settings.size, settings.item_factors, settings.inputs());
    let mut dense: Vec<Shape> = Vec::new();
    for (name, shape) in [("input", [x, h]), ("input_bias", [1, h]), ("hidden", [h, h])] {
        dense.extend(settings.cell.gates().iter().map(|gate| (format!("{name}.{gate}"), shape)));
    }
    if settings.cell == Cell::Gru {
        dense.push(("hidden_bias.new".into(), [1, h]));
    }
    dense.push(("decoder".into(), [h, d + 1]));
    dense.push(("decoder_bias".into(), [1, d + 1]));
    dense.push(("user_bias".into(), [h, 1]));
    (dense, vec![("item_input".into(), [items, d]), ("item_output".into(), [items, d + 1])])
}

/// All parameters and the number of steps taken.
pub(super) struct Parameters {
    pub dense: Vec<Parameter>,
    pub tables: Vec<Parameter>,
    steps: u64,
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
                _ => match name.strip_prefix("input_bias.") {
                    Some(gate) => uniform(reach).into_iter().map(|b| b + Cell::first_bias(gate)).collect(),
                    None => uniform(reach),
                },
            }
        };
        let make = |shapes: Vec<Shape>| shapes.into_iter().map(|(name, shape)| Parameter::new(name.clone(), draw(&name, shape), shape, device)).collect();
        Self { dense: make(dense), tables: make(tables), steps: 0 }
    }

    /// Takes one Adam step. `rows` are the distinct table rows the gradients belong to.
    pub fn step(&mut self, dense: Vec<Tensor<2>>, tables: Vec<Tensor<2>>, rows: &Tensor<1, Int>, rate: f32, weight_decay: f32) {
        self.steps += 1;
        let step = AdamStep { rate, weight_decay, number: self.steps };
        // Parameters move through the step, so that tables nobody else holds change in place.
        self.dense = std::mem::take(&mut self.dense).into_iter().zip(dense).map(|(p, g)| p.adam(g, step)).collect();
        self.tables = std::mem::take(&mut self.tables).into_iter().zip(tables).map(|(p, g)| p.adam_rows(rows, g, step)).collect();
    }

    fn all(&self) -> impl Iterator<Item = &Parameter> {
        self.dense.iter().chain(&self.tables)
    }

    /// Values alone, by name.
    pub fn values(&self) -> Result<Vec<NamedTensor>> {
        self.all().map(Parameter::named).collect()
    }

    /// Values, moments and the number of steps, for a checkpoint.
    pub fn state(&self) -> Result<Vec<NamedTensor>> {
        let mut tensors = vec![steps_tensor("steps", self.steps)];
        for p in self.all() {
            tensors.extend(p.state()?);
        }
        Ok(tensors)
    }

    /// Takes up what [`state`](Self::state) wrote.
    pub fn restore(&mut self, tensors: &Tensors, device: &Device) -> Result<()> {
        self.steps = steps_of(tensors, "steps")?;
        self.dense.iter_mut().chain(&mut self.tables).try_for_each(|p| p.restore(tensors, device))
    }
}
