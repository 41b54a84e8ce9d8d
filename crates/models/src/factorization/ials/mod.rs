//! iALS: implicit alternating least squares.
//!
//! Hu, Koren and Volinsky 2008, *Collaborative Filtering for Implicit Feedback Datasets*, in the form and
//! with the scaled regularization of Rendle, Krichene, Zhang and Koren 2021, *Revisiting the Performance of
//! iALS on Item Recommendation Benchmarks*, equations 1 to 4. For users `u` and items `i`, `S` the pairs with
//! rows:
//!
//! ```text
//! L = sum_{(u,i) in S} c_ui (w_u . h_i - 1)^2 + a sum_{u,i} (w_u . h_i)^2
//!     + sum_u l_u |w_u|^2 + sum_i l_i |h_i|^2
//! l_u = l (|S_u| + a |I|)^v        l_i = l (|S_i| + a |U|)^v        c_ui = 1 + alpha r_ui
//! ```
//!
//! with `a = unobserved`, `l = regularization`, `v = exponent`. One side at a time is solved given the other:
//! exactly (`solver = "cholesky"`), or by a few steps of conjugate gradients from its last value (`"cg"`;
//! Takacs, Pilaszy and Tikk 2011, *Applications of the Conjugate Gradient Method for Implicit Feedback
//! Collaborative Filtering*).
//!
//! **Scores** are `w_u . h_i`, where `w_u` is solved exactly from the user's known rows and updates: users
//! of the training part and new users are treated alike. A user without rows has `w_u = 0` and, with it, the
//! order of the items' popularity (far below any score). An item without training rows has `h_i = 0`. The
//! `w_u` for lists of many users are solved at the end of training for the users of the training part,
//! and stored with a digest of their rows: for other rows they are solved again, to the same bits.

mod solve;
mod train;

use crate::engine::kernels::dot;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::ranking::{FAR_BELOW, begin};
use crate::{
    Algorithm, BoxedModel, FitContext, Fitted, InnerProducts, ModelSettings, Predictor, Result, state,
};
use foretaste_data::{Histories, History};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use solve::{Problem, Space, System};

pub use train::fit;

const NAME: &str = "ials";

/// The solver of one side given the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// A few steps of conjugate gradients.
    Cg,
    /// Exactly.
    Cholesky,
}

/// Settings of iALS.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Length of the factors.
    pub factors: usize,
    /// Passes over users and items.
    pub epochs: usize,
    /// Weight of all pairs, observed or not.
    pub unobserved: f32,
    /// Regularization: weight of the squared factors.
    pub regularization: f32,
    /// Power of a row's count by which its regularization grows: 0 for uniform, 1 for proportional.
    pub exponent: f32,
    /// How much an interaction's value adds to its weight; 0 for equal weights.
    pub alpha: f32,
    /// The solver of one side given the other.
    pub solver: Solver,
    /// Steps of conjugate gradients.
    pub steps: usize,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            factors: 64,
            epochs: 16,
            unobserved: 0.1,
            regularization: 0.003,
            exponent: 1.0,
            alpha: 0.0,
            solver: Solver::Cg,
            steps: 3,
            patience: 3,
        }
    }
}

impl Settings {
    /// Weight of an interaction with this value.
    fn weight(&self, value: f32) -> f32 {
        if self.alpha > 0.0 && value.is_finite() { (1.0 + self.alpha * value).max(0.0) } else { 1.0 }
    }

    /// `l_u` of a row with this many interactions, of `others` possible ones.
    fn penalty(&self, interactions: usize, others: usize) -> f32 {
        self.regularization * (interactions as f32 + self.unobserved * others as f32).powf(self.exponent)
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "iALS";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "factors", self.factors, 1, 4096)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "unobserved", self.unobserved, 0.0, 100.0)?;
        within(NAME, "regularization", self.regularization, 1e-6, 1e4)?;
        within(NAME, "exponent", self.exponent, 0.0, 1.0)?;
        within(NAME, "alpha", self.alpha, 0.0, 1e4)?;
        within(NAME, "steps", self.steps, 1, 1000)?;
        within(NAME, "patience", self.patience, 1, 100_000)
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }

    fn predicts_ratings(&self) -> bool {
        false
    }

    fn epochs(&mut self) -> Option<&mut usize> {
        Some(&mut self.epochs)
    }
}

/// Trained item factors, and the factors of the users of the training part.
pub struct Model {
    settings: Settings,
    /// `[items, factors]`.
    items: Vec<f32>,
    /// Shares of the training rows, for users without rows.
    popularity: Vec<f32>,
    /// `a H'H`, `[factors, factors]`.
    gram: Vec<f32>,
    /// Factors of the users of the training part, for lists of many users, `[users, factors]`; empty
    /// during training.
    users: Vec<f32>,
    /// Digests of the rows they were solved from, one per user.
    digests: Vec<i64>,
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let items = tensors.values("items", &[None, Some(settings.factors)])?;
        let popularity: Vec<f32> = tensors.values("popularity", &[Some(items.len() / settings.factors)])?;
        let digests = tensors.integers("digests")?;
        let users = tensors.values("users", &[Some(digests.len()), Some(settings.factors)])?;
        Ok(Self { users, digests, ..Self::new(settings, items, popularity) })
    }

    fn new(settings: Settings, items: Vec<f32>, popularity: Vec<f32>) -> Self {
        let gram = solve::gram(&items, settings.factors, settings.unobserved);
        Self { settings, items, popularity, gram, users: Vec::new(), digests: Vec::new() }
    }

    /// Solves the users of the training part once, for later lists.
    fn keep(&mut self, train: &Histories) {
        let k = self.settings.factors;
        let mut users = vec![0.0; train.n_users() * k];
        users.par_chunks_mut(k).enumerate().for_each_init(Space::default, |space, (user, out)| {
            self.solve_into(train.user(user as u32), out, space);
        });
        self.users = users;
        self.digests =
            (0..train.n_users() as u32).into_par_iter().map(|user| digest(train.user(user))).collect();
    }

    /// A user's factors by conjugate gradients, run until a millionth of the residual remains; `out` is 0
    /// on entry.
    fn solve_into(&self, known: History<'_>, out: &mut [f32], space: &mut Space) {
        let weighted = known.items.iter().zip(known.values).filter(|(item, _)| self.row(**item).is_some());
        let rows: Vec<(u32, f32)> =
            weighted.map(|(item, value)| (*item, self.settings.weight(*value))).collect();
        let penalty = self.settings.penalty(rows.len(), self.popularity.len());
        Problem { gram: &self.gram, penalty, table: &self.items, rows: &rows }.descend(
            2 * out.len(),
            1e-6,
            out,
            space,
        );
    }

    /// [`solve_into`](Self::solve_into) for one user alone.
    fn query(&self, known: History<'_>) -> Vec<f32> {
        let mut factors = vec![0.0; self.settings.factors];
        self.solve_into(known, &mut factors, &mut Space::default());
        factors
    }

    /// The stored factors of a user, if they were solved from these very rows.
    fn kept(&self, user: u32, known: History<'_>) -> Option<Vec<f32>> {
        let k = self.settings.factors;
        let place = user as usize;
        (*self.digests.get(place)? == digest(known)).then(|| self.users[place * k..(place + 1) * k].to_vec())
    }

    fn row(&self, item: u32) -> Option<&[f32]> {
        let (k, item) = (self.settings.factors, item as usize);
        self.items.get(item * k..(item + 1) * k)
    }
}

/// A user's least-squares problem, which grows with every row.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    system: System,
    rows: usize,
}

impl User {
    fn factors(&self, model: &Model) -> Vec<f32> {
        self.system.solve(model.settings.penalty(self.rows, model.popularity.len()))
    }
}

impl Predictor for Model {
    type State = User;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.items.len()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let n = self.popularity.len();
        vec![
            NamedTensor::new("items", &[n, self.settings.factors], self.items.clone()),
            NamedTensor::new("popularity", &[n], self.popularity.clone()),
            NamedTensor::new("users", &[self.digests.len(), self.settings.factors], self.users.clone()),
            NamedTensor::integers("digests", self.digests.iter().copied()),
        ]
    }

    fn rates(&self) -> bool {
        false
    }

    fn start(&self, _: u32, known: History<'_>) -> User {
        let mut user = User { system: System::new(self.gram.clone(), self.settings.factors), rows: 0 };
        (0..known.len()).for_each(|row| self.update(&mut user, known.items[row], known.values[row], 0));
        user
    }

    fn update(&self, user: &mut User, item: u32, value: f32, _: i64) {
        if let Some(row) = self.row(item) {
            user.system.add(row, self.settings.weight(value));
            user.rows += 1;
        }
    }

    fn scores(&self, user: &User, _: i64, out: &mut [f32]) {
        let factors = user.factors(self);
        begin(out, self.popularity.iter().copied());
        out.iter_mut()
            .zip(self.items.chunks_exact(factors.len()))
            .for_each(|(out, row)| *out += dot(&factors, row));
    }

    fn inner_products(&self) -> Option<InnerProducts<'_>> {
        let query = |user: u32, known: History<'_>, _: i64| {
            self.kept(user, known).unwrap_or_else(|| self.query(known))
        };
        Some(InnerProducts {
            items: &self.items,
            offsets: &self.popularity,
            scale: FAR_BELOW,
            width: self.settings.factors,
            query: Box::new(query),
        })
    }

    fn write_state(&self, user: &User) -> Vec<u8> {
        state::to_bytes(user)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<User> {
        state::from_bytes(bytes).filter(|user: &User| user.system.fits(self.settings.factors))
    }
}

/// A digest of forty bits of all that the factors depend on.
fn digest(known: History<'_>) -> i64 {
    let mut bytes = Vec::with_capacity(8 * known.len());
    known.items.iter().zip(known.values).for_each(|(item, value)| {
        bytes.extend(item.to_le_bytes());
        bytes.extend(value.to_bits().to_le_bytes());
    });
    Sha256::digest(&bytes).iter().take(5).fold(0, |sum, byte| sum << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests;
