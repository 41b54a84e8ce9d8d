//! DeepRec: a deep autoencoder over users' ratings, trained with dense re-feeding.
//!
//! Kuchaiev and Ginsburg 2017, *Training Deep AutoEncoders for Collaborative Filtering*: rows are
//! users; `MMSE = sum m_i (r_i - y_i)^2 / sum m_i` over a batch's ratings; after each step the dense
//! output `f(x)` is fed again as an example of its own, `f(f(x))` against `f(x)` over all columns,
//! and a second step taken. Where paper and the authors' code differ, the defaults are the code's:
//! SELU also on the output, dropout on the code layer alone, an untied decoder, momentum 0.9, step
//! sizes halved at milestones, the last partial batch left out, no mean subtracted.
//!
//! `streaming`: an update adds the rating to the user's input. A new user is any row of ratings; for an item
//! without training rows the prediction is the mean rating.

use crate::autoencoder::{
    self, Activation, Network, Objective, Optimizer, Reader, Row, Rows, Shape, Training as Engine, tensors_of,
};
use crate::engine::epochs::{self, Trainer};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::model::training_mean;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelSettings, Predictor, Result, state};
use foretaste_data::{Histories, History};

const NAME: &str = "deeprec";

/// Settings of DeepRec.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Sizes of the encoder's layers, the code last; the decoder mirrors them.
    pub layers: Vec<usize>,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// Activation of the output.
    pub output_activation: Activation,
    /// Share of the code layer that is dropped in training.
    pub dropout: f32,
    /// Steps on the dense output after each step.
    pub refeeding: usize,
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Users per step.
    pub batch: usize,
    /// How parameters are updated.
    pub optimizer: Optimizer,
    /// Step size of the first epoch.
    pub learning_rate: f32,
    /// Epochs after which the step size is halved.
    pub milestones: Vec<usize>,
    /// Penalty on weights.
    pub weight_decay: f32,
    /// Whether the mean rating is subtracted from the input.
    pub center: bool,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            layers: vec![512, 512, 1024],
            activation: Activation::Selu,
            output_activation: Activation::Selu,
            dropout: 0.8,
            refeeding: 1,
            epochs: 100,
            batch: 128,
            optimizer: Optimizer::Momentum,
            learning_rate: 0.005,
            milestones: vec![24, 36, 48, 66, 72],
            weight_decay: 0.0,
            center: false,
            patience: 10,
        }
    }
}

impl Settings {
    fn shape(&self, width: usize) -> Shape {
        Shape::mirrored(width, &self.layers, self.activation, self.output_activation)
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "DeepRec";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        autoencoder::check(NAME, &self.layers, self.batch, self.learning_rate, self.dropout)?;
        within(NAME, "refeeding", self.refeeding, 0, 16)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "weight_decay", self.weight_decay, 0.0, 10.0)?;
        within(NAME, "patience", self.patience, 1, 100_000)
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }

    fn in_standard_units(&self) -> bool {
        true
    }

    fn epochs(&mut self) -> Option<&mut usize> {
        Some(&mut self.epochs)
    }
}

/// Trains DeepRec on `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows or with a row without value,
/// [`crate::ModelError::Interrupted`] when asked to stop, [`crate::ModelError::Device`] when the device
/// fails.
pub fn fit(
    settings: &Settings,
    train: &Histories,
    validation: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    let mean = training_mean(NAME, train)?;
    let rows = Rows::users(train, if settings.center { mean } else { 0.0 });
    let objective = Objective {
        optimizer: settings.optimizer,
        batch: settings.batch,
        regularization: settings.weight_decay,
        mean: true,
        dropout: settings.dropout,
        refeeding: settings.refeeding,
        drop_last: true,
    };
    let engine = Engine::new(settings.shape(rows.width), objective, &rows, context.seed, context.device);
    let trainer = Training { settings, mean, trained: rows.seen(), engine };
    epochs::train(
        trainer,
        &settings.clone().into(),
        (settings.epochs, settings.patience),
        train,
        validation,
        context,
    )
}

struct Training<'a> {
    settings: &'a Settings,
    mean: f32,
    trained: Vec<bool>,
    engine: Engine<'a>,
}

impl Trainer for Training<'_> {
    type Model = Model;

    fn epoch(&mut self, epoch: usize, context: &FitContext) -> Result<f64> {
        let halvings = self.settings.milestones.iter().filter(|m| epoch >= **m).count();
        self.engine.epoch(epoch, self.settings.learning_rate * 0.5_f32.powi(halvings as i32), context)
    }

    fn model(&self, _: f64) -> Result<Model> {
        Ok(Model {
            settings: self.settings.clone(),
            mean: self.mean,
            trained: self.trained.clone(),
            network: self.engine.network()?,
        })
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        self.engine.state()
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        self.engine.restore(state)
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}

/// A trained DeepRec.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    mean: f32,
    /// Items with training rows.
    trained: Vec<bool>,
    network: Network,
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let network = Network::restore(settings.shape(0), tensors)?;
        let trained =
            tensors.values("trained", &[Some(network.shape.width)])?.into_iter().map(|t| t > 0.0).collect();
        Ok(Self { mean: tensors.scalar("mean")?, trained, network, settings })
    }

    fn offset(&self) -> f32 {
        if self.settings.center { self.mean } else { 0.0 }
    }

    fn reader(&self) -> Reader<'_> {
        Reader { network: &self.network, offset: self.offset(), trained: &self.trained, fallback: self.mean }
    }
}

impl Predictor for Model {
    type State = Row;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.network.parameters()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = tensors_of(&self.network);
        tensors.push(NamedTensor::scalar("mean", self.mean));
        tensors.push(NamedTensor::new(
            "trained",
            &[self.trained.len()],
            self.trained.iter().map(|t| f32::from(u8::from(*t))).collect(),
        ));
        tensors
    }

    fn start(&self, _: u32, known: History<'_>) -> Row {
        self.reader().start(known)
    }

    fn update(&self, row: &mut Row, item: u32, value: f32, _: i64) {
        self.reader().update(row, item, value);
    }

    fn predict(&self, row: &Row, item: u32, _: i64) -> f32 {
        self.reader().predict(row, item)
    }

    fn write_state(&self, row: &Row) -> Vec<u8> {
        state::to_bytes(row)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<Row> {
        state::from_bytes(bytes).filter(|row| self.reader().fits(row))
    }
}
