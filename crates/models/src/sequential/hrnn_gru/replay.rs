//! The same equations for one user, one interaction at a time, in constant time per interaction.

use super::inputs::{Scale, Track, input};
use super::weights::{ITEM_INPUT, ITEM_OUTPUT, USER, Weights};
use super::{Model, Scope};
use crate::engine::kernels::dot;
use crate::engine::recurrent::accumulate;
use crate::engine::sequence::{States, sigmoids};
use crate::fm;
use foretaste_data::History;

/// The state of one user: the states of all layers, the time of the last interaction, how many
/// there were, and the user in each stationary machine.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    id: u32,
    machines: Vec<fm::User>,
    layers: Vec<States>,
    /// States of the levels above sessions.
    levels: Vec<Vec<f32>>,
    track: Track,
}

impl User {
    /// A user without rows.
    pub(super) fn new(model: &Model, user: u32) -> Self {
        let sizes = &model.weights.sizes;
        Self {
            id: user,
            machines: model.machines.start(),
            layers: model.weights.dense.layers.iter().map(|layer| States::zeros(layer, 1)).collect(),
            levels: vec![vec![0.0; sizes.size]; sizes.levels],
            track: Track::default(),
        }
    }

    /// A user after the rows `known`.
    pub(super) fn start(model: &Model, user: u32, known: History<'_>) -> Self {
        let mut state = Self::new(model, user);
        for row in 0..known.len() {
            state.update(model, known.items[row], known.values[row], known.timestamps.at(row));
        }
        state
    }

    /// Whether all parts have the model's sizes.
    pub(super) fn fits(&self, model: &Model) -> bool {
        let fresh = Self::new(model, self.id);
        let alike =
            |a: &States, b: &States| a.hidden.len() == b.hidden.len() && a.memory.len() == b.memory.len();
        self.layers.len() == fresh.layers.len()
            && self.layers.iter().zip(&fresh.layers).all(|(a, b)| alike(a, b))
            && self.levels.iter().map(Vec::len).eq(fresh.levels.iter().map(Vec::len))
            && model.machines.fit_states(&self.machines)
    }

    /// The stationary part's prediction.
    fn base(&self, model: &Model, item: u32, timestamp: i64) -> f32 {
        model.machines.predict(&self.machines, item, timestamp).unwrap_or(model.scale.mean)
    }

    /// Levels of sessions with states of their own that begin at `timestamp`; a user's first begin with
    /// zeros.
    fn crossed(&self, model: &Model, timestamp: i64) -> usize {
        if self.levels.is_empty() || self.track.count == 0 {
            return 0;
        }
        usize::from(model.when.crossed(&self.track, timestamp))
    }

    /// `w` of an interaction at `timestamp`.
    fn when(&self, model: &Model, timestamp: i64, base: f32) -> Vec<f32> {
        let mut when = vec![0.0; model.when.len()];
        let Scale { mean, deviation } = model.scale;
        model.when.write(&self.track, timestamp, (base - mean) / deviation, &mut when);
        when
    }

    /// Whether an interaction at `timestamp` begins a session to which no state is carried.
    fn forgets(&self, model: &Model, timestamp: i64) -> bool {
        let begins = || self.track.count > 0 && model.when.crossed(&self.track, timestamp) > 0;
        model.scope == Scope::Session && begins()
    }

    /// Adds to `query` the query of the state and the features `when` of an interaction at `timestamp`
    /// through `weights` (`[size + when, query]`).
    fn ask(&self, model: &Model, timestamp: i64, when: &[f32], weights: &[f32], query: &mut [f32]) {
        let Weights { sizes, dense, .. } = &model.weights;
        let mut state = self.layers[sizes.depth - 1].hidden.clone();
        if self.forgets(model, timestamp) {
            state.fill(0.0);
        }
        dense.levels.step(self.crossed(model, timestamp), &mut state, &mut self.levels.clone());
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

    /// The query for the next item, at `timestamp`, over the items' rows.
    pub(super) fn query(&self, model: &Model, timestamp: i64) -> Vec<f32> {
        let weights = &model.weights;
        let mut query = vec![0.0; weights.sizes.next()];
        let when = self.when(model, timestamp, model.scale.mean);
        self.ask(model, timestamp, &when, &weights.dense.next, &mut query);
        query
    }

    /// Adds an interaction: constant work, however long the history is.
    pub(super) fn update(&mut self, model: &Model, item: u32, value: f32, timestamp: i64) {
        let weights = &model.weights;
        let sizes = &weights.sizes;
        let base = self.base(model, item, timestamp);
        let when = self.when(model, timestamp, base);
        let value_left = model.scale.left(value, base);
        let mut embedding = vec![0.0; sizes.factors];
        weights.item(ITEM_INPUT, item, &mut embedding);
        let mut x = vec![0.0; sizes.inputs()];
        input(&embedding, value_left, &when[..when.len() - 1], sizes.ratings, &mut x);
        if self.forgets(model, timestamp) {
            for states in &mut self.layers {
                states.hidden.fill(0.0);
                states.memory.fill(0.0);
            }
        }
        let crossed = self.crossed(model, timestamp);
        let Self { layers, levels, .. } = self;
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
        model.when.take(&mut self.track, timestamp, value_left);
        model.machines.update(&mut self.machines, item, value, timestamp);
    }

    pub(super) fn predict(&self, model: &Model, item: u32, timestamp: i64) -> f32 {
        let weights = &model.weights;
        let sizes = &weights.sizes;
        let base = self.base(model, item, timestamp);
        let user = weights.row(USER, self.id);
        let mut query = user.map_or_else(|| vec![0.0; sizes.query()], <[f32]>::to_vec);
        self.ask(model, timestamp, &self.when(model, timestamp, base), &weights.dense.query, &mut query);
        let mut factors = vec![0.0; sizes.factors + 1];
        weights.item(ITEM_OUTPUT, item, &mut factors);
        base + dot(&query[..=sizes.factors], &factors) + query[sizes.factors + 1]
    }

    /// A score is an item's logit: softmax over all scores gives the probability that the item comes next.
    pub(super) fn scores(&self, model: &Model, timestamp: i64, out: &mut [f32]) {
        let query = self.query(model, timestamp);
        let items = model.catalogue().chunks_exact(query.len());
        out.iter_mut().zip(items).for_each(|(out, item)| *out = dot(&query, item));
    }
}
