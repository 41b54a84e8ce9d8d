//! Alternating subspace descent.

use super::model::Model;
use super::native::{self, NativeNetwork};
#[cfg(feature = "burn")]
use super::network::{Fixed, Network, window};
use super::replay::{Place, Side};
use super::steps::{Ratings, Steps};
use super::{NAME, Scale, Settings};
use crate::engine::epochs::{self, Trainer};
use crate::engine::tensors::{NamedTensor, Tensors};
#[cfg(feature = "burn")]
use crate::engine::unrolled::Carried;
use crate::model::training_mean;
use crate::{Device, EpochReport, FitContext, Fitted, Progress, Result, pmf};
use foretaste_data::Histories;
use foretaste_data::batch::{Batch, Batches};
use rayon::prelude::*;

/// Trains RRN on `train`.
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
    let trainer = Training::new(settings, train, training_mean(NAME, train)?, context)?;
    epochs::train(
        trainer,
        &settings.clone().into(),
        (settings.epochs, settings.patience),
        train,
        validation,
        context,
    )
}

/// Ignores progress, but stops when requested.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn epoch(&self, _: &'static str, _: &EpochReport) {}

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// Ratings a window takes at a time: a famous item's step has many thousands, each some 2 KB on the way
/// forward and back.
#[cfg(feature = "burn")]
const STRETCH: usize = 65_536;

/// The side that is trained.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Moving {
    Users,
    Items,
}

/// A side's network, by where it is computed.
#[allow(clippy::large_enum_variant)] // Two a training.
pub(super) enum Form {
    /// By native code, on the host.
    Native(NativeNetwork),
    /// By burn, on a device.
    #[cfg(feature = "burn")]
    Device(Network),
}

impl Form {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Native(network) => network.name,
            #[cfg(feature = "burn")]
            Self::Device(network) => network.name,
        }
    }

    pub fn values(&self) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Native(network) => Ok(network.values()),
            #[cfg(feature = "burn")]
            Self::Device(network) => network.values(),
        }
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        match self {
            Self::Native(network) => Ok(network.state()),
            #[cfg(feature = "burn")]
            Self::Device(network) => network.state(),
        }
    }

    #[cfg_attr(not(feature = "burn"), allow(unused_variables))]
    fn restore(&mut self, tensors: &Tensors, device: &Device) -> Result<()> {
        match self {
            Self::Native(network) => network.restore(tensors),
            #[cfg(feature = "burn")]
            Self::Device(network) => network.restore(tensors, device),
        }
    }
}

pub(super) struct Training<'a> {
    settings: &'a Settings,
    context: &'a FitContext<'a>,
    pub scale: Scale,
    pub ratings: Ratings<'a>,
    pub user_steps: Steps,
    pub item_steps: Steps,
    pub users: Option<Form>,
    pub items: Option<Form>,
    user_states: Vec<f32>,
    item_states: Vec<f32>,
    trained_users: Vec<bool>,
}

/// A side's projections at all of its steps, one after the other.
fn projections(side: &Side, steps: &Steps, ratings: &Ratings, others: &[u32], scale: Scale) -> Vec<f32> {
    let walks: Vec<Vec<f32>> = (0..steps.offsets.len() - 1)
        .into_par_iter()
        .map(|owner| {
            let mut last: Option<Place> = None;
            let mut projected = Vec::new();
            for step in steps.offsets[owner]..steps.offsets[owner + 1] {
                let place = side.place(last.as_ref(), steps, step, ratings, others, scale);
                projected.extend(side.project(&place.hidden));
                last = Some(place);
            }
            projected
        })
        .collect();
    walks.concat()
}

/// The place of every step of a side.
pub(super) fn walk(
    side: &Side,
    steps: &Steps,
    ratings: &Ratings,
    others: &[u32],
    scale: Scale,
) -> Vec<Place> {
    let walks: Vec<Vec<Place>> = (0..steps.offsets.len() - 1)
        .into_par_iter()
        .map(|owner| {
            let mut places: Vec<Place> = Vec::new();
            for step in steps.offsets[owner]..steps.offsets[owner + 1] {
                places.push(side.place(places.last(), steps, step, ratings, others, scale));
            }
            places
        })
        .collect();
    walks.into_iter().flatten().collect()
}

impl Side {
    /// A step's place, coming from the one before.
    fn place(
        &self,
        before: Option<&Place>,
        steps: &Steps,
        step: usize,
        ratings: &Ratings,
        others: &[u32],
        scale: Scale,
    ) -> Place {
        let (hidden, memory) = self.arrive(before, steps.days[step], scale);
        let mut bag = vec![0.0; self.embedding];
        steps
            .rows(step as u32)
            .iter()
            .for_each(|row| self.add(&mut bag, others[*row as usize], ratings.value(*row)));
        Place { day: steps.days[step], hidden, memory, bag }
    }
}

impl<'a> Training<'a> {
    pub fn new(
        settings: &'a Settings,
        train: &'a Histories,
        mean: f32,
        context: &'a FitContext<'a>,
    ) -> Result<Self> {
        Self::on(settings, train, mean, context, context.device.is_flex())
    }

    /// The same with a given form of the networks.
    pub fn on(
        settings: &'a Settings,
        train: &'a Histories,
        mean: f32,
        context: &'a FitContext<'a>,
        native: bool,
    ) -> Result<Self> {
        let n = train.len() as f64;
        let deviation = |of: &dyn Fn(usize) -> f64, mean: f64| {
            ((0..train.len()).map(|row| (of(row) - mean).powi(2)).sum::<f64>() / n).sqrt()
        };
        let day = |row: usize| train.timestamps().at(row).div_euclid(86_400) as f64;
        let day_mean = (0..train.len()).map(day).sum::<f64>() / n;
        let scale = Scale {
            mean,
            deviation: (deviation(&|row| f64::from(train.values()[row]), f64::from(mean)) as f32).max(1e-3),
            day_mean: day_mean as f32,
            day_deviation: (deviation(&day, day_mean) as f32).max(1.0),
        };
        // Before the steps are built: each takes memory of its own.
        let small = pmf::Settings {
            factors: settings.stationary_factors,
            epochs: settings.pretraining,
            ..pmf::Settings::default()
        };
        let quiet = Quiet(context.progress);
        let tensors = pmf::fit(
            &small,
            train,
            None,
            &FitContext { progress: &quiet, ..FitContext::new(context.seed, context.device) },
        )?
        .model
        .tensors();
        let side = |name: &str| -> Vec<f32> {
            let find = |what: &str| {
                tensors.iter().find(|t| t.name == format!("{name}_{what}")).map_or(&[][..], |t| &t.data)
            };
            find("factors")
                .chunks_exact(settings.stationary_factors)
                .zip(find("biases"))
                .flat_map(|(factors, bias)| factors.iter().copied().chain([*bias]))
                .collect()
        };

        let ratings = Ratings::new(train, scale);
        let user_steps = Steps::new(train, &ratings.users, train.n_users(), settings.user_days);
        let item_steps = Steps::new(train, ratings.items, train.n_items(), settings.item_days);
        let network = |name: &'static str, others: usize, stationary: Vec<f32>| {
            if native {
                Form::Native(NativeNetwork::new(settings, name, others, stationary, context.seed))
            } else {
                #[cfg(not(feature = "burn"))]
                unreachable!("a device but the CPU comes with the feature burn");
                #[cfg(feature = "burn")]
                Form::Device(Network::new(settings, name, others, stationary, context.seed, context.device))
            }
        };
        let mut training = Self {
            settings,
            context,
            scale,
            users: Some(network("users", train.n_items(), side("user"))),
            items: Some(network("items", train.n_users(), side("item"))),
            ratings,
            user_steps,
            item_steps,
            user_states: Vec::new(),
            item_states: Vec::new(),
            trained_users: (0..train.n_users() as u32).map(|u| !train.range(u).is_empty()).collect(),
        };
        training.refresh(Moving::Users)?;
        training.refresh(Moving::Items)?;
        Ok(training)
    }

    pub fn network(&self, side: Moving) -> &Form {
        let network = if side == Moving::Users { &self.users } else { &self.items };
        network.as_ref().unwrap_or_else(|| unreachable!("networks leave their place within a step alone"))
    }

    pub fn side(&self, side: Moving) -> Result<Side> {
        let network = self.network(side);
        Ok(Side::new(self.settings, network.name(), network.values()?))
    }

    /// Computes a side's projections at all of its steps.
    fn refresh(&mut self, side: Moving) -> Result<()> {
        // The old ones go first: at Netflix's size they are hundreds of megabytes.
        *self.states(side) = Vec::new();
        let (steps, others) = self.of(side);
        let states = projections(&self.side(side)?, steps, &self.ratings, others, self.scale);
        *self.states(side) = states;
        Ok(())
    }

    fn states(&mut self, side: Moving) -> &mut Vec<f32> {
        if side == Moving::Users { &mut self.user_states } else { &mut self.item_states }
    }

    fn of(&self, side: Moving) -> (&Steps, &[u32]) {
        if side == Moving::Users {
            (&self.user_steps, self.ratings.items)
        } else {
            (&self.item_steps, &self.ratings.users)
        }
    }

    /// The other side's values for a window of the trained side, by native code.
    pub fn native_fixed(&self, moving: Moving) -> native::Fixed<'_> {
        let (users, (steps, others)) = (moving == Moving::Users, self.of(moving));
        let other = if users { Moving::Items } else { Moving::Users };
        let Form::Native(network) = self.network(other) else { unreachable!("both sides have one form") };
        native::Fixed {
            settings: self.settings,
            scale: self.scale,
            ratings: &self.ratings,
            steps,
            other_steps: self.of(other).0,
            other_states: if users { &self.item_states } else { &self.user_states },
            other_stationary: &network.stationary,
            owners: self.of(other).1,
            others,
        }
    }

    /// The same on a device.
    #[cfg(feature = "burn")]
    pub fn fixed(&self, moving: Moving) -> Fixed<'_> {
        let users = moving == Moving::Users;
        let (steps, others) = self.of(moving);
        let other = if users { Moving::Items } else { Moving::Users };
        let Form::Device(network) = self.network(other) else { unreachable!("both sides have one form") };
        Fixed {
            settings: self.settings,
            scale: self.scale,
            ratings: &self.ratings,
            steps,
            other_steps: self.of(other).0,
            other_states: if users { &self.item_states } else { &self.user_states },
            other_stationary: network.stationary.value.clone(),
            owners: self.of(other).1,
            others,
            stretch: STRETCH,
            device: self.context.device,
        }
    }

    fn place(&mut self, side: Moving) -> &mut Option<Form> {
        if side == Moving::Users { &mut self.users } else { &mut self.items }
    }

    fn take(&mut self, side: Moving) -> Option<Form> {
        self.place(side).take()
    }

    /// One pass over a side's sequences; returns the sum of squared errors.
    fn phase(&mut self, moving: Moving, epoch: usize, rate: f32) -> Result<f64> {
        let sequences = self.of(moving).0.sequences();
        let settings = self.settings;
        let stream = 2 * epoch as u64 + u64::from(moving == Moving::Items);
        let mut batches = Batches::new(&sequences, settings.rows, settings.window, self.context.seed, stream);
        let mut batch = Batch::default();
        #[cfg(feature = "burn")]
        let mut carried = Carried::zeros(settings.rows, settings.size, self.context.device);
        let mut states = native::carried(settings);
        let mut squares = 0.0;
        while batches.next_into(&mut batch) {
            self.context.go_on()?;
            let moved = match self.take(moving) {
                Some(Form::Native(mut network)) => {
                    let out = native::window(&network, &self.native_fixed(moving), &batch, &mut states);
                    squares += out.squares;
                    network.step(&out, settings, rate);
                    Form::Native(network)
                }
                #[cfg(feature = "burn")]
                Some(Form::Device(network)) => {
                    let mut out = window(&network, &self.fixed(moving), &batch, carried);
                    squares += f64::from(crate::engine::parameter::values(out.squares.clone())?[0]);
                    carried = std::mem::replace(&mut out.carried, Carried::zeros(1, 1, self.context.device));
                    Form::Device(network.step(out, settings, rate))
                }
                None => unreachable!("networks leave their place within a step alone"),
            };
            *self.place(moving) = Some(moved);
        }
        self.refresh(moving)?;
        Ok(squares)
    }
}

impl Trainer for Training<'_> {
    type Model = Model;

    fn epoch(&mut self, epoch: usize, _: &FitContext) -> Result<f64> {
        let rate = self.settings.learning_rate * self.settings.decay.powi(epoch as i32);
        self.phase(Moving::Users, epoch, rate)?;
        self.phase(Moving::Items, epoch, rate)
    }

    fn model(&self, train_error: f64) -> Result<Model> {
        let items = self.side(Moving::Items)?;
        let (steps, others) = self.of(Moving::Items);
        let places = walk(&items, steps, &self.ratings, others, self.scale);
        Ok(Model::new(
            self.settings.clone(),
            self.scale,
            self.side(Moving::Users)?,
            items,
            self.item_steps.offsets.clone(),
            places,
            self.trained_users.clone(),
            train_error,
        ))
    }

    fn state(&self) -> Result<Vec<NamedTensor>> {
        let mut state = self.network(Moving::Users).state()?;
        state.extend(self.network(Moving::Items).state()?);
        Ok(state)
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        let device = self.context.device;
        self.users
            .iter_mut()
            .chain(&mut self.items)
            .try_for_each(|network| network.restore(state, device))?;
        self.refresh(Moving::Users)?;
        self.refresh(Moving::Items)
    }

    fn saved(&self, tensors: &Tensors) -> Result<Model> {
        Model::restore(self.settings.clone(), tensors)
    }
}
