//! A user's `(b_u, P_u)` as a regression on the fixed `(1, Q_i)` ([`crate::fold_in`]).

use super::Model;
use crate::UserState;
use crate::fold_in::Regression;
use foretaste_data::History;

pub(super) struct State<'a> {
    model: &'a Model,
    user: Regression,
    /// Items whose ratings the user's parameters already know.
    known: Vec<u32>,
}

impl<'a> State<'a> {
    pub fn new(model: &'a Model, user: u32, known: History<'_>) -> Self {
        let widen = |theta: &[f32]| Regression::new(theta.iter().map(|t| f64::from(*t)).collect());
        if let Some(theta) = model.user(user) {
            return Self { model, user: widen(&theta), known: known.items.to_vec() };
        }
        let mut state = Self { model, user: widen(&model.population.mean), known: Vec::new() };
        for row in 0..known.len() {
            state.reveal(known.items[row], known.values[row], known.timestamps.at(row));
        }
        state
    }
}

/// `b_i` and `(1, Q_i)`.
fn features(model: &Model, item: u32) -> Option<(f64, Vec<f64>)> {
    let (bias, factors) = model.item(item)?;
    Some((f64::from(bias), std::iter::once(1.0).chain(factors.iter().map(|f| f64::from(*f))).collect()))
}

impl UserState for State<'_> {
    fn predict(&self, item: u32, _: i64) -> f32 {
        let mean = f64::from(self.model.mean);
        let theta = &self.user.theta;
        match self.model.item(item) {
            None => (mean + theta[0]) as f32,
            Some((bias, factors)) => {
                let product: f64 = theta[1..].iter().zip(factors).map(|(t, f)| t * f64::from(*f)).sum();
                (mean + f64::from(bias) + theta[0] + product) as f32
            }
        }
    }

    fn reveal(&mut self, item: u32, value: f32, _: i64) {
        let Some((bias, x)) = features(self.model, item) else { return };
        let noise = f64::from(self.model.population.noise);
        if !self.user.is_open() {
            let known = self.known.iter().filter_map(|item| Some(features(self.model, *item)?.1));
            self.user.open(&self.model.population.variance, noise, known.map(|x| (x, 0.0)));
        }
        self.user.observe(&x, f64::from(value) - f64::from(self.model.mean) - bias, noise);
    }
}
