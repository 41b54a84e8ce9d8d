//! A trained factorization machine: predictions averaged over draws.

use super::features::Layout;
use super::machine::{fold, join};
use super::probit::Cutpoints;
use super::{Likelihood, Settings};
use crate::engine::codes::Codes;
use crate::engine::fold_in::{Population, Regression};
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::{ModelSettings, Predictor, Result, state};
use foretaste_data::{Histories, History, Membership};
use rayon::prelude::*;

/// Draws in which an update moves the user.
const STREAMED: usize = 16;

/// One draw: users' features raw, the other blocks' parts folded. Rows are `factors + 1` long; the
/// users' last row is the feature of an unknown user, the items' and days' last the part of an unknown one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draw {
    pub intercept: f32,
    pub users: Vec<f32>,
    pub items: Vec<f32>,
    pub days: Vec<f32>,
    pub cutpoints: Vec<f32>,
}

/// The draws that are kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Samples(Vec<Draw>);

impl FromIterator<Draw> for Samples {
    fn from_iter<T: IntoIterator<Item = Draw>>(draws: T) -> Self {
        Self(draws.into_iter().collect())
    }
}

impl Samples {
    pub fn push(&mut self, draw: Draw) {
        self.0.push(draw);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn tensors(&self, prefix: &str, width: usize) -> Vec<NamedTensor> {
        let n = self.0.len();
        let stack = |name: &str, column: usize, of: fn(&Draw) -> &[f32]| {
            let data: Vec<f32> = self.0.iter().flat_map(of).copied().collect();
            let rows = data.len().checked_div(n * column).unwrap_or(0);
            NamedTensor::new(format!("{prefix}{name}"), &[n, rows, column], data)
        };
        vec![
            stack("intercepts", 1, |d| std::slice::from_ref(&d.intercept)),
            stack("users", width, |d| &d.users),
            stack("items", width, |d| &d.items),
            stack("days", width, |d| &d.days),
            stack("cutpoints", 1, |d| &d.cutpoints),
        ]
    }

    pub fn restore(prefix: &str, width: usize, tensors: &Tensors) -> Result<Self> {
        let get =
            |name: &str, column: usize| tensors.get(&format!("{prefix}{name}"), &[None, None, Some(column)]);
        let (intercepts, users, items, days, cutpoints) = (
            get("intercepts", 1)?,
            get("users", width)?,
            get("items", width)?,
            get("days", width)?,
            get("cutpoints", 1)?,
        );
        let cut = |tensor: &NamedTensor, draw: usize| {
            let size = tensor.shape[1] * tensor.shape[2];
            tensor.data.get(draw * size..(draw + 1) * size).map(<[f32]>::to_vec).unwrap_or_default()
        };
        let draw = |at: usize| Draw {
            intercept: intercepts.data[at],
            users: cut(users, at),
            items: cut(items, at),
            days: cut(days, at),
            cutpoints: cut(cutpoints, at),
        };
        Ok((0..intercepts.shape[0]).map(draw).collect())
    }
}

/// A trained factorization machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    layout: Layout,
    samples: Samples,
    /// Values of the ordered probit's levels.
    values: Vec<f32>,
    population: Population,
    /// Variance of the users' folded parts in the streamed draws, one after the other.
    variances: Vec<f32>,
}

impl Model {
    pub(super) fn new(
        settings: &Settings,
        layout: Layout,
        samples: Samples,
        values: Vec<f32>,
        train: &Histories,
        trained: Vec<bool>,
        train_error: f64,
    ) -> Self {
        let width = settings.factors + 1;
        let mut model = Self {
            settings: settings.clone(),
            layout,
            samples,
            values,
            population: Population {
                mean: Vec::new(),
                variance: Vec::new(),
                noise: (train_error * train_error).max(1e-6) as f32,
                trained,
            },
            variances: Vec::new(),
        };
        for draw in model.streamed() {
            let fold = |user: u32| {
                model.user(
                    &model.samples.0[draw],
                    user,
                    &model.layout.user_part(user, train.user(user).items),
                )
            };
            let folded: Vec<Vec<f32>> = (0..train.n_users() as u32).into_par_iter().map(fold).collect();
            // c first, as in the regression's (1, q).
            let component =
                |user: usize, c: usize| if c == 0 { folded[user][width - 1] } else { folded[user][c - 1] };
            let population = Population::of(width, model.population.trained.clone(), 1.0, component);
            model.variances.extend(population.variance);
        }
        model
    }

    /// The model without its users' own features: enough if every user is new.
    pub(crate) fn for_strangers(mut self) -> Self {
        let width = self.settings.factors + 1;
        for draw in &mut self.samples.0 {
            // The last row is an unknown user's.
            draw.users.drain(..draw.users.len() - width);
        }
        self.layout = Layout {
            users: 0,
            user_bag: false,
            user_codes: Codes::default(),
            membership: Membership::default(),
            ..self.layout
        };
        self.settings.user_bag = super::Bag::None;
        self.population.trained.clear();
        self
    }

    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let width = settings.factors + 1;
        let whole = |name: &str| -> Result<Vec<f32>> { tensors.values(name, &[None]) };
        let counts = |name: &str| -> Result<Vec<usize>> {
            Ok(tensors.integers(name)?.into_iter().map(|n| n as usize).collect())
        };
        let ids = |name: &str| -> Result<Vec<u32>> {
            Ok(tensors.integers(name)?.into_iter().map(|n| n as u32).collect())
        };
        let sizes = counts("sizes")?;
        let fail = || crate::ModelError::Saved {
            path: tensors.path().into(),
            reason: "tensor \"sizes\" has not the three sizes it should have".into(),
        };
        let [users, items, codes] = sizes.as_slice() else { return Err(fail()) };
        let layout = Layout {
            users: *users,
            items: *items,
            user_bag: settings.user_bag != super::Bag::None,
            days: tensors.integers("calendar")?,
            user_codes: Codes { offsets: counts("user_code_offsets")?, ids: ids("user_codes")?, n: *codes },
            membership: Membership::new(counts("membership_offsets")?, ids("membership_items")?),
        };
        Ok(Self {
            layout,
            samples: Samples::restore("", width, tensors)?,
            values: whole("levels")?,
            population: Population::restore(0, tensors)?,
            variances: whole("variances")?,
            settings,
        })
    }

    fn streamed(&self) -> Vec<usize> {
        let n = self.samples.0.len();
        let taken = n.min(STREAMED);
        (0..taken).map(|i| i * n / taken.max(1)).collect()
    }

    /// A user's folded part in one draw; `part` are the features besides the user's own.
    fn user(&self, draw: &Draw, user: u32, part: &[(u32, f32)]) -> Vec<f32> {
        let width = self.settings.factors + 1;
        let trained = self.population.knows(user);
        // An unknown user's own feature is the table's last row.
        let own = if trained { user } else { self.layout.user_features() as u32 };
        let mut out = vec![0.0; width];
        fold(&draw.users, std::iter::once((own, 1.0)).chain(part.iter().copied()), &mut out);
        out
    }

    fn item<'a>(&self, draw: &'a Draw, item: u32) -> &'a [f32] {
        let width = self.settings.factors + 1;
        let at = (item as usize).min(self.layout.items);
        &draw.items[at * width..(at + 1) * width]
    }

    fn day<'a>(&self, draw: &'a Draw, timestamp: i64) -> Option<&'a [f32]> {
        let width = self.settings.factors + 1;
        // Levels of the groups are not identified: leaving a day out would leave out its share of the mean.
        let at = self.layout.day_part(timestamp).unwrap_or(self.layout.days.len());
        draw.days.get(at * width..(at + 1) * width)
    }

    /// By how much a user's level may have drifted between two ratings.
    fn drift(&self, last: i64, timestamp: i64) -> f64 {
        if timestamp > last { f64::from(self.settings.drift) } else { 0.0 }
    }

    /// The rating for a score, and its slope.
    fn link(&self, draw: &Draw, score: f32) -> (f64, f64) {
        match self.settings.likelihood {
            Likelihood::Normal => (f64::from(score), 1.0),
            Likelihood::Probit => Cutpoints(draw.cutpoints.iter().map(|c| f64::from(*c)).collect())
                .expectation(&self.values, f64::from(score)),
        }
    }
}

/// One user in every draw.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// Folded parts, one after the other.
    parts: Vec<f32>,
    /// The streamed draws' regressions, from the first update on.
    regressions: Vec<(usize, Regression)>,
    /// What the user's parts already reflect.
    known: Vec<(u32, i64)>,
    /// Time of the last update.
    last: i64,
}

impl Model {
    fn score(&self, draw: usize, user: &[f32], item: u32, timestamp: i64) -> f32 {
        let drawn = &self.samples.0[draw];
        let item = self.item(drawn, item);
        let sum = match self.day(drawn, timestamp) {
            None => join(&[user, item]),
            Some(day) => join(&[user, item, day]),
        };
        drawn.intercept + sum
    }

    /// `(1, q_i + q_d)`, the factor of the user's `(c, q)`.
    fn features(&self, draw: usize, item: u32, timestamp: i64) -> Vec<f64> {
        let drawn = &self.samples.0[draw];
        let factors = self.settings.factors;
        let item = self.item(drawn, item);
        let day = self.day(drawn, timestamp);
        let other = (0..factors).map(|f| f64::from(item[f] + day.map_or(0.0, |day| day[f])));
        std::iter::once(1.0).chain(other).collect()
    }
}

/// A regression's parameters as a folded part.
fn moved(theta: &[f64]) -> Vec<f32> {
    theta[1..].iter().chain(&theta[..1]).map(|t| *t as f32).collect()
}

impl User {
    fn start(model: &Model, user: u32, known: History<'_>) -> Self {
        let mut state =
            Self { parts: Vec::new(), regressions: Vec::new(), known: Vec::new(), last: i64::MAX };
        let part = model.layout.user_part(user, known.items);
        for draw in &model.samples.0 {
            state.parts.extend(model.user(draw, user, &part));
        }
        if model.population.knows(user) {
            state.known = known.items.iter().copied().zip(known.timestamps).collect();
        } else {
            for row in 0..known.len() {
                state.update(model, known.items[row], known.values[row], known.timestamps.at(row));
            }
        }
        state
    }

    fn part(&self, model: &Model, draw: usize) -> &[f32] {
        let width = model.settings.factors + 1;
        &self.parts[draw * width..(draw + 1) * width]
    }

    fn predict(&self, model: &Model, item: u32, timestamp: i64) -> f32 {
        let draws = model.samples.0.len();
        let rate = |draw: usize, user: &[f32]| {
            model.link(&model.samples.0[draw], model.score(draw, user, item, timestamp)).0
        };
        let mut mean: f64 =
            (0..draws).map(|draw| rate(draw, self.part(model, draw))).sum::<f64>() / draws as f64;
        for (draw, regression) in &self.regressions {
            let change = rate(*draw, &moved(&regression.theta)) - rate(*draw, self.part(model, *draw));
            mean += change / self.regressions.len() as f64;
        }
        mean as f32
    }

    /// The streamed draws' regressions, which reflect all that the parts reflect.
    fn open(&self, model: &Model) -> Vec<(usize, Regression)> {
        let noise = f64::from(model.population.noise);
        let width = model.settings.factors + 1;
        let open = |(place, draw): (usize, usize)| {
            let part = self.part(model, draw);
            let theta = part[width - 1..].iter().chain(&part[..width - 1]).map(|v| f64::from(*v));
            let mut regression = Regression::new(theta.collect());
            let mut last = i64::MAX;
            let known = self.known.iter().map(|(item, timestamp)| {
                let drift = model.drift(std::mem::replace(&mut last, *timestamp), *timestamp);
                let mut x = model.features(draw, *item, *timestamp);
                let score = model.score(draw, part, *item, *timestamp);
                let (_, slope) = model.link(&model.samples.0[draw], score);
                x.iter_mut().for_each(|x| *x *= slope);
                (x, drift)
            });
            regression.open(&model.variances[place * width..(place + 1) * width], noise, known);
            (draw, regression)
        };
        model.streamed().into_iter().enumerate().map(open).collect()
    }

    fn update(&mut self, model: &Model, item: u32, value: f32, timestamp: i64) {
        if self.regressions.is_empty() {
            self.regressions = self.open(model);
            self.last = self.known.last().map_or(i64::MAX, |(_, timestamp)| *timestamp);
        }
        let noise = f64::from(model.population.noise);
        let drift = model.drift(std::mem::replace(&mut self.last, timestamp), timestamp);
        for (draw, regression) in &mut self.regressions {
            regression.drift(drift);
            let score = model.score(*draw, &moved(&regression.theta), item, timestamp);
            let (predicted, slope) = model.link(&model.samples.0[*draw], score);
            let x: Vec<f64> = model.features(*draw, item, timestamp).into_iter().map(|x| x * slope).collect();
            // The residual that gives the rating's error.
            let residual = f64::from(value) - predicted + crate::engine::fold_in::dot(&regression.theta, &x);
            regression.observe(&x, residual, noise);
        }
    }

    pub(crate) fn fits(&self, model: &Model) -> bool {
        let (width, draws) = (model.settings.factors + 1, model.samples.0.len());
        self.parts.len() == draws * width
            && self.regressions.iter().all(|(draw, own)| *draw < draws && own.fits(width))
    }
}

impl Predictor for Model {
    type State = User;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.samples
            .0
            .iter()
            .map(|d| 1 + d.users.len() + d.items.len() + d.days.len() + d.cutpoints.len())
            .sum()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let integers =
            |name: &str, values: &mut dyn Iterator<Item = i64>| NamedTensor::integers(name, values);
        let mut tensors = self.samples.tensors("", self.settings.factors + 1);
        let layout = &self.layout;
        tensors.extend([
            integers(
                "sizes",
                &mut [layout.users, layout.items, layout.user_codes.n].into_iter().map(|n| n as i64),
            ),
            integers("calendar", &mut layout.days.iter().copied()),
            integers("user_code_offsets", &mut layout.user_codes.offsets.iter().map(|n| *n as i64)),
            integers("user_codes", &mut layout.user_codes.ids.iter().map(|n| i64::from(*n))),
            integers("membership_offsets", &mut layout.membership.offsets().iter().map(|n| *n as i64)),
            integers("membership_items", &mut layout.membership.items().iter().map(|n| i64::from(*n))),
            NamedTensor::new("levels", &[self.values.len()], self.values.clone()),
            NamedTensor::new("variances", &[self.variances.len()], self.variances.clone()),
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
