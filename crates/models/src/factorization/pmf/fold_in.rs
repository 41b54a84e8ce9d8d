//! A user's `(b_u, P_u)` as a regression on the fixed `(1, Q_i)` ([`crate::engine::fold_in`]).

use super::Model;
use crate::engine::fold_in::Regression;
use foretaste_data::History;

/// One user: the parameters and their uncertainty.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    own: Regression,
    /// Items whose ratings the parameters already reflect.
    known: Vec<u32>,
}

/// `b_i` and `(1, Q_i)`.
fn features(model: &Model, item: u32) -> Option<(f64, Vec<f64>)> {
    let (bias, factors) = model.item(item)?;
    Some((f64::from(bias), std::iter::once(1.0).chain(factors.iter().map(|f| f64::from(*f))).collect()))
}

impl User {
    pub(super) fn start(model: &Model, user: u32, known: History<'_>) -> Self {
        let widen = |theta: &[f32]| Regression::new(theta.iter().map(|t| f64::from(*t)).collect());
        if let Some(theta) = model.user(user) {
            return Self { own: widen(&theta), known: known.items.to_vec() };
        }
        let mut state = Self { own: widen(&model.population.mean), known: Vec::new() };
        (0..known.len()).for_each(|row| state.update(model, known.items[row], known.values[row]));
        state
    }

    pub(super) fn predict(&self, model: &Model, item: u32) -> f32 {
        let mean = f64::from(model.mean);
        let theta = &self.own.theta;
        match model.item(item) {
            None => (mean + theta[0]) as f32,
            Some((bias, factors)) => {
                let product: f64 = theta[1..].iter().zip(factors).map(|(t, f)| t * f64::from(*f)).sum();
                (mean + f64::from(bias) + theta[0] + product) as f32
            }
        }
    }

    pub(super) fn update(&mut self, model: &Model, item: u32, value: f32) {
        let Some((bias, x)) = features(model, item) else { return };
        let noise = f64::from(model.population.noise);
        if !self.own.is_open() {
            let known = self.known.iter().filter_map(|item| Some(features(model, *item)?.1));
            self.own.open(&model.population.variance, noise, known.map(|x| (x, 0.0)));
        }
        self.own.observe(&x, f64::from(value) - f64::from(model.mean) - bias, noise);
    }

    /// Whether the sizes are those of the model.
    pub(super) fn fits(&self, model: &Model) -> bool {
        self.own.fits(model.settings.factors + 1)
    }
}
