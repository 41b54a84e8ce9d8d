//! A trained RRN.

use super::replay::{Place, Side, join};
use super::{Scale, Settings, step_day};
use crate::engine::fold_in::{Population, Regression};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::{ModelError, ModelSettings, Predictor, Result, state};
use foretaste_data::History;

/// A trained RRN: both networks, and every item's state at each of its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    scale: Scale,
    users: Side,
    items: Side,
    /// One offset per item into `places`.
    offsets: Vec<usize>,
    places: Vec<Place>,
    population: Population,
}

impl Model {
    #[allow(clippy::too_many_arguments)] // One caller, which has all of it.
    pub(super) fn new(
        settings: Settings,
        scale: Scale,
        users: Side,
        items: Side,
        offsets: Vec<usize>,
        places: Vec<Place>,
        trained: Vec<bool>,
        train_error: f64,
    ) -> Self {
        let k = settings.stationary_factors;
        // b first, then the factors: the regression's (1, m).
        let component =
            |user: usize, c: usize| users.stationary[user * (k + 1) + if c == 0 { k } else { c - 1 }];
        let population = Population::of(k + 1, trained, (train_error * train_error) as f32, component);
        Self { settings, scale, users, items, offsets, places, population }
    }

    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let scale = tensors.values("scale", &[Some(4)])?;
        let days = tensors.integers("item_days")?;
        let [hidden, memory] = ["item_hidden", "item_memory"]
            .map(|name| tensors.values(name, &[Some(days.len()), Some(settings.size)]));
        let (hidden, memory) = (hidden?, memory?);
        let bags = tensors.values("item_bags", &[Some(days.len()), Some(settings.embedding)])?;
        let (h, e) = (settings.size, settings.embedding);
        let place = |(at, day): (usize, &i64)| Place {
            day: *day as i32,
            hidden: hidden[at * h..(at + 1) * h].to_vec(),
            memory: memory[at * h..(at + 1) * h].to_vec(),
            bag: bags[at * e..(at + 1) * e].to_vec(),
        };
        let offsets: Vec<usize> = tensors.integers("item_offsets")?.into_iter().map(|n| n as usize).collect();
        if offsets.last() != Some(&days.len()) {
            return Err(ModelError::Saved {
                path: tensors.path().into(),
                reason: "tensor \"item_offsets\" does not end at the number of steps".into(),
            });
        }
        Ok(Self {
            scale: Scale { mean: scale[0], deviation: scale[1], day_mean: scale[2], day_deviation: scale[3] },
            users: Side::restore(&settings, "users", tensors)?,
            items: Side::restore(&settings, "items", tensors)?,
            offsets,
            places: days.iter().enumerate().map(place).collect(),
            population: Population::restore(settings.stationary_factors + 1, tensors)?,
            settings,
        })
    }

    fn item_places(&self, item: u32) -> &[Place] {
        let item = item as usize;
        if item + 1 < self.offsets.len() {
            &self.places[self.offsets[item]..self.offsets[item + 1]]
        } else {
            &[]
        }
    }
}

/// The last place before `day`.
fn before(places: &[Place], day: i32) -> Option<&Place> {
    places[..places.partition_point(|place| place.day < day)].last()
}

/// One user at the steps of their known ratings.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    places: Vec<Place>,
    /// Stationary bias and factors.
    own: Regression,
    /// Items whose ratings `own` already reflects.
    known: Vec<u32>,
}

impl Model {
    /// An item's stationary factors and bias; `None` without training rows.
    fn stationary(&self, item: u32) -> Option<&[f32]> {
        if self.item_places(item).is_empty() { None } else { self.items.stationary(item) }
    }

    /// `(1, m_j)`.
    fn features(&self, item: u32) -> Vec<f64> {
        let k = self.settings.stationary_factors;
        let factors = self.stationary(item).map_or(vec![0.0; k], |row| row[..k].to_vec());
        std::iter::once(1.0).chain(factors.into_iter().map(f64::from)).collect()
    }
}

impl User {
    fn start(model: &Model, user: u32, known: History<'_>) -> Self {
        let trained = if model.population.knows(user) { model.users.stationary(user) } else { None };
        let own = match trained {
            Some(row) => {
                row[row.len() - 1..].iter().chain(&row[..row.len() - 1]).map(|v| f64::from(*v)).collect()
            }
            None => model.population.mean.iter().map(|v| f64::from(*v)).collect(),
        };
        let mut state = Self { places: Vec::new(), own: Regression::new(own), known: Vec::new() };
        let row = |row: usize| (known.items[row], known.values[row], known.timestamps.at(row));
        for (item, value, timestamp) in (0..known.len()).map(row) {
            state.put(model, item, value, timestamp);
        }
        state.arrive(model, 0);
        if trained.is_some() {
            state.known = known.items.to_vec();
        } else {
            for (item, value, timestamp) in (0..known.len()).map(row) {
                state.observe(model, item, value, timestamp);
            }
        }
        state
    }

    /// Puts a rating into its step; later places are stale until [`arrive`](Self::arrive).
    fn put(&mut self, model: &Model, item: u32, value: f32, timestamp: i64) -> usize {
        let day = step_day(timestamp, model.settings.user_days);
        let at = self.places.partition_point(|place| place.day < day);
        if self.places.get(at).is_none_or(|place| place.day != day) {
            let bag = vec![0.0; model.settings.embedding];
            self.places.insert(at, Place { day, hidden: Vec::new(), memory: Vec::new(), bag });
        }
        model.users.add(&mut self.places[at].bag, item, model.scale.standardize(value));
        at
    }

    /// One observation of the stationary part.
    fn observe(&mut self, model: &Model, item: u32, value: f32, timestamp: i64) {
        let noise = f64::from(model.population.noise);
        if !self.own.is_open() {
            let known: Vec<Vec<f64>> = self.known.iter().map(|item| model.features(*item)).collect();
            self.own.open(&model.population.variance, noise, known.into_iter().map(|x| (x, 0.0)));
        }
        let x = model.features(item);
        let error = f64::from(value - self.predict(model, item, timestamp));
        self.own.observe(&x, error + crate::engine::fold_in::dot(&self.own.theta, &x), noise);
    }

    /// Computes the states from place `from` on.
    fn arrive(&mut self, model: &Model, from: usize) {
        for at in from..self.places.len() {
            let (earlier, rest) = self.places.split_at_mut(at);
            let place = &mut rest[0];
            (place.hidden, place.memory) = model.users.arrive(earlier.last(), place.day, model.scale);
        }
    }

    fn predict(&self, model: &Model, item: u32, timestamp: i64) -> f32 {
        let at = |side: &Side, places: &[Place], days: usize| {
            let day = step_day(timestamp, days);
            side.project(&side.arrive(before(places, day), day, model.scale).0)
        };
        let user = at(&model.users, &self.places, model.settings.user_days);
        let other = at(&model.items, model.item_places(item), model.settings.item_days);
        let own: Vec<f32> =
            self.own.theta[1..].iter().chain(&self.own.theta[..1]).map(|t| *t as f32).collect();
        model.scale.mean + join([&user, &other], [Some(&own), model.stationary(item)])
    }

    fn update(&mut self, model: &Model, item: u32, value: f32, timestamp: i64) {
        self.observe(model, item, value, timestamp);
        let at = self.put(model, item, value, timestamp);
        self.arrive(model, at);
    }

    fn fits(&self, model: &Model) -> bool {
        let settings = &model.settings;
        let place = |place: &Place| {
            place.bag.len() == settings.embedding
                && place.hidden.len() == settings.size
                && place.memory.len() == settings.size
        };
        self.own.fits(settings.stationary_factors + 1) && self.places.iter().all(place)
    }
}

impl Predictor for Model {
    type State = User;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        [&self.users, &self.items]
            .iter()
            .flat_map(|side| side.tensors(&self.settings))
            .map(|t| t.data.len())
            .sum()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let (scale, n) = (self.scale, self.places.len());
        let mut tensors = self.users.tensors(&self.settings);
        tensors.extend(self.items.tensors(&self.settings));
        let stack = |name: &str, width: usize, of: fn(&Place) -> &Vec<f32>| {
            NamedTensor::new(
                name,
                &[n, width],
                self.places.iter().flat_map(|p| of(p).iter().copied()).collect(),
            )
        };
        tensors.extend([
            NamedTensor::new(
                "scale",
                &[4],
                vec![scale.mean, scale.deviation, scale.day_mean, scale.day_deviation],
            ),
            NamedTensor::integers("item_offsets", self.offsets.iter().map(|n| *n as i64)),
            NamedTensor::integers("item_days", self.places.iter().map(|p| i64::from(p.day))),
            stack("item_hidden", self.settings.size, |p| &p.hidden),
            stack("item_memory", self.settings.size, |p| &p.memory),
            stack("item_bags", self.settings.embedding, |p| &p.bag),
        ]);
        tensors.extend(self.population.tensors());
        tensors
    }

    fn start(&self, user: u32, known: History<'_>) -> User {
        User::start(self, user, known)
    }

    fn update(&self, user: &mut User, item: u32, value: f32, timestamp: i64) {
        user.update(self, item, value, timestamp);
    }

    fn predict(&self, user: &User, item: u32, timestamp: i64) -> f32 {
        user.predict(self, item, timestamp)
    }

    fn write_state(&self, user: &User) -> Vec<u8> {
        state::to_bytes(user)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<User> {
        state::from_bytes(bytes).filter(|user: &User| user.fits(self))
    }
}
