//! EASE: the best linear item-to-item model in which no item predicts itself.
//!
//! Steck 2019, *Embarrassingly Shallow Autoencoders for Sparse Data*, equations 6 to 8. With `X` (users by
//! items, 1 where there is a row):
//!
//! ```text
//! min_B |X - X B|^2 + l |B|^2   with diag(B) = 0:     P = (X'X + l I)^-1,   B_ij = -P_ij / P_jj,   B_jj = 0
//! ```
//!
//! **Scores** are `x B` for the history's distinct items. A user without rows gets the items'
//! popularity, far below any score. The catalogue is inverted whole: time grows with its cube and memory with
//! its square, so that more than `max_items` items are rejected.

use crate::engine::kernels::add;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::ranking::{RowScorer, begin, distinct, popularity, require_rows};
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelError, ModelSettings, Result};
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};
use foretaste_data::{Histories, History};
use rayon::prelude::*;

const NAME: &str = "ease";

/// Settings of EASE.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `l`: weight of the squared coefficients.
    pub regularization: f32,
    /// Largest catalogue that is accepted.
    pub max_items: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { regularization: 500.0, max_items: 20_000 }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "EASE";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "regularization", self.regularization, 1e-3, 1e7)?;
        within(NAME, "max_items", self.max_items, 1, 200_000)
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
}

/// The coefficients.
pub struct Model {
    settings: Settings,
    /// `B`, `[items, items]`.
    coefficients: Vec<f32>,
    popularity: Vec<f32>,
}

/// Solves for the coefficients.
///
/// # Errors
/// [`ModelError::Training`] without training rows, or with more items than `max_items`.
pub fn fit(settings: &Settings, train: &Histories, _: Option<&Histories>, _: &FitContext) -> Result<Fitted> {
    require_rows(NAME, train)?;
    let n = train.n_items();
    if n > settings.max_items {
        let memory = (n * n * 12) as f64 / 1e9;
        let reason = format!(
            "{n} items are more than max_items = {}; raising it takes about {memory:.0} GB, or take sims or \
             ials",
            settings.max_items
        );
        return Err(ModelError::Training { model: NAME, reason });
    }
    let owned: Vec<Vec<u32>> =
        (0..train.n_users() as u32).into_par_iter().map(|user| distinct(train.user(user).items)).collect();
    let mut holders = vec![Vec::new(); n];
    owned
        .iter()
        .enumerate()
        .for_each(|(user, items)| items.iter().for_each(|item| holders[*item as usize].push(user)));
    // X'X, an item's row at a time.
    let mut gram = vec![0.0_f32; n * n];
    gram.par_chunks_mut(n).zip(&holders).for_each(|(row, users)| {
        users.iter().flat_map(|user| &owned[*user]).for_each(|item| row[*item as usize] += 1.0);
    });
    let matrix =
        Mat::from_fn(n, n, |i, j| gram[i * n + j] + if i == j { settings.regularization } else { 0.0 });
    let factored = matrix.llt(Side::Lower).map_err(|e| ModelError::Training {
        model: NAME,
        reason: format!("X'X is not positive ({e:?}); raise regularization"),
    })?;
    let inverse = factored.inverse();
    let mut coefficients = gram;
    coefficients.par_chunks_mut(n).enumerate().for_each(|(i, row)| {
        row.iter_mut()
            .enumerate()
            .for_each(|(j, b)| *b = if i == j { 0.0 } else { -inverse[(i, j)] / inverse[(j, j)] });
    });
    let model = Model { settings: settings.clone(), coefficients, popularity: popularity(train) };
    Ok(Fitted { model: Box::new(model), curve: Vec::new(), best_epoch: 0 })
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let popularity: Vec<f32> = tensors.values("popularity", &[None])?;
        let n = popularity.len();
        Ok(Self { settings, coefficients: tensors.values("coefficients", &[Some(n), Some(n)])?, popularity })
    }
}

impl RowScorer for Model {
    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.coefficients.len()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let n = self.popularity.len();
        vec![
            NamedTensor::new("coefficients", &[n, n], self.coefficients.clone()),
            NamedTensor::new("popularity", &[n], self.popularity.clone()),
        ]
    }

    fn score(&self, _: u32, known: History<'_>, _: i64, out: &mut [f32]) {
        let n = self.popularity.len();
        begin(out, self.popularity.iter().copied());
        for item in distinct(known.items).into_iter().filter(|item| (*item as usize) < n) {
            add(out, &self.coefficients[item as usize * n..(item as usize + 1) * n], 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    /// The gradient of the penalized error, `(X'X + l I) B - X'X`, is zero off the diagonal, where `B` is
    /// free.
    #[test]
    fn coefficients_are_the_constrained_minimum() {
        let rows: [&[u32]; 5] = [&[0, 1, 2], &[1, 2, 2], &[0, 3], &[3, 0, 1], &[2]];
        let mut offsets = vec![0];
        rows.iter().for_each(|row| offsets.push(offsets.last().unwrap() + row.len()));
        let items = rows.concat();
        let len = items.len();
        let train = Histories::new(offsets, items, vec![1.0; len], vec![0; len], 4);
        let settings = Settings { regularization: 0.5, ..Settings::default() };
        let fitted = fit(&settings, &train, None, &FitContext::new(0, &Device::flex())).unwrap();
        let b = fitted.model.tensors().swap_remove(0).data;
        let x = |user: usize, item: u32| f32::from(u8::from(rows[user].contains(&item)));
        let gram = |i: u32, j: u32| (0..5).map(|user| x(user, i) * x(user, j)).sum::<f32>();
        for i in 0..4 {
            assert_eq!(b[i * 4 + i], 0.0);
            for j in (0..4).filter(|j| *j != i) {
                let gradient: f32 = (0..4)
                    .map(|k| (gram(i as u32, k as u32) + if i == k { 0.5 } else { 0.0 }) * b[k * 4 + j])
                    .sum::<f32>()
                    - gram(i as u32, j as u32);
                assert!(gradient.abs() < 1e-4, "{i} {j}: {gradient}");
            }
        }
        let mut scores = vec![0.0; 4];
        fitted.model.scores(&fitted.model.start(9, train.user(2)), 0, &mut scores);
        assert!((scores[1] - (b[1] + b[3 * 4 + 1])).abs() < 1e-5);
        let few = Settings { max_items: 3, ..settings };
        let refused =
            fit(&few, &train, None, &FitContext::new(0, &Device::flex())).err().unwrap().to_string();
        assert!(refused.contains("4 items are more than max_items = 3"), "{refused}");
    }
}
