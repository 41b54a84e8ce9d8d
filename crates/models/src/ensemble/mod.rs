//! Ensembles: a weighted sum of other rating models.
//!
//! `r^_ui = b + sum_m w_m r^_ui^(m)`. An ensemble trains its members on the same rows, each with its own settings and
//! all under the run's seed; weights are settings, chosen by who makes the ensemble on rows that trained no
//! member (`foretaste-automl` does: Caruana et al. 2004, or stacking). A new user or item is answered by the
//! members' own fallbacks. Revealed ratings go to every member.

use crate::error::within;
use crate::tensors::{NamedTensor, Tensors};
use crate::{FitContext, Fitted, Kind, ModelError, ModelSettings, RatingModel, Result, Trained, UserState};
use foretaste_data::{Histories, History};

const NAME: &str = "ensemble";

/// Settings of an ensemble.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `b`, in ratings.
    pub intercept: f32,
    /// The models that are summed.
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
    /// The model's settings; what is not named keeps its default.
    #[serde(default)]
    pub settings: toml::Table,
}

impl Default for Settings {
    /// The mean of two simple models.
    fn default() -> Self {
        let member = |kind: Kind| Member { model: kind.name().into(), weight: 0.5, settings: toml::Table::new() };
        Self { intercept: 0.0, members: vec![member(Kind::Biases), member(Kind::Pmf)] }
    }
}

impl Settings {
    /// An ensemble of models with their weights.
    ///
    /// # Panics
    /// Never: settings are plain.
    #[must_use]
    pub fn of(members: &[(ModelSettings, f32)], intercept: f32) -> Self {
        let table = |settings: &ModelSettings| settings.to_toml().parse().unwrap_or_else(|e| panic!("settings are plain: {e}"));
        let member = |(settings, weight): &(ModelSettings, f32)| Member { model: settings.kind().name().into(), weight: *weight, settings: table(settings) };
        Self { intercept, members: members.iter().map(member).collect() }
    }

    /// The members' settings, each checked.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for a member that is unknown, has a bad setting or predicts no ratings.
    pub fn member_settings(&self) -> Result<Vec<ModelSettings>> {
        let fail = |reason: String| ModelError::Setting { model: NAME, setting: "members".into(), reason };
        let read = |member: &Member| {
            let kind: Kind = member.model.parse().map_err(fail)?;
            let settings = kind.settings(member.settings.clone())?;
            if settings.predicts_ratings() { Ok(settings) } else { Err(fail(format!("{} predicts no ratings", member.model))) }
        };
        self.members.iter().map(read).collect()
    }

    /// Checks ranges, and every member's settings.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the setting and its range.
    pub fn check(&self) -> Result<()> {
        within(NAME, "intercept", self.intercept, -1e6, 1e6)?;
        within(NAME, "members", self.members.len(), 1, 64)?;
        self.members.iter().try_for_each(|member| within(NAME, "weight", member.weight, -100.0, 100.0))?;
        self.member_settings().map(drop)
    }
}

/// Trained members.
pub struct Model {
    settings: Settings,
    members: Vec<Box<dyn Trained>>,
}

/// Trains every member on `train`. Validation rows choose nothing: a member's epochs are its settings.
///
/// # Errors
/// What the members meet.
pub fn fit(settings: &Settings, train: &Histories, _: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
    let mut members = Vec::with_capacity(settings.members.len());
    for (index, member) in settings.member_settings()?.iter().enumerate() {
        context.go_on()?;
        // An interrupted member goes on; those before it are trained again.
        let folder = context.checkpoint.map(|folder| folder.join(format!("member-{index}")));
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).map_err(|e| ModelError::saved(folder, format!("cannot create: {e}")))?;
        }
        members.push(member.fit(train, None, &FitContext { checkpoint: folder.as_deref(), ..*context })?.model);
    }
    Ok(Fitted { model: Box::new(Model { settings: settings.clone(), members }), curve: Vec::new(), best_epoch: 0 })
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let restore = |(at, member): (usize, &ModelSettings)| member.kind().restore(member, &tensors.under(&prefix(at)));
        let members = settings.member_settings()?.iter().enumerate().map(restore).collect::<Result<_>>()?;
        Ok(Self { settings, members })
    }
}

fn prefix(member: usize) -> String {
    format!("member.{member}.")
}

struct State<'a> {
    intercept: f32,
    members: Vec<(f32, Box<dyn UserState + 'a>)>,
}

impl UserState for State<'_> {
    fn predict(&self, item: u32, timestamp: i64) -> f32 {
        self.members.iter().fold(self.intercept, |sum, (weight, state)| sum + weight * state.predict(item, timestamp))
    }

    fn reveal(&mut self, item: u32, value: f32, timestamp: i64) {
        self.members.iter_mut().for_each(|(_, state)| state.reveal(item, value, timestamp));
    }
}

impl Trained for Model {
    fn settings(&self) -> ModelSettings {
        ModelSettings::Ensemble(self.settings.clone())
    }

    fn parameters(&self) -> usize {
        self.members.iter().map(|member| member.parameters()).sum::<usize>() + self.members.len() + 1
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        for (at, member) in self.members.iter().enumerate() {
            tensors.extend(member.tensors().into_iter().map(|tensor| NamedTensor { name: prefix(at) + &tensor.name, ..tensor }));
        }
        tensors
    }

    fn as_rating(&self) -> Option<&dyn RatingModel> {
        Some(self)
    }
}

impl RatingModel for Model {
    fn start<'a>(&'a self, user: u32, known: History<'_>) -> Box<dyn UserState + 'a> {
        let states = self.settings.members.iter().zip(&self.members).filter_map(|(member, model)| Some((member.weight, model.as_rating()?.start(user, known))));
        Box::new(State { intercept: self.settings.intercept, members: states.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Reading};

    #[test]
    fn predictions_are_the_weighted_sum() {
        let train = Histories::new(vec![0, 2, 3], vec![0, 1, 0], vec![5.0, 3.0, 1.0], vec![1, 2, 3], 2);
        let asked = Histories::new(vec![0, 0, 2], vec![1, 0], vec![4.0, 2.0], vec![5, 6], 2);
        let device = Device::flex();
        let context = FitContext::new(0, &device);
        let parts = [Kind::Biases.defaults(), Kind::RollingAverage.defaults()];
        let predict = |settings: &ModelSettings| {
            let model = settings.fit(&train, None, &context).unwrap().model;
            Reading::ALL.map(|reading| model.ratings().unwrap().predict(&train, &asked, reading))
        };
        let sum = Settings::of(&[(parts[0].clone(), 0.75), (parts[1].clone(), 0.5)], -0.25);
        let (one, two, both) = (predict(&parts[0]), predict(&parts[1]), predict(&ModelSettings::Ensemble(sum)));
        for reading in 0..2 {
            for row in 0..2 {
                let by_hand = -0.25 + 0.75 * one[reading][row] + 0.5 * two[reading][row];
                assert!((both[reading][row] - by_hand).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn members_are_checked() {
        let bad = |text: &str| Kind::Ensemble.settings(text.parse().unwrap()).unwrap_err().to_string();
        assert!(bad("members = []").contains("ensemble.members"));
        assert!(bad("members = [{ model = \"ease\", weight = 1.0 }]").contains("predicts no ratings"));
        assert!(bad("members = [{ model = \"pmf\", weight = 1.0, settings = { factors = 0 } }]").contains("pmf.factors"));
        assert!(bad("members = [{ model = \"svd\", weight = 1.0 }]").contains("unknown model"));
    }
}
