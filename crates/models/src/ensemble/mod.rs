//! Ensembles: a weighted sum of other models.
//!
//! `by = "ratings"` sums the members' predictions, `by = "ranks"` uses an item's rank among all, from 1
//! (reciprocal rank fusion: Cormack, Clarke and Buettcher 2009, equation 1):
//!
//! ```text
//! r^_ui = b + sum_m w_m r^_ui^(m)          s_ui = sum_m w_m / (60 + rank_ui^(m))
//! ```
//!
//! An ensemble trains its members on the same rows, each with its own settings and all under the run's
//! seed. Of members with equal settings each after the first has a seed of its own, so that their mean
//! is less a matter of chance (deep ensembles: Lakshminarayanan et al. 2017). Weights are settings,
//! chosen by the ensemble's author on rows that trained no member (`foretaste-automl` does: Caruana et
//! al. 2004, or stacking). A new user or item gets the members' own fallbacks. Updates go to every
//! member.

use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::model::scores_by_rating;
use crate::{
    Algorithm, BoxedModel, FitContext, Fitted, Kind, ModelError, ModelSettings, Predictor, Reading, Result,
    Trained, UserState, state,
};
use foretaste_data::{Histories, History, stream_seed};
use std::sync::Arc;

const NAME: &str = "ensemble";

/// What is combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Predicted ratings.
    Ratings,
    /// Reciprocal ranks, of members of any kind.
    Ranks,
}

/// Settings of an ensemble.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is combined.
    pub by: By,
    /// `b`, in ratings.
    pub intercept: f32,
    /// The models that are combined.
    pub members: Vec<Member>,
}

/// One model of an ensemble.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The model's name.
    pub model: String,
    /// `w_m`.
    pub weight: f32,
    /// The model's settings; those not named keep their defaults.
    #[serde(default)]
    pub settings: toml::Table,
}

impl Default for Settings {
    /// The mean of two simple models.
    fn default() -> Self {
        let member =
            |kind: Kind| Member { model: kind.name().into(), weight: 0.5, settings: toml::Table::new() };
        Self { by: By::Ratings, intercept: 0.0, members: vec![member(Kind::BIASES), member(Kind::PMF)] }
    }
}

impl Settings {
    /// An ensemble of rating models with their weights.
    ///
    /// # Panics
    /// Never: settings are plain.
    #[must_use]
    pub fn of(members: &[(ModelSettings, f32)], intercept: f32) -> Self {
        let table = |settings: &ModelSettings| {
            settings.to_toml().parse().unwrap_or_else(|e| panic!("settings are plain: {e}"))
        };
        let member = |(settings, weight): &(ModelSettings, f32)| Member {
            model: settings.kind().name().into(),
            weight: *weight,
            settings: table(settings),
        };
        Self { by: By::Ratings, intercept, members: members.iter().map(member).collect() }
    }

    /// An ensemble of models of any kind, by their ranks.
    #[must_use]
    pub fn of_ranks(members: &[(ModelSettings, f32)]) -> Self {
        Self { by: By::Ranks, ..Self::of(members, 0.0) }
    }

    /// The members' settings, each checked.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for a member that is unknown, has a bad setting or, if ratings are summed,
    /// predicts none.
    pub fn member_settings(&self) -> Result<Vec<ModelSettings>> {
        let fail = |reason: String| ModelError::Setting { model: NAME, setting: "members".into(), reason };
        let read = |member: &Member| {
            let kind: Kind = member.model.parse().map_err(fail)?;
            let settings = kind.settings(member.settings.clone())?;
            if self.by == By::Ranks || settings.predicts_ratings() {
                Ok(settings)
            } else {
                Err(fail(format!("{} predicts no ratings", member.model)))
            }
        };
        self.members.iter().map(read).collect()
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "Ensemble";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "intercept", self.intercept, -1e6, 1e6)?;
        within(NAME, "members", self.members.len(), 1, 64)?;
        self.members.iter().try_for_each(|member| within(NAME, "weight", member.weight, -100.0, 100.0))?;
        self.member_settings().map(drop)
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }

    fn predicts_ratings(&self) -> bool {
        self.by == By::Ratings
    }

    fn is_transductive(&self) -> bool {
        self.member_settings().is_ok_and(|members| members.iter().any(ModelSettings::is_transductive))
    }
}

/// Trained members.
pub struct Model {
    settings: Settings,
    members: Vec<Arc<dyn Trained>>,
}

/// Trains every member on `train`. Validation rows choose nothing: a member's epochs are its settings.
///
/// # Errors
/// What the members meet.
pub fn fit(
    settings: &Settings,
    train: &Histories,
    _: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    let mut members = Vec::with_capacity(settings.members.len());
    let of = settings.member_settings()?;
    for (index, member) in of.iter().enumerate() {
        context.go_on()?;
        let seed = match of[..index].iter().filter(|other| *other == member).count() {
            0 => context.seed,
            n => stream_seed(context.seed, &format!("ensemble, equal member {n}")),
        };
        // An interrupted member resumes; those before it are trained again.
        let folder = context.checkpoint.map(|folder| folder.join(format!("member-{index}")));
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder)
                .map_err(|e| ModelError::saved(folder, format!("cannot create: {e}")))?;
        }
        members.push(Arc::from(
            member.fit(train, None, &FitContext { seed, checkpoint: folder.as_deref(), ..*context })?.model,
        ));
    }
    Ok(Fitted {
        model: Box::new(Model { settings: settings.clone(), members }),
        curve: Vec::new(),
        best_epoch: 0,
    })
}

impl Model {
    /// Combines models that are already trained, in the settings' order.
    ///
    /// # Panics
    /// When the number of models differs from that of members.
    #[must_use]
    pub fn joined(settings: Settings, members: Vec<Arc<dyn Trained>>) -> Self {
        assert_eq!(settings.members.len(), members.len(), "one model per member");
        Self { settings, members }
    }

    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let restore = |(at, member): (usize, &ModelSettings)| {
            Ok(Arc::from(member.restore(&tensors.under(&prefix(at)))?))
        };
        let members = settings.member_settings()?.iter().enumerate().map(restore).collect::<Result<_>>()?;
        Ok(Self { settings, members })
    }
}

fn prefix(member: usize) -> String {
    format!("member.{member}.")
}

/// What is added to a rank (Cormack et al. 2009).
const FUSION: f32 = 60.0;

impl Model {
    /// Every member with its weight.
    fn weighted(&self) -> impl Iterator<Item = (f32, &dyn Trained)> {
        let weights = self.settings.members.iter().map(|member| member.weight);
        weights.zip(self.members.iter().map(Arc::as_ref))
    }
}

/// The variance of a mixture of (weight, mean, variance); `None` without weight.
fn mixture(parts: &[(f32, f32, f32)]) -> Option<f32> {
    let all: f32 = parts.iter().map(|part| part.0).sum();
    let mean = parts.iter().map(|part| part.0 * part.1).sum::<f32>() / all;
    let spread = parts.iter().map(|(weight, own, variance)| weight * (variance + (own - mean).powi(2)));
    (all > 0.0).then(|| spread.sum::<f32>() / all)
}

impl Predictor for Model {
    /// One state per member.
    type State = Vec<UserState>;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.members.iter().map(|member| member.parameters()).sum::<usize>() + self.members.len() + 1
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        for (at, member) in self.members.iter().enumerate() {
            tensors.extend(
                member
                    .tensors()
                    .into_iter()
                    .map(|tensor| NamedTensor { name: prefix(at) + &tensor.name, ..tensor }),
            );
        }
        tensors
    }

    fn rates(&self) -> bool {
        self.settings.by == By::Ratings
    }

    fn start(&self, user: u32, known: History<'_>) -> Vec<UserState> {
        self.members.iter().map(|member| member.start(user, known)).collect()
    }

    fn update(&self, states: &mut Vec<UserState>, item: u32, value: f32, timestamp: i64) {
        self.members
            .iter()
            .zip(states)
            .for_each(|(member, state)| member.update(state, item, value, timestamp));
    }

    fn predict(&self, states: &Vec<UserState>, item: u32, timestamp: i64) -> f32 {
        let rated = |(model, state): (&dyn Trained, &UserState)| {
            model.as_rating().map_or(f32::NAN, |model| model.expected(state, item, timestamp))
        };
        self.weighted().zip(states).fold(self.settings.intercept, |sum, ((weight, model), state)| {
            sum + weight * rated((model, state))
        })
    }

    /// That of the mixture of the members' ratings; `None` where a member knows none or its weight is
    /// negative.
    fn variance(&self, states: &Vec<UserState>, item: u32, timestamp: i64) -> Option<f32> {
        let of = |((weight, model), state): ((f32, &dyn Trained), &UserState)| {
            let model = model.as_rating()?;
            let variance = model.variance(state, item, timestamp)?;
            (weight >= 0.0).then(|| (weight, model.expected(state, item, timestamp), variance))
        };
        mixture(&self.weighted().zip(states).map(of).collect::<Option<Vec<_>>>()?)
    }

    fn scores(&self, states: &Vec<UserState>, timestamp: i64, out: &mut [f32]) {
        if self.rates() {
            return scores_by_rating(self, states, timestamp, out);
        }
        out.fill(0.0);
        let (mut scores, mut order) = (vec![0.0_f32; out.len()], Vec::with_capacity(out.len()));
        for ((weight, model), state) in self.weighted().zip(states) {
            model.scores(state, timestamp, &mut scores);
            order.clear();
            order.extend(0..out.len() as u32);
            order.sort_unstable_by(|a: &u32, b| {
                scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b))
            });
            for (place, item) in order.iter().enumerate() {
                out[*item as usize] += weight / (FUSION + 1.0 + place as f32);
            }
        }
    }

    /// Each member predicts the rows in its own way: some know rows between known ratings from both sides.
    fn predict_user(
        &self,
        user: u32,
        known: History<'_>,
        asked: History<'_>,
        reading: Reading,
        out: &mut [f32],
    ) {
        out.fill(self.settings.intercept);
        let mut own = vec![f32::NAN; out.len()];
        for (weight, model) in self.weighted() {
            if let Some(model) = model.as_rating() {
                model.predict_user(user, known, asked, reading, &mut own);
            }
            out.iter_mut().zip(&own).for_each(|(sum, own)| *sum += weight * own);
        }
    }

    fn write_state(&self, states: &Vec<UserState>) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> =
            self.members.iter().zip(states).map(|(member, state)| member.state_to_bytes(state)).collect();
        state::to_bytes(&bytes)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<Vec<UserState>> {
        let bytes: Vec<Vec<u8>> = state::from_bytes(bytes)?;
        if bytes.len() != self.members.len() {
            return None;
        }
        self.members.iter().zip(&bytes).map(|(member, bytes)| member.state_from_bytes(bytes).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn predictions_are_the_weighted_sum() {
        let train = Histories::new(vec![0, 2, 3], vec![0, 1, 0], vec![5.0, 3.0, 1.0], vec![1, 2, 3], 2);
        let asked = Histories::new(vec![0, 0, 2], vec![1, 0], vec![4.0, 2.0], vec![5, 6], 2);
        let device = Device::flex();
        let context = FitContext::new(0, &device);
        let parts = [Kind::BIASES.defaults(), Kind::ROLLING_AVERAGE.defaults()];
        let predict = |settings: &ModelSettings| {
            let model = settings.fit(&train, None, &context).unwrap().model;
            Reading::ALL.map(|reading| model.ratings().unwrap().predict(&train, &asked, reading))
        };
        let sum = Settings::of(&[(parts[0].clone(), 0.75), (parts[1].clone(), 0.5)], -0.25);
        let (one, two, both) = (predict(&parts[0]), predict(&parts[1]), predict(&sum.into()));
        for reading in 0..2 {
            for row in 0..2 {
                let by_hand = -0.25 + 0.75 * one[reading][row] + 0.5 * two[reading][row];
                assert!((both[reading][row] - by_hand).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_mixtures_variance_by_hand() {
        // Half 1 +- 1, half 3 +- 2: mean 2, second moment (1 + 1 + 9 + 4) / 2, less 4.
        assert_eq!(mixture(&[(0.5, 1.0, 1.0), (0.5, 3.0, 4.0)]), Some(3.5));
        assert_eq!(mixture(&[(2.0, 1.0, 1.0), (2.0, 3.0, 4.0)]), Some(3.5), "weights are relative");
        assert_eq!(mixture(&[(0.0, 1.0, 1.0)]), None);
    }

    #[test]
    fn a_variance_takes_members_that_know_theirs() {
        let train = Histories::new(vec![0, 2, 3], vec![0, 1, 0], vec![5.0, 3.0, 1.0], vec![1, 2, 3], 2);
        let device = Device::flex();
        let hrnn = |size| Kind::HRNN.settings(format!("size = {size}\nepochs = 1").parse().unwrap()).unwrap();
        let known = |parts: &[(ModelSettings, f32)]| {
            let settings: ModelSettings = Settings::of(parts, 0.0).into();
            let model = settings.fit(&train, None, &FitContext::new(0, &device)).unwrap().model;
            model.ratings().unwrap().variance(&model.start(0, train.user(0)), 1, 5)
        };
        assert!(known(&[(hrnn(2), 0.5), (hrnn(3), 0.5)]).is_some_and(|variance| variance > 0.0));
        assert_eq!(known(&[(hrnn(2), 1.5), (hrnn(3), -0.5)]), None);
        assert_eq!(known(&[(hrnn(2), 0.5), (Kind::BIASES.defaults(), 0.5)]), None);
    }

    /// Rows between known ratings, which HRNN predicts from both sides of time.
    #[test]
    fn members_predict_rows_in_their_own_way() {
        let values: Vec<f32> = (0..40).map(|row| (1 + row * 7 % 5) as f32).collect();
        let times: Vec<i64> = (0..40).map(|row| row % 10 * 90_000).collect();
        let items = (0..40).map(|row| row * 3 % 8).collect();
        let train = Histories::new(vec![0, 10, 20, 30, 40], items, values, times, 8);
        let asked = Histories::new(
            vec![0, 2, 3, 3, 4],
            vec![1, 2, 4, 6],
            vec![4.0, 2.0, 3.0, 5.0],
            vec![100_000, 500_000, 300_000, 200_000],
            8,
        );
        let device = Device::flex();
        let hrnn = Kind::HRNN.settings("size = 2\nepochs = 2".parse().unwrap()).unwrap();
        let parts = [hrnn, Kind::BIASES.defaults()];
        let predict = |settings: &ModelSettings, reading| {
            let model = settings.fit(&train, None, &FitContext::new(0, &device)).unwrap().model;
            model.ratings().unwrap().predict(&train, &asked, reading)
        };
        let sum = Settings::of(&[(parts[0].clone(), 0.75), (parts[1].clone(), 0.5)], -0.25).into();
        for reading in Reading::ALL {
            let (one, two) = (predict(&parts[0], reading), predict(&parts[1], reading));
            for (row, both) in predict(&sum, reading).into_iter().enumerate() {
                assert!((both - (-0.25 + 0.75 * one[row] + 0.5 * two[row])).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn equal_members_have_seeds_of_their_own() {
        let train = Histories::new(
            vec![0, 3, 5, 7],
            vec![0, 1, 3, 0, 1, 0, 2],
            vec![1.0, 5.0, 2.0, 4.0, 3.0, 5.0, 1.0],
            (0..7).collect::<Vec<_>>(),
            4,
        );
        let device = Device::flex();
        let fit = |settings: ModelSettings| {
            settings.fit(&train, None, &FitContext::new(0, &device)).unwrap().model.tensors()
        };
        let pmf = Kind::PMF.settings("factors = 2\nepochs = 2".parse().unwrap()).unwrap();
        let other = Kind::PMF.settings("factors = 3\nepochs = 2".parse().unwrap()).unwrap();
        let tensors = fit(Settings::of(&[(pmf.clone(), 0.5), (other, 0.2), (pmf.clone(), 0.3)], 0.0).into());
        let member = |at: usize| -> Vec<&[f32]> {
            let of = |tensor: &&NamedTensor| tensor.name.starts_with(&prefix(at));
            tensors.iter().filter(of).map(|tensor| tensor.data.as_slice()).collect()
        };
        let alone = fit(pmf);
        assert_eq!(member(0), alone.iter().map(|tensor| tensor.data.as_slice()).collect::<Vec<_>>());
        assert_eq!(member(0).len(), member(2).len());
        assert_ne!(member(0), member(2));
    }

    #[test]
    fn ranks_are_fused_by_hand() {
        // Item 0 three times, 1 twice, 2 once, for whoever; user 0 took 3 lately and nobody else did.
        let train = Histories::new(
            vec![0, 3, 5, 7],
            vec![0, 1, 3, 0, 1, 0, 2],
            vec![1.0; 7],
            (0..7).collect::<Vec<_>>(),
            4,
        );
        let device = Device::flex();
        let context = FitContext::new(0, &device);
        let parts = [
            Kind::POPULARITY.defaults(),
            Kind::POPULARITY.settings("by = \"user\"".parse().unwrap()).unwrap(),
        ];
        let settings = Settings::of_ranks(&[(parts[0].clone(), 1.0), (parts[1].clone(), 2.0)]);
        let model = ModelSettings::from(settings.clone()).fit(&train, None, &context).unwrap().model;
        assert!(model.as_rating().is_none());
        let scores = |model: &dyn Trained| {
            let mut scores = vec![0.0; 4];
            model.scores(&model.start(0, train.user(0)), 9, &mut scores);
            scores
        };
        let place = |scores: &[f32], item: usize| {
            1 + (0..4).filter(|other| (scores[*other], item) > (scores[item], *other)).count()
        };
        let own = parts.map(|part| scores(part.fit(&train, None, &context).unwrap().model.as_ref()));
        let fused = scores(model.as_ref());
        for item in 0..4 {
            let by_hand =
                1.0 / (60.0 + place(&own[0], item) as f32) + 2.0 / (60.0 + place(&own[1], item) as f32);
            assert!((fused[item] - by_hand).abs() < 1e-6, "{item}: {fused:?} {own:?}");
        }
        // Saved and loaded it is the same.
        let file = tempfile::NamedTempFile::new().unwrap();
        crate::engine::tensors::write_file(&model.tensors(), file.path()).unwrap();
        let loaded = Model::restore(settings, &crate::engine::tensors::read(file.path()).unwrap()).unwrap();
        assert_eq!(scores(&loaded), fused);
    }

    #[test]
    fn members_are_checked() {
        let bad = |text: &str| Kind::ENSEMBLE.settings(text.parse().unwrap()).unwrap_err().to_string();
        assert!(bad("members = []").contains("ensemble.members"));
        assert!(bad("members = [{ model = \"ease\", weight = 1.0 }]").contains("predicts no ratings"));
        assert!(
            bad("members = [{ model = \"pmf\", weight = 1.0, settings = { factors = 0 } }]")
                .contains("pmf.factors")
        );
        assert!(bad("members = [{ model = \"svd\", weight = 1.0 }]").contains("unknown model"));
    }
}
