//! All weights: names, sizes, initial values.

use super::{Form, Objective, Settings};
use crate::Result;
use crate::engine::codes::Codes;
use crate::engine::kernels::add;
use crate::engine::recurrent::Cell;
use crate::engine::sequence::{Layer, Levels};
use crate::engine::tensors::{NamedTensor, Tensors};
use foretaste_data::rng;
use rand::RngExt;

/// The sizes that determine the weights' shapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sizes {
    pub cell: Cell,
    pub depth: usize,
    pub size: usize,
    pub factors: usize,
    /// Features of time, the constant included.
    pub when: usize,
    /// Whether ratings are inputs.
    pub ratings: bool,
    /// Whether ratings are predicted.
    pub rates: bool,
    /// Whether next items are.
    pub ranks: bool,
    /// Whether the state is discounted by time before it is decoded.
    pub gate: bool,
    /// Levels of states above the sessions'.
    pub levels: usize,
    /// Whether the lowest level's state enters every step.
    pub all: bool,
}

impl Sizes {
    pub fn new(settings: &Settings, when: usize) -> Self {
        Self {
            cell: settings.cell,
            depth: settings.depth,
            size: settings.size,
            factors: settings.item_factors,
            when,
            ratings: settings.ratings,
            rates: settings.objective != Objective::NextItem,
            ranks: settings.objective != Objective::Rating,
            gate: settings.gate,
            levels: if settings.form == Form::Inputs { 0 } else { settings.height },
            all: settings.form == Form::All,
        }
    }

    /// Width of `x_t`.
    pub fn inputs(&self) -> usize {
        self.when - 1 + if self.ratings { 2 * self.factors + 2 } else { self.factors }
    }

    /// Width of a query for a rating: factors, the item bias's weight, and what does not depend on the item.
    pub fn query(&self) -> usize {
        self.factors + 2
    }

    /// Width of a query for next items: factors, and the item bias's weight.
    pub fn next(&self) -> usize {
        self.factors + 1
    }
}

/// The dense weights, or values of the same shape: gradients, moments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dense {
    pub layers: Vec<Layer>,
    pub levels: Levels,
    /// `C`, `[when, size]`; empty without gate.
    pub gate: Vec<f32>,
    /// `W_o` over `W_c`, `[size + when, factors + 2]`; empty where no rating is predicted.
    pub query: Vec<f32>,
    /// The same for next items, `[size + when, factors + 1]`; empty where none are predicted.
    pub next: Vec<f32>,
}

impl Dense {
    pub fn zeros(sizes: &Sizes) -> Self {
        let layer = |at: usize| {
            Layer::zeros(sizes.cell, if at == 0 { sizes.inputs() } else { sizes.size }, sizes.size)
                .with_reach(1 << at)
        };
        Self {
            layers: (0..sizes.depth).map(layer).collect(),
            levels: Levels::zeros(sizes.levels, sizes.size, sizes.all),
            gate: vec![0.0; if sizes.gate { sizes.when * sizes.size } else { 0 }],
            query: vec![0.0; if sizes.rates { (sizes.size + sizes.when) * sizes.query() } else { 0 }],
            next: vec![0.0; if sizes.ranks { (sizes.size + sizes.when) * sizes.next() } else { 0 }],
        }
    }

    /// Initial values: uniform within `1 / sqrt(size)` in the layers, a query for the item's
    /// bias alone, a gate that passes nine tenths.
    pub fn first(sizes: &Sizes, seed: u64) -> Self {
        let mut dense = Self::zeros(sizes);
        let reach = 1.0 / (sizes.size as f32).sqrt();
        let mut random = rng(seed, "hrnn dense");
        let mut fill = |values: &mut [f32], reach: f32| {
            values.iter_mut().for_each(|v| *v = random.random_range(-1.0..1.0) * reach);
        };
        for layer in &mut dense.layers {
            layer.tensors_mut().into_iter().for_each(|tensor| fill(tensor, reach));
            // An LSTM's forget gate starts open.
            let biases = layer.bias.chunks_exact_mut(sizes.size).zip(sizes.cell.gates());
            biases.for_each(|(bias, gate)| bias.iter_mut().for_each(|b| *b += Cell::first_bias(gate)));
        }
        dense.levels.tensors_mut().for_each(|tensor| fill(tensor, reach));
        if sizes.gate {
            let constant = (sizes.when - 1) * sizes.size;
            dense.gate[constant..].fill(2.2);
        }
        for (query, width) in [(&mut dense.query, sizes.query()), (&mut dense.next, sizes.next())]
            .into_iter()
            .filter(|(query, _)| !query.is_empty())
        {
            let (of_state, of_time) = query.split_at_mut(sizes.size * width);
            of_state.chunks_exact_mut(width).for_each(|row| fill(&mut row[..sizes.factors], reach));
            of_time[(sizes.when - 1) * width + sizes.factors] = 1.0;
        }
        dense
    }

    /// All values, in a fixed order.
    pub fn tensors(&self) -> Vec<&[f32]> {
        self.layers
            .iter()
            .flat_map(Layer::tensors)
            .chain(self.levels.tensors())
            .chain([&self.gate, &self.query, &self.next].map(Vec::as_slice))
            .collect()
    }

    /// See [`tensors`](Self::tensors).
    pub fn tensors_mut(&mut self) -> Vec<&mut [f32]> {
        self.layers
            .iter_mut()
            .flat_map(Layer::tensors_mut)
            .chain(self.levels.tensors_mut())
            .chain([&mut self.gate, &mut self.query, &mut self.next].map(Vec::as_mut_slice))
            .collect()
    }
}

/// Places of the tables in [`Weights::tables`].
pub(super) const ITEM_INPUT: usize = 0;
pub(super) const ITEM_OUTPUT: usize = 1;
pub(super) const ITEM_NEXT: usize = 2;
pub(super) const CODE_INPUT: usize = 3;
pub(super) const CODE_OUTPUT: usize = 4;
pub(super) const CODE_NEXT: usize = 5;
pub(super) const USER: usize = 6;

const NAMES: [&str; 7] =
    ["item_input", "item_output", "item_next", "code_input", "code_output", "code_next", "user"];

/// One of each table.
pub(super) type Tables<T> = [T; NAMES.len()];

/// All weights, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights {
    pub sizes: Sizes,
    pub dense: Dense,
    /// One row per item, attribute code or user.
    pub tables: Tables<Vec<f32>>,
    /// Attribute codes of the items.
    pub codes: Codes,
}

impl Weights {
    /// Initial values: small factors, items' biases as `biases` has them for ratings and for next items,
    /// users and codes at 0.
    pub fn first(sizes: Sizes, users: usize, biases: [&[f32]; 2], codes: Codes, seed: u64) -> Self {
        let (d, items) = (sizes.factors, biases[0].len());
        let mut random = rng(seed, "hrnn tables");
        let mut input = vec![0.0; items * d];
        input.iter_mut().for_each(|v| *v = random.random_range(-0.5..0.5));
        let mut output = |there: bool, biases: &[f32]| {
            let mut output = vec![0.0; if there { items * (d + 1) } else { 0 }];
            for (row, bias) in output.chunks_exact_mut(d + 1).zip(biases) {
                row[..d].iter_mut().for_each(|v| *v = random.random_range(-0.1..0.1));
                row[d] = *bias;
            }
            output
        };
        let (output, next) = (output(sizes.rates, biases[0]), output(sizes.ranks, biases[1]));
        let codes_of = |there: bool, width: usize| vec![0.0; if there { codes.n * width } else { 0 }];
        let of_users = vec![0.0; if sizes.rates { users * sizes.query() } else { 0 }];
        let tables = [
            input,
            output,
            next,
            codes_of(true, d),
            codes_of(sizes.rates, d + 1),
            codes_of(sizes.ranks, d + 1),
            of_users,
        ];
        Self { dense: Dense::first(&sizes, seed), sizes, tables, codes }
    }

    /// Width of a table's rows.
    pub fn width(&self, table: usize) -> usize {
        width(&self.sizes, table)
    }

    /// A row of a table, if there is one.
    pub fn row(&self, table: usize, id: u32) -> Option<&[f32]> {
        let (width, id) = (self.width(table), id as usize);
        self.tables[table].get(id * width..(id + 1) * width)
    }

    /// An item's row with its attributes' (their mean) added: what represents the item. An item
    /// out of range is a row of zeros.
    pub fn item(&self, table: usize, item: u32, out: &mut [f32]) {
        out.fill(0.0);
        if let Some(row) = self.row(table, item) {
            out.copy_from_slice(row);
        }
        let codes = self.codes.of(item as usize);
        for code in codes {
            if let Some(row) = self.row(table + CODE_INPUT - ITEM_INPUT, *code) {
                add(out, row, 1.0 / codes.len() as f32);
            }
        }
    }

    /// All items' rows of a table, as [`item`](Self::item) has them.
    pub fn items(&self, table: usize) -> Vec<f32> {
        let mut rows = vec![0.0; self.tables[table].len()];
        rows.chunks_exact_mut(self.width(table))
            .enumerate()
            .for_each(|(item, out)| self.item(table, item as u32, out));
        rows
    }

    /// Items without training rows are reduced to their attributes and their bias, which needs no network.
    pub fn wipe_untrained(&mut self, trained: &[bool]) {
        let factors = self.sizes.factors;
        for table in [ITEM_INPUT, ITEM_OUTPUT, ITEM_NEXT] {
            let width = self.width(table);
            let rows = self.tables[table].chunks_exact_mut(width).zip(trained);
            rows.filter(|(_, trained)| !**trained).for_each(|(row, _)| row[..factors].fill(0.0));
        }
    }

    pub fn parameters(&self) -> usize {
        self.dense.tensors().iter().map(|t| t.len()).sum::<usize>()
            + self.tables.iter().map(Vec::len).sum::<usize>()
    }

    /// All of it by name.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = self.named("", &self.dense, self.tables.each_ref().map(Vec::as_slice));
        tensors.push(NamedTensor::integers("code_offsets", self.codes.offsets.iter().map(|o| *o as i64)));
        tensors.push(NamedTensor::integers("codes", self.codes.ids.iter().map(|c| i64::from(*c))));
        tensors
    }

    /// Tensors of the weights' shapes under names that begin with `prefix`.
    pub fn named(&self, prefix: &str, dense: &Dense, tables: Tables<&[f32]>) -> Vec<NamedTensor> {
        let shapes = dense_shapes(&self.sizes).into_iter().zip(dense.tensors());
        let mut tensors: Vec<NamedTensor> = shapes
            .map(|((name, shape), values)| {
                NamedTensor::new(format!("{prefix}{name}"), &shape, values.to_vec())
            })
            .collect();
        for (at, values) in tables.into_iter().enumerate() {
            let width = self.width(at);
            tensors.push(NamedTensor::new(
                format!("{prefix}{}", NAMES[at]),
                &[values.len() / width, width],
                values.to_vec(),
            ));
        }
        tensors
    }

    /// Reads back what [`named`](Self::named) wrote.
    pub fn read(sizes: &Sizes, prefix: &str, from: &Tensors) -> Result<(Dense, Tables<Vec<f32>>)> {
        let mut dense = Dense::zeros(sizes);
        for ((name, shape), values) in dense_shapes(sizes).into_iter().zip(dense.tensors_mut()) {
            values.copy_from_slice(
                &from.get(&format!("{prefix}{name}"), &[Some(shape[0]), Some(shape[1])])?.data,
            );
        }
        let mut tables = std::array::from_fn(|_| Vec::new());
        for (at, table) in tables.iter_mut().enumerate() {
            *table = from.values(&format!("{prefix}{}", NAMES[at]), &[None, Some(width(sizes, at))])?;
        }
        Ok((dense, tables))
    }

    /// Reads back what [`tensors`](Self::tensors) wrote.
    pub fn restore(sizes: Sizes, from: &Tensors) -> Result<Self> {
        let (dense, tables) = Self::read(&sizes, "", from)?;
        let offsets = from.integers("code_offsets")?.into_iter().map(|o| o as usize).collect();
        let ids = from.integers("codes")?.into_iter().map(|c| c as u32).collect();
        let n = tables[CODE_INPUT].len() / sizes.factors;
        Ok(Self { sizes, dense, tables, codes: Codes { offsets, ids, n } })
    }
}

fn width(sizes: &Sizes, table: usize) -> usize {
    match table {
        ITEM_INPUT | CODE_INPUT => sizes.factors,
        ITEM_OUTPUT | CODE_OUTPUT | ITEM_NEXT | CODE_NEXT => sizes.factors + 1,
        _ => sizes.query(),
    }
}

/// Names and shapes of the dense weights, in the order of [`Dense::tensors`].
fn dense_shapes(sizes: &Sizes) -> Vec<(String, [usize; 2])> {
    let mut shapes = Vec::new();
    let of = |prefix: String, layer: &Layer| {
        let width = layer.width();
        let named = [
            ("input", [layer.inputs, width]),
            ("bias", [1, width]),
            ("hidden", [layer.hidden.len() / width, width]),
            ("inner", [1, layer.inner.len()]),
        ];
        named.map(|(name, shape)| (format!("{prefix}.{name}"), shape))
    };
    let Dense { layers, levels, .. } = Dense::zeros(sizes);
    layers.iter().enumerate().for_each(|(at, layer)| shapes.extend(of(format!("layer.{at}"), layer)));
    for (at, level) in levels.levels.iter().enumerate() {
        shapes.extend(of(format!("level.{at}"), &level.cell));
        shapes.push((format!("level.{at}.handover"), [sizes.size + 1, sizes.size]));
    }
    shapes.push(("context".into(), [levels.context.len() / (3 * sizes.size), 3 * sizes.size]));
    shapes.push(("gate".into(), [if sizes.gate { sizes.when } else { 0 }, sizes.size]));
    shapes.push(("query".into(), [if sizes.rates { sizes.size + sizes.when } else { 0 }, sizes.query()]));
    shapes.push(("next".into(), [if sizes.ranks { sizes.size + sizes.when } else { 0 }, sizes.next()]));
    shapes
}
