//! The rows of a selection: training and validation rows.

use crate::{Candidate, Metric};
use foretaste_data::{Attributes, Histories, hex};
use foretaste_models::{Device, FitContext, Fitted, ModelSettings, Progress, Result};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Training rows and validation rows, with attributes and the rating scale. Test rows are not included, so
/// that nothing here can reach one.
pub struct SelectionData<'a> {
    /// Training rows of the candidates.
    pub train: Histories,
    /// Validation rows, which compare candidates; the winner is trained on them, too.
    pub validation: Histories,
    /// Smallest and largest rating, to which predictions are clipped; `None` does not clip.
    pub scale: Option<(f32, f32)>,
    /// What is known of users.
    pub user_attributes: Option<&'a Attributes>,
    /// What is known of items.
    pub item_attributes: Option<&'a Attributes>,
    /// Where layers are computed.
    pub device: &'a Device,
}

impl SelectionData<'_> {
    /// Trains on the training rows and chooses the epoch on the validation rows.
    ///
    /// # Errors
    /// Those of training.
    pub fn fit(
        &self,
        settings: &ModelSettings,
        seed: u64,
        progress: &dyn Progress,
        checkpoint: Option<&Path>,
    ) -> Result<Fitted> {
        let membership = settings.is_transductive().then(|| self.validation.membership());
        let context =
            FitContext { membership: membership.as_ref(), ..self.context(seed, progress, checkpoint) };
        settings.fit(&self.train, Some(&self.validation), &context)
    }

    /// What training needs besides settings and rows.
    #[must_use]
    pub fn context<'b>(
        &'b self,
        seed: u64,
        progress: &'b dyn Progress,
        checkpoint: Option<&'b Path>,
    ) -> FitContext<'b> {
        FitContext {
            progress,
            checkpoint,
            user_attributes: self.user_attributes,
            item_attributes: self.item_attributes,
            ..FitContext::new(seed, self.device)
        }
    }

    /// Identity of a study over these rows, as a SHA-256: rows, attributes, scale, metric, reading, device,
    /// and the settings that are not searched. Two searches that differ in one of them must not share a
    /// study.
    #[must_use]
    pub fn task(&self, metric: &Metric, candidate: &Candidate) -> String {
        let mut hash = Sha256::new();
        self.train.feed(&mut |bytes| hash.update(bytes));
        self.validation.feed(&mut |bytes| hash.update(bytes));
        for attributes in [self.user_attributes, self.item_attributes] {
            hash.update([u8::from(attributes.is_some())]);
            attributes.iter().for_each(|attributes| attributes.feed(&mut |bytes| hash.update(bytes)));
        }
        let settings = candidate.settings.to_toml();
        let rest = format!(
            "{} {:?} {:?} {} {} {settings}",
            metric.name,
            metric.reading,
            self.scale,
            self.device.name(),
            candidate.settings.kind().name()
        );
        hash.update(rest.as_bytes());
        hex(&hash.finalize())
    }

    /// The training and validation rows of the first `share` of users in a seeded order: a smaller task of
    /// the same kind. Indices are kept.
    #[must_use]
    pub fn sampled(&self, share: f64, seed: u64) -> Self {
        let keep = |user: u32, _: usize| {
            (foretaste_data::stream_seed(seed, &format!("user {user}")) >> 11) as f64 / ((1_u64 << 53) as f64)
                < share
        };
        Self { train: self.train.of_rows(keep), validation: self.validation.of_rows(keep), ..*self }
    }
}
