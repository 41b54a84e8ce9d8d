//! One user, one interaction at a time: the same equations in constant time.

use super::inputs::{Scale, Track, input};
use super::weights::{ITEM_INPUT, ITEM_OUTPUT, USER, Weights};
use super::{Model, Scope};
use crate::kernels::dot;
use crate::recurrent::accumulate;
use crate::sequence::{States, sigmoids};
use crate::{RankingState, UserState};
use foretaste_data::History;

/// What the network knows of one user: states of all layers, the time of the last interaction and
/// how many there were. Without stationary machines, which keep states of their own, that is all there
/// is: it can be saved, and carried on by another holder of the same weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    layers: Vec<States>,
    /// States of the levels above sessions.
    levels: Vec<Vec<f32>>,
    track: Track,
}

impl Memory {
    fn new(model: &Model) -> Self {
        let sizes = &model.weights.sizes;
        let layers = model.weights.dense.layers.iter().map(|layer| States::zeros(layer, 1)).collect();
        Self { layers, levels: vec![vec![0.0; sizes.size]; sizes.levels], track: Track::default() }
    }

    /// The numbers behind a state: running means and ties, then all units.
    fn units(&mut self) -> impl Iterator<Item = &mut f32> {
        let Track { residuals, tied, .. } = &mut self.track;
        residuals
            .iter_mut()
            .chain(tied)
            .chain(self.levels.iter_mut().flatten())
            .chain(self.layers.iter_mut().flat_map(|states| states.hidden.iter_mut().chain(&mut states.memory)))
    }

    /// The state as bytes: count, time of the last interaction, then all numbers, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.track.count.to_le_bytes().to_vec();
        bytes.extend(self.track.last.to_le_bytes());
        bytes.extend(self.clone().units().flat_map(|unit| unit.to_le_bytes()));
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote for a model of the same shape; `None` for anything
    /// else, and for a model with stationary machines.
    #[must_use]
    pub fn from_bytes(model: &Model, bytes: &[u8]) -> Option<Self> {
        if !model.machines.start().is_empty() {
            return None;
        }
        let mut memory = Self::new(model);
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let (last, rest) = rest.split_first_chunk::<8>()?;
        (memory.track.count, memory.track.last) = (u32::from_le_bytes(*count), i64::from_le_bytes(*last));
        let (units, tail) = rest.as_chunks::<4>();
        let places: Vec<&mut f32> = memory.units().collect();
        if !tail.is_empty() || units.len() != places.len() {
            return None;
        }
        places.into_iter().zip(units).for_each(|(place, unit)| *place = f32::from_le_bytes(*unit));
        Some(memory)
    }
}

/// A user's state with the weights it runs under.
pub(super) struct State<'a> {
    model: &'a Model,
    user: u32,
    /// The user in each stationary machine.
    machines: Vec<Box<dyn UserState + 'a>>,
    pub memory: Memory,
}

impl<'a> State<'a> {
    pub fn new(model: &'a Model, user: u32) -> Self {
        Self::with(model, user, Memory::new(model))
    }

    /// Goes on from `memory`; stationary machines begin anew.
    pub fn with(model: &'a Model, user: u32, memory: Memory) -> Self {
        Self { machines: model.machines.start(), memory, model, user }
    }

    /// Takes a history in.
    pub fn replay(&mut self, known: History<'_>) {
        (0..known.len()).for_each(|row| self.take(known.items[row], known.values[row], known.timestamps.at(row)));
    }

    /// What the stationary part predicts.
    fn base(&self, item: u32, timestamp: i64) -> f32 {
        match self.machines.len() {
            0 => self.model.scale.mean,
            n => self.machines.iter().map(|machine| machine.predict(item, timestamp)).sum::<f32>() / n as f32,
        }
    }

    /// Levels of sessions with states of their own that begin at `timestamp`; a user's first begin with zeros.
    fn crossed(&self, timestamp: i64) -> usize {
        let Memory { track, levels, .. } = &self.memory;
        if levels.is_empty() || track.count == 0 { 0 } else { usize::from(self.model.when.crossed(track, timestamp)) }
    }

    /// `w` of an interaction at `timestamp`.
    fn when(&self, timestamp: i64, base: f32) -> Vec<f32> {
        let mut when = vec![0.0; self.model.when.len()];
        let Scale { mean, deviation } = self.model.scale;
        self.model.when.write(&self.memory.track, timestamp, (base - mean) / deviation, &mut when);
        when
    }

    /// Whether an interaction at `timestamp` begins a session into which no state reaches.
    fn forgets(&self, timestamp: i64) -> bool {
        let Memory { track, .. } = &self.memory;
        self.model.scope == Scope::Session && track.count > 0 && self.model.when.crossed(track, timestamp) > 0
    }

    /// Adds to `query` what the state and the features `when` of an interaction at `timestamp` ask for
    /// through `weights` (`[size + when, query]`).
    fn ask(&self, timestamp: i64, when: &[f32], weights: &[f32], query: &mut [f32]) {
        let Weights { sizes, dense, .. } = &self.model.weights;
        let mut state = self.memory.layers[sizes.depth - 1].hidden.clone();
        if self.forgets(timestamp) {
            state.fill(0.0);
        }
        dense.levels.step(self.crossed(timestamp), &mut state, &mut self.memory.levels.clone());
        if sizes.gate {
            let mut gamma = vec![0.0; sizes.size];
            accumulate(&mut gamma, when, &dense.gate);
            sigmoids(&mut gamma);
            state.iter_mut().zip(gamma).for_each(|(s, g)| *s *= g);
        }
        let (of_state, of_time) = weights.split_at(sizes.size * query.len());
        accumulate(query, &state, of_state);
        accumulate(query, when, of_time);
    }

    /// What is asked of the items' rows for the next item, at `timestamp`.
    pub fn query(&self, timestamp: i64) -> Vec<f32> {
        let weights = &self.model.weights;
        let mut query = vec![0.0; weights.sizes.next()];
        self.ask(timestamp, &self.when(timestamp, self.model.scale.mean), &weights.dense.next, &mut query);
        query
    }

    /// Takes an interaction in.
    pub fn take(&mut self, item: u32, value: f32, timestamp: i64) {
        let weights = &self.model.weights;
        let sizes = &weights.sizes;
        let base = self.base(item, timestamp);
        let when = self.when(timestamp, base);
        let value_left = self.model.scale.left(value, base);
        let mut embedding = vec![0.0; sizes.factors];
        weights.item(ITEM_INPUT, item, &mut embedding);
        let mut x = vec![0.0; sizes.inputs()];
        input(&embedding, value_left, &when[..when.len() - 1], sizes.ratings, &mut x);
        if self.forgets(timestamp) {
            self.memory.layers.iter_mut().flat_map(|states| [&mut states.hidden, &mut states.memory]).for_each(|state| state.fill(0.0));
        }
        let crossed = self.crossed(timestamp);
        let Memory { layers, levels, .. } = &mut self.memory;
        weights.dense.levels.step(crossed, &mut layers[0].hidden, levels);
        for (at, (layer, states)) in weights.dense.layers.iter().zip(layers).enumerate() {
            let more = |gates: &mut [f32]| {
                if at == 0 && sizes.all {
                    accumulate(gates, &levels[0], &weights.dense.levels.context);
                }
            };
            layer.step(&x, &mut states.hidden, &mut states.memory, more);
            x.clone_from(&states.hidden);
        }
        self.model.when.take(&mut self.memory.track, timestamp, value_left);
        self.machines.iter_mut().for_each(|machine| machine.reveal(item, value, timestamp));
    }
}

impl UserState for State<'_> {
    fn predict(&self, item: u32, timestamp: i64) -> f32 {
        let weights = &self.model.weights;
        let sizes = &weights.sizes;
        let base = self.base(item, timestamp);
        let mut query = weights.row(USER, self.user).map_or_else(|| vec![0.0; sizes.query()], <[f32]>::to_vec);
        self.ask(timestamp, &self.when(timestamp, base), &weights.dense.query, &mut query);
        let mut factors = vec![0.0; sizes.factors + 1];
        weights.item(ITEM_OUTPUT, item, &mut factors);
        base + dot(&query[..=sizes.factors], &factors) + query[sizes.factors + 1]
    }

    fn reveal(&mut self, item: u32, value: f32, timestamp: i64) {
        self.take(item, value, timestamp);
    }
}

impl RankingState for State<'_> {
    /// A score is an item's logit: softmax over all scores gives the chance that the item comes next.
    fn scores(&self, timestamp: i64, out: &mut [f32]) {
        let query = self.query(timestamp);
        out.iter_mut().zip(self.model.catalogue().chunks_exact(query.len())).for_each(|(out, item)| *out = dot(&query, item));
    }

    fn reveal(&mut self, item: u32, value: f32, timestamp: i64) {
        self.take(item, value, timestamp);
    }
}
