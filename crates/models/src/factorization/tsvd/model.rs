//! A trained T-SVD.

use super::Settings;
use super::calendar::{Bins, Calendar, day};
use super::user::{self, BIAS, FACTORS, Items, Layout, Row, SCALE};
use crate::engine::fold_in::{Population, Regression};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::{ModelError, ModelSettings, Predictor, Result, state};
use foretaste_data::History;

/// A trained T-SVD.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    mean: f32,
    bins: Bins,
    items: Items,
    calendars: Vec<Calendar>,
    /// Parameters of each user ([`Layout`]).
    users: Vec<Vec<f32>>,
    knots: Vec<u32>,
    population: Population,
}

impl Model {
    pub(super) fn new(
        settings: Settings,
        mean: f32,
        bins: Bins,
        items: Items,
        calendars: Vec<Calendar>,
        users: Vec<Vec<f32>>,
        population: Population,
    ) -> Self {
        let layout = Layout::new(&settings, 0);
        let knots = users
            .iter()
            .zip(&calendars)
            .map(|(theta, calendar)| (theta.len() - layout.len(calendar.days.len())) as u32)
            .collect();
        Self { settings, mean, bins, items, calendars, users, knots, population }
    }

    pub(super) fn item_tensors(prefix: &str, items: &Items) -> Vec<NamedTensor> {
        let n = items.bias.len();
        let k = items.factors;
        let name = |name: &str| format!("{prefix}{name}");
        vec![
            NamedTensor::new(name("item_factors"), &[n, k], items.q.clone()),
            NamedTensor::new(name("implicit_factors"), &[items.y.len() / k, k], items.y.clone()),
            NamedTensor::new(name("item_biases"), &[n], items.bias.clone()),
            NamedTensor::new(name("item_bin_biases"), &[n, items.bins], items.bin_bias.clone()),
        ]
    }

    pub(super) fn items(prefix: &str, settings: &Settings, tensors: &Tensors) -> Result<Items> {
        let k = settings.factors;
        let name = |name: &str| format!("{prefix}{name}");
        Ok(Items {
            factors: k,
            bins: settings.item_bins,
            q: tensors.values(&name("item_factors"), &[None, Some(k)])?,
            y: tensors.values(&name("implicit_factors"), &[None, Some(k)])?,
            bias: tensors.values(&name("item_biases"), &[None])?,
            bin_bias: tensors.values(&name("item_bin_biases"), &[None, Some(settings.item_bins)])?,
        })
    }

    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let k = settings.factors;
        let bins = tensors.integers("bins")?;
        let fail = |reason: &str| ModelError::Saved { path: tensors.path().into(), reason: reason.into() };
        let [first, last] = bins.as_slice() else { return Err(fail("tensor \"bins\" has not two numbers")) };
        let means = tensors.values("mean_days", &[None])?;
        let (counts, days) = (tensors.integers("day_counts")?, tensors.integers("days")?);
        let all = tensors.values("users", &[None])?;
        let knots: Vec<u32> = tensors.integers("knots")?.into_iter().map(|n| n as u32).collect();
        let (mut calendars, mut users) = (Vec::new(), Vec::new());
        let (mut next_day, mut next) = (0, 0);
        for ((mean, count), knots) in means.iter().zip(&counts).zip(&knots) {
            let count = *count as usize;
            let length = Layout::new(&settings, *knots as usize).len(count);
            let own = days.get(next_day..next_day + count).ok_or_else(|| fail("has too few days"))?;
            calendars.push(Calendar { days: own.iter().map(|d| *d as i32).collect(), mean: *mean });
            users.push(
                all.get(next..next + length).ok_or_else(|| fail("has too few user parameters"))?.to_vec(),
            );
            (next_day, next) = (next_day + count, next + length);
        }
        Ok(Self {
            mean: tensors.scalar("mean")?,
            bins: Bins { first: *first as i32, last: *last as i32, n: settings.item_bins },
            items: Self::items("", &settings, tensors)?,
            calendars,
            users,
            knots,
            population: Population::restore(k + 1, tensors)?,
            settings,
        })
    }
}

/// One user: trained or folded-in parameters, and the regression that updates them.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    calendar: Calendar,
    /// Control points of the user's drift.
    knots: usize,
    theta: Vec<f32>,
    implicit: Vec<f32>,
    /// `(b_u, p_u)` as a regression; `theta` follows it.
    own: Regression,
    /// Items whose ratings the parameters already reflect.
    known: Vec<u32>,
}

impl Model {
    fn knows(&self, item: u32) -> bool {
        (item as usize) < self.items.bias.len()
    }

    /// `(1, q_i)`.
    fn features(&self, item: u32) -> Vec<f64> {
        std::iter::once(1.0).chain(self.items.q(item).iter().map(|q| f64::from(*q))).collect()
    }
}

impl User {
    fn start(model: &Model, user: u32, known: History<'_>) -> Self {
        let trained = model.population.knows(user);
        let k = model.settings.factors;
        let (calendar, theta, knots) = if trained {
            let user = user as usize;
            (model.calendars[user].clone(), model.users[user].clone(), model.knots[user] as usize)
        } else {
            let mut theta = vec![0.0; Layout::new(&model.settings, 0).len(0)];
            theta[BIAS] = model.population.mean[0];
            theta[SCALE] = 1.0;
            theta[FACTORS..FACTORS + k].copy_from_slice(&model.population.mean[1..]);
            (Calendar::default(), theta, 0)
        };
        let own = std::iter::once(theta[BIAS]).chain(theta[FACTORS..FACTORS + k].iter().copied());
        let own = Regression::new(own.map(f64::from).collect());
        let implicit = model.items.implicit(known.items);
        let mut state = Self { calendar, knots, theta, implicit, own, known: Vec::new() };
        if trained {
            state.known = known.items.to_vec();
        } else {
            for row in 0..known.len() {
                state.update(model, known.items[row], known.values[row], known.timestamps.at(row));
            }
        }
        state
    }

    fn predict(&self, model: &Model, item: u32, timestamp: i64) -> f32 {
        let day = day(timestamp);
        let items = &model.items;
        let layout = Layout::new(&model.settings, self.knots);
        let row = Row { item, bin: model.bins.of(day) as u8, moment: self.calendar.moment(day), value: 0.0 };
        let splines = self.calendar.spline(day, layout.knots, model.settings.spline_gamma);
        let nothing = vec![0.0; items.factors];
        let item = if model.knows(item) {
            let bin = items.bin_bias[item as usize * items.bins + usize::from(row.bin)];
            (items.bias[item as usize] + bin, items.q(item))
        } else {
            (0.0, nothing.as_slice())
        };
        let mut user = vec![0.0; items.factors];
        model.mean + user::predict(&self.theta, layout, &row, &splines, item, &self.implicit, &mut user)
    }

    fn update(&mut self, model: &Model, item: u32, value: f32, timestamp: i64) {
        if !model.knows(item) {
            return;
        }
        let noise = f64::from(model.population.noise);
        if !self.own.is_open() {
            let known: Vec<Vec<f64>> =
                self.known.iter().filter(|i| model.knows(**i)).map(|i| model.features(*i)).collect();
            self.own.open(&model.population.variance, noise, known.into_iter().map(|x| (x, 0.0)));
        }
        let x = model.features(item);
        let error = f64::from(value - self.predict(model, item, timestamp));
        let residual = error + crate::engine::fold_in::dot(&self.own.theta, &x);
        self.own.observe(&x, residual, noise);
        self.theta[BIAS] = self.own.theta[0] as f32;
        let k = model.settings.factors;
        self.theta[FACTORS..FACTORS + k]
            .iter_mut()
            .zip(&self.own.theta[1..])
            .for_each(|(p, t)| *p = *t as f32);
    }

    fn fits(&self, model: &Model) -> bool {
        let layout = Layout::new(&model.settings, self.knots);
        self.own.fits(model.settings.factors + 1)
            && self.implicit.len() == model.items.factors
            && self.theta.len() == layout.len(self.calendar.days.len())
    }
}

impl Predictor for Model {
    type State = User;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        let items = &self.items;
        items.q.len()
            + items.y.len()
            + items.bias.len()
            + items.bin_bias.len()
            + self.users.iter().map(Vec::len).sum::<usize>()
            + 1
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let all = self.users.concat();
        let mut tensors = Self::item_tensors("", &self.items);
        tensors.extend([
            NamedTensor::scalar("mean", self.mean),
            NamedTensor::integers("bins", [self.bins.first, self.bins.last].into_iter().map(i64::from)),
            NamedTensor::new(
                "mean_days",
                &[self.calendars.len()],
                self.calendars.iter().map(|c| c.mean).collect(),
            ),
            NamedTensor::integers("day_counts", self.calendars.iter().map(|c| c.days.len() as i64)),
            NamedTensor::integers("days", self.calendars.iter().flat_map(|c| &c.days).map(|d| i64::from(*d))),
            NamedTensor::integers("knots", self.knots.iter().map(|k| i64::from(*k))),
            NamedTensor::new("users", &[all.len()], all),
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
