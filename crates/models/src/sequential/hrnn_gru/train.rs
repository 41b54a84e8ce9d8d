//! Training over user-parallel windows with carried states (truncated backpropagation through time).

use super::batch::{Prepared, Preparer, Recency};
use super::gradients::{Gradients, Moments};
use super::inputs::{Scale, When};
use super::native::Native;
use super::negatives::Negatives;
#[cfg(feature = "burn")]
use super::network::Network;
use super::noise::Noise;
use super::stationary::Machines;
use super::weights::{Sizes, USER, Weights};
use super::{Errors, Goal, Model, Objective, Settings, Stationary};
use crate::engine::codes::Codes;
use crate::engine::epochs::{self, Trainer};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::model::training_mean;
use crate::{
    FitContext, Fitted, ModelError, ModelSettings, Reading, Result, Trained, biases, mean_reciprocal_rank,
};
use foretaste_data::batch::Batches;
use foretaste_data::{Histories, stream_seed};
use foretaste_metrics::rmse;
use std::sync::Arc;

/// Trains the HRNN on `train`.
///
/// # Errors
/// [`ModelError::Training`] without training rows or, where ratings are predicted, with a row without value,
/// [`ModelError::Interrupted`] when asked to stop.
pub fn fit(
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    fit_as(&settings.clone().into(), settings, train, validation, context)
}

/// Trains the network for a model that is one of its forms, with the name `named`.
pub(crate) fn fit_as(
    named: &ModelSettings,
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    let name = named.kind().name();
    let rates = settings.objective != Objective::NextItem;
    // Events without values still have an order.
    let mean = if rates { training_mean(name, train)? } else { mean_of_known(train) };
    if train.is_empty() {
        return Err(ModelError::Training { model: name, reason: "there are no training rows".into() });
    }
    let (machines, base) = Machines::fit(settings, train, context)?;
    let left = train
        .values()
        .iter()
        .enumerate()
        .map(|(row, value)| f64::from(value - base.get(row).copied().unwrap_or(mean)).powi(2));
    let (squares, known) =
        left.filter(|square| square.is_finite()).fold((0.0, 0), |(sum, n), square| (sum + square, n + 1));
    let scale = Scale { mean, deviation: ((squares / f64::from(known.max(1))).sqrt() as f32).max(1e-3) };
    let when = When::new(settings)?;
    let chosen = chosen(settings, train);
    let mut counts = vec![0_u32; train.n_items()];
    chosen.iter().flat_map(|user| train.user(*user).items).for_each(|item| counts[*item as usize] += 1);
    let codes = Codes::new(context.item_attributes.filter(|_| settings.metadata), train.n_items());
    let sizes = Sizes::new(settings, when.len());
    let users = if settings.stationary == Stationary::Factors { train.n_users() } else { 0 };
    let item_biases = if rates && base.is_empty() {
        biases::estimate(&biases::Settings::default(), train)?.items
    } else {
        vec![0.0; train.n_items()]
    };
    let total: f64 = counts.iter().map(|n| f64::from(*n) + 1.0).sum();
    let popularity: Vec<f32> =
        counts.iter().map(|n| ((f64::from(*n) + 1.0) / total * train.n_items() as f64).ln() as f32).collect();
    let weights = Weights::first(sizes, users, [&item_biases, &popularity], codes, context.seed);
    let trainer = Training {
        named,
        settings,
        scale,
        when,
        trained: counts.iter().map(|n| *n > 0).collect(),
        negatives: sizes.ranks.then(|| Negatives::new(settings, train, &chosen)),
        train,
        machines: Arc::new(machines),
        base,
        recency: Recency::new(
            train,
            settings.recency_mask.then(|| f64::from(settings.recency_half_life) * 86_400.0),
        ),
        users: chosen,
        moments: Moments::new(&weights),
        gradients: Gradients::new(&weights),
        engine: if context.device.is_flex() {
            Engine::Native(Native::new(sizes, settings.rows))
        } else {
            #[cfg(not(feature = "burn"))]
            unreachable!("a device but the CPU comes with the feature burn");
            #[cfg(feature = "burn")]
            Engine::Device(Network::new(sizes, settings.rows, context.device))
        },
        weights,
        seed: context.seed,
    };
    epochs::train(trainer, named, (settings.epochs, settings.patience), train, validation, context)
}

/// Mean of the known values; 0 without any.
fn mean_of_known(train: &Histories) -> f32 {
    let (sum, n) = train
        .values()
        .iter()
        .filter(|v| v.is_finite())
        .fold((0.0, 0_u32), |(sum, n), v| (sum + f64::from(*v), n + 1));
    (sum / f64::from(n.max(1))) as f32
}

/// Users whose history's length lies between the settings' percentiles.
fn chosen(settings: &Settings, train: &Histories) -> Vec<u32> {
    let length = |user: &u32| train.range(*user).len();
    let mut users: Vec<u32> = (0..train.n_users() as u32).filter(|u| length(u) > 0).collect();
    let mut lengths: Vec<usize> = users.iter().map(length).collect();
    lengths.sort_unstable();
    let at = |percentile: f32| lengths[((lengths.len() - 1) as f64 * f64::from(percentile)).round() as usize];
    let (low, high) =
        (at(settings.min_user_history_length_percentile), at(settings.max_user_history_length_percentile));
    users.retain(|u| (low..=high).contains(&length(u)));
    users
}

/// Computes windows: native code on the CPU, burn elsewhere.
enum Engine {
    Native(Native),
    #[cfg(feature = "burn")]
    Device(Network),
}

impl Engine {
    fn reset(&mut self) {
        match self {
            Self::Native(native) => native.reset(),
            #[cfg(feature = "burn")]
            Self::Device(network) => network.reset(),
        }
    }

    fn window(
        &mut self,
        weights: &Weights,
        batch: &Prepared,
        goal: Goal,
        noise: Noise,
        gradients: &mut Gradients,
    ) -> Result<Errors> {
        match self {
            Self::Native(native) => Ok(native.window(weights, batch, goal, noise, gradients)),
            #[cfg(feature = "burn")]
            Self::Device(network) => network.window(weights, batch, goal, noise, gradients),
        }
    }
}

struct Training<'a> {
    named: &'a ModelSettings,
    settings: &'a Settings,
    scale: Scale,
    when: When,
    /// Which items the network was trained on.
    trained: Vec<bool>,
    negatives: Option<Negatives>,
    train: &'a Histories,
    machines: Arc<Machines>,
    base: Vec<f32>,
    recency: Recency,
    users: Vec<u32>,
    weights: Weights,
    moments: Moments,
    gradients: Gradients,
    engine: Engine,
    seed: u64,
}

/// The step size of the step after `steps` of them.
fn rate(settings: &Settings, epoch: usize, steps: u64) -> f32 {
    let warm = (steps + 1) as f32 / settings.warm_up as f32;
    settings.learning_rate * settings.decay.powi(epoch as i32) * warm.min(1.0)
}

impl Trainer for Training<'_> {
    type Model = Model;

    /// Of ratings, read streaming; of next items; or the mean of both errors.
    fn validate(&self, model: &Model, train: &Histories, validation: &Histories) -> f64 {
        let ratings = model
            .as_rating()
            .map(|model| rmse(&model.predict(train, validation, Reading::Streaming), validation.values()));
        let items = model.as_recommender().map(|_| 1.0 - mean_reciprocal_rank(model, train, validation));
        let both = [ratings, items].into_iter().flatten();
        both.clone().sum::<f64>() / both.count() as f64
    }

    /// Of ratings where they are predicted, else the mean loss.
    fn error(&self, mean: f64) -> f64 {
        if self.weights.sizes.rates { mean.sqrt() } else { mean }
    }

    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64> {
        let settings = self.settings;
        let mut batches = Batches::of_users(
            self.train,
            self.users.clone(),
            settings.rows,
            settings.bptt,
            context.seed,
            epoch as u64,
        );
        self.engine.reset();
        let (mut ready, mut next) = (Prepared::default(), Prepared::default());
        let scale = self.scale;
        let mut preparer =
            Preparer::new(&self.when, scale, self.train, &self.base, self.recency, settings.rows);
        preparer.scope = settings.scope;
        preparer.negatives = self
            .negatives
            .as_ref()
            .map(|negatives| (negatives, stream_seed(self.seed, &format!("hrnn negatives {epoch}"))));
        let goal = Goal::new(settings, scale);
        let mut prepare = |prepared: &mut Prepared| {
            let more = batches.next_into(&mut prepared.batch);
            if more {
                preparer.prepare(prepared);
            }
            more
        };
        let mut more = prepare(&mut ready);
        let (mut sum, mut events) = (0.0, 0);
        while more {
            context.go_on()?;
            let rate = rate(settings, epoch, self.moments.steps());
            let noise = Noise {
                input: settings.input_dropout,
                state: settings.dropout,
                seed: stream_seed(self.seed, &format!("hrnn noise {}", self.moments.steps())),
            };
            let (weights, moments, gradients, engine) =
                (&mut self.weights, &mut self.moments, &mut self.gradients, &mut self.engine);
            let step = || -> Result<f64> {
                let errors = engine.window(weights, &ready, goal, noise, gradients)?;
                if settings.clip > 0.0 {
                    gradients.clip(settings.clip);
                }
                let mut decay = weights.tables.each_ref().map(|_| settings.weight_decay);
                decay[USER] = settings.user_decay;
                moments.step(weights, gradients, &ready, rate, decay);
                Ok(if weights.sizes.rates { errors.squares } else { errors.losses })
            };
            // The next batch is prepared while this one computes.
            let (found, another) = rayon::join(step, || prepare(&mut next));
            sum += found?;
            events += ready.batch.events;
            more = another;
            std::mem::swap(&mut ready, &mut next);
        }
        // As if all training rows had been used: percentiles may leave users out.
        Ok(sum * self.train.len() as f64 / events.max(1) as f64)
    }

    fn model(&self, _: f64) -> Result<Model> {
        let mut weights = self.weights.clone();
        weights.wipe_untrained(&self.trained);
        Ok(Model::new(
            self.named.clone(),
            self.settings,
            (self.scale, self.when.clone()),
            weights,
            self.machines.clone(),
        ))
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        let mut state = self.weights.named(
            "now.",
            &self.weights.dense,
            self.weights.tables.each_ref().map(Vec::as_slice),
        );
        state.extend(self.moments.tensors(&self.weights));
        Ok(state)
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        (self.weights.dense, self.weights.tables) = Weights::read(&self.weights.sizes, "now.", state)?;
        self.moments.restore(&self.weights, state)
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore_as(self.named.clone(), self.settings, tensors)
    }
}
