//! One user, one interaction at a time: the same equations in constant time.

use super::Model;
use super::inputs::input;
use super::weights::{ITEM_INPUT, ITEM_OUTPUT, USER};
use crate::UserState;
use crate::kernels::dot;
use crate::recurrent::accumulate;
use crate::sequence::{States, sigmoids};

/// What the network knows of one user: states of all layers, the time of the last interaction and
/// how many there were. It can be saved, and carried on by another holder of the same weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    pub(super) layers: Vec<States>,
    pub(super) last: Option<i64>,
    pub(super) count: u32,
}

impl Memory {
    pub(super) fn new(model: &Model) -> Self {
        let sizes = &model.weights.sizes;
        Self { layers: vec![States::zeros(sizes.cell, 1, sizes.size); sizes.depth], last: None, count: 0 }
    }

    /// The state as bytes: count, time of the last interaction, then all units, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.count.to_le_bytes().to_vec();
        bytes.extend(self.last.unwrap_or(i64::MIN).to_le_bytes());
        let units = self.layers.iter().flat_map(|states| states.hidden.iter().chain(&states.memory));
        bytes.extend(units.flat_map(|unit| unit.to_le_bytes()));
        bytes
    }
}

/// A user's state with the weights it runs under.
pub(super) struct State<'a> {
    pub model: &'a Model,
    pub user: u32,
    pub memory: Memory,
}

impl<'a> State<'a> {
    pub fn new(model: &'a Model, user: u32) -> Self {
        Self { memory: Memory::new(model), model, user }
    }

    /// `w` of an interaction at `timestamp`.
    fn when(&self, timestamp: i64) -> Vec<f32> {
        let mut when = vec![0.0; self.model.when.len()];
        self.model.when.write(self.memory.last.map_or(0, |last| timestamp - last), self.memory.count, &mut when);
        when
    }
}

impl UserState for State<'_> {
    fn predict(&self, item: u32, timestamp: i64) -> f32 {
        let weights = &self.model.weights;
        let sizes = &weights.sizes;
        let when = self.when(timestamp);
        let mut state = self.memory.layers[sizes.depth - 1].hidden.clone();
        if sizes.gate {
            let mut gamma = vec![0.0; sizes.size];
            accumulate(&mut gamma, &when, &weights.dense.gate);
            sigmoids(&mut gamma);
            state.iter_mut().zip(gamma).for_each(|(s, g)| *s *= g);
        }
        let mut query = weights.row(USER, self.user).map_or_else(|| vec![0.0; sizes.query()], <[f32]>::to_vec);
        let (of_state, of_time) = weights.dense.query.split_at(sizes.size * sizes.query());
        accumulate(&mut query, &state, of_state);
        accumulate(&mut query, &when, of_time);
        let mut factors = vec![0.0; sizes.factors + 1];
        weights.item(ITEM_OUTPUT, item, &mut factors);
        self.model.scale.mean + dot(&query[..=sizes.factors], &factors) + query[sizes.factors + 1]
    }

    fn reveal(&mut self, item: u32, value: f32, timestamp: i64) {
        let weights = &self.model.weights;
        let sizes = &weights.sizes;
        let when = self.when(timestamp);
        let mut embedding = vec![0.0; sizes.factors];
        weights.item(ITEM_INPUT, item, &mut embedding);
        let mut x = vec![0.0; sizes.inputs()];
        input(&embedding, self.model.scale.standardize(value), &when[..when.len() - 1], sizes.ratings, &mut x);
        for (layer, states) in weights.dense.layers.iter().zip(&mut self.memory.layers) {
            layer.step(&x, &mut states.hidden, &mut states.memory);
            x.clone_from(&states.hidden);
        }
        self.memory.last = Some(timestamp);
        self.memory.count += 1;
    }
}

impl Memory {
    /// Reads what [`to_bytes`](Self::to_bytes) wrote for a model of the same shape; `None` for anything else.
    #[must_use]
    pub fn from_bytes(model: &Model, bytes: &[u8]) -> Option<Self> {
        let mut memory = Self::new(model);
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let (last, rest) = rest.split_first_chunk::<8>()?;
        memory.count = u32::from_le_bytes(*count);
        memory.last = Some(i64::from_le_bytes(*last)).filter(|last| *last != i64::MIN);
        let (units, tail) = rest.as_chunks::<4>();
        let places: Vec<&mut f32> = memory.layers.iter_mut().flat_map(|states| states.hidden.iter_mut().chain(&mut states.memory)).collect();
        if !tail.is_empty() || units.len() != places.len() {
            return None;
        }
        places.into_iter().zip(units).for_each(|(place, unit)| *place = f32::from_le_bytes(*unit));
        Some(memory)
    }
}
