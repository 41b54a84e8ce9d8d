//! Out-of-fold predictions: predictions of training rows by models that did not see them.

use crate::{Metric, SelectionData};
use foretaste_models::{ModelError, ModelSettings, Progress, Result};

/// Number of folds that rows are split into.
pub const FOLDS: u64 = 4;

/// For each of `settings` its predictions of all training rows, in row order: rows are split at random into
/// [`FOLDS`] folds, each predicted by a model that was trained on the others. Validation rows are not used.
///
/// # Errors
/// Those of training; [`ModelError::Interrupted`] when `progress` requests it.
pub fn out_of_fold(
    data: &SelectionData,
    metric: &Metric,
    settings: &[ModelSettings],
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Vec<f32>>> {
    let rows = &data.train;
    let fold = |row: usize| foretaste_data::stream_seed(seed, &format!("fold of row {row}")) % FOLDS;
    let folds: Vec<u64> = (0..rows.len()).map(fold).collect();
    let mut columns = vec![vec![0.0; rows.len()]; settings.len()];
    for held in 0..FOLDS {
        let (known, asked) =
            (rows.of_rows(|_, row| folds[row] != held), rows.of_rows(|_, row| folds[row] == held));
        for (settings, column) in settings.iter().zip(&mut columns) {
            if progress.cancelled() {
                return Err(ModelError::Interrupted);
            }
            let membership = settings.is_transductive().then(|| asked.membership());
            let context = foretaste_models::FitContext {
                membership: membership.as_ref(),
                ..data.context(seed, progress, None)
            };
            let model = settings.fit(&known, None, &context)?.model;
            let predictions = metric.predictions(model.as_ref(), &known, &asked).unwrap_or_default();
            let places = (0..rows.len()).filter(|row| folds[*row] == held);
            places.zip(predictions).for_each(|(row, prediction)| column[row] = prediction);
        }
    }
    Ok(columns)
}
