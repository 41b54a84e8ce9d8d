//! A race: models compete for the time of a budget.
//!
//! 1. Every model's own settings are tried on a sample of users, which shows their cost; if the data
//!    are large, on growing samples, and those that are worse than the baselines or in the last third do not
//!    reach the next one.
//! 2. The remaining models train on all data, cheapest first. One that would take more than its share of the
//!    budget, judging by its samples, trains for fewer passes; one for which a tenth of its passes is too
//!    slow stops here.
//! 3. Each model's settings are searched by a study of its own. Cost decides the order: the next
//!    trial goes to a model drawn in inverse proportion to the seconds after which it is expected to improve
//!    on the best (FLAML's estimated cost for improvement, Wang et al. 2021). Trials end early by successive
//!    halving.
//!
//! All finished trials are kept: an interrupted race resumes where it stopped.

mod cost;

use crate::{AutomlError, Candidate, Metric, Objective, Result, Scored, SelectionData};
use cost::{Deadline, expected_cost, has_passes, is_baseline};
use foretaste_data::atomic;
use foretaste_hpo::storage::Journal;
use foretaste_hpo::{Budget, HpoError, Running, State, Study, StudySettings, Trial, pruner, trial_seed};
use foretaste_models::ModelSettings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Up to this many training rows no sample is taken: all rows are as fast.
const TINY: usize = 20_000;
/// Up to this many training rows a sample shows a model's cost, not its quality.
const SMALL: usize = 150_000;
/// Shares of users in the samples before all users.
const SAMPLES: [f64; 2] = [1.0 / 9.0, 1.0 / 3.0];
/// Largest share of the budget that a model's own settings are expected to take.
const SHARE: f64 = 0.3;
/// A training that takes longer than expected may take this many times its share, because ending it loses it.
const GRACE: f64 = 1.5;
/// The least share of its passes that a model is trained for.
const SHORTEST: f64 = 0.1;

/// File with the state that studies do not hold.
const REMEMBERED: &str = "race.json";

/// Why a model left the race.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// Worse than a baseline, or among the last, on a sample.
    Behind(String),
    /// It would take too long.
    TooSlow(String),
    /// It cannot be trained.
    Failed(String),
    /// It has no search space, or all of it was searched.
    Exhausted,
}

/// A model in the race.
pub struct Entrant {
    /// The model.
    pub candidate: Candidate,
    /// All trials of its study.
    pub trials: Vec<Trial>,
    /// Why it stopped; `None` while it runs.
    pub stopped: Option<Stopped>,
    /// The share of its passes that the budget allows, if that is not all.
    pub shortened: Option<f64>,
    /// Its own settings, with all passes.
    whole: ModelSettings,
    /// Expected seconds of these on all data.
    expected: Option<f64>,
    study: Study,
}

/// A trial whose predictions are available.
pub struct Kept {
    /// Index of its entrant.
    pub entrant: usize,
    /// Its number.
    pub trial: usize,
    /// Its settings, with the best number of epochs.
    pub settings: ModelSettings,
    /// Its value of the metric.
    pub value: f64,
    /// Seconds its training took.
    pub seconds: f64,
    /// Predictions of the validation rows; empty if ratings are not evaluated.
    pub predictions: Vec<f32>,
}

/// An entry of the time line.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Moment {
    /// Seconds from the beginning.
    pub seconds: f64,
    /// Index of the entrant.
    pub entrant: usize,
    /// Its value of the metric.
    pub value: f64,
    /// Share of the users it saw.
    pub share: f64,
}

/// State that studies do not hold, in a file beside them.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Remembered {
    seconds: f64,
    /// The budget that systems stopped under.
    #[serde(default)]
    budget: f64,
    moments: Vec<Moment>,
    /// The systems that moments count.
    #[serde(default)]
    names: Vec<String>,
    stopped: BTreeMap<String, Stopped>,
    #[serde(default)]
    shortened: BTreeMap<String, f64>,
}

/// The standing of a race.
pub struct Standing {
    /// All models.
    pub entrants: Vec<Entrant>,
    /// Trials on all data, best first.
    pub kept: Vec<Kept>,
    /// In order of time.
    pub moments: Vec<Moment>,
    /// Seconds spent, including those of earlier runs.
    pub seconds: f64,
}

/// A race over candidates.
pub struct Race<'a> {
    /// The training and validation rows.
    pub data: &'a SelectionData<'a>,
    /// The metric.
    pub metric: &'a Metric,
    /// Time for trials.
    pub budget: Duration,
    /// Largest number of trials per model; `None` leaves it to time.
    pub trials: Option<usize>,
    /// Whether models may stop on samples of large data.
    pub sampled: bool,
    /// Seed of every random choice.
    pub seed: u64,
    /// Where studies are stored.
    pub journal: Arc<dyn Journal>,
    /// Where predictions and checkpoints are kept.
    pub folder: &'a Path,
    /// Whether to stop now.
    pub stop: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Is called with progress messages.
    pub log: &'a dyn Fn(&str),
}

impl Race<'_> {
    /// Runs the race to its budget's end, or until it is stopped.
    ///
    /// # Errors
    /// [`AutomlError::Search`] if a study cannot continue, [`AutomlError::Nothing`] if no candidate can be
    /// evaluated.
    pub fn run(&self, candidates: Vec<Candidate>) -> Result<Standing> {
        let clock = Instant::now();
        let known = std::fs::read(self.folder.join(REMEMBERED))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let remembered: Remembered = known.unwrap_or_default();
        let mut standing =
            Standing { entrants: Vec::new(), kept: Vec::new(), moments: Vec::new(), seconds: 0.0 };
        for mut candidate in
            candidates.into_iter().filter(|candidate| self.metric.judges(&candidate.settings))
        {
            let (shortened, whole) =
                (remembered.shortened.get(&candidate.name).copied(), candidate.settings.clone());
            if let Some(share) = shortened {
                candidate.settings = candidate.settings.shortened(share);
            }
            let study = self.study(&candidate, shortened)?;
            standing.entrants.push(Entrant {
                trials: study.trials()?,
                candidate,
                stopped: None,
                shortened,
                whole,
                expected: None,
                study,
            });
        }
        if standing.entrants.is_empty() {
            return Err(AutomlError::Nothing(format!("no candidate can be scored by {}", self.metric.name)));
        }
        let before = self.recalled(&mut standing, remembered)?;
        let spent = move || before + clock.elapsed().as_secs_f64();
        self.samples(&mut standing, &spent)?;
        self.remember(&standing, spent())?;
        self.first(&mut standing, &spent)?;
        self.search(&mut standing, &spent)?;
        standing.seconds = spent();
        self.remember(&standing, standing.seconds)?;
        standing.kept.sort_by(|a, b| (a.value * self.sign()).total_cmp(&(b.value * self.sign())));
        Ok(standing)
    }

    fn sign(&self) -> f64 {
        self.metric.direction.sign()
    }

    fn over(&self, spent: f64) -> bool {
        spent >= self.budget.as_secs_f64() || (self.stop)()
    }

    fn study(&self, candidate: &Candidate, shortened: Option<f64>) -> Result<Study> {
        let settings = StudySettings {
            name: shortened.map_or_else(
                || candidate.name.clone(),
                |share| format!("{}, {:.1} % of its passes", candidate.name, 100.0 * share),
            ),
            task: self.data.task(self.metric, candidate),
            direction: self.metric.direction,
            seed: self.seed,
            pruner: Box::new(pruner::SuccessiveHalving::default()),
            ..StudySettings::default()
        };
        // A model without choices has one trial of a dummy setting.
        let space = match &candidate.space {
            Some(space) => space.clone(),
            None => "nothing = { type = \"categorical\", choices = [true] }".parse()?,
        };
        Ok(Study::open(Arc::clone(&self.journal), space, settings)?)
    }

    fn predictions_file(&self, name: &str, trial: usize) -> PathBuf {
        self.folder.join("predictions").join(format!("{name}-{trial}.f32"))
    }

    /// Restores the results of an earlier run; returns the seconds it took.
    fn recalled(&self, standing: &mut Standing, remembered: Remembered) -> Result<f64> {
        let Remembered { seconds, budget, moments, names, mut stopped, .. } = remembered;
        // More time may suffice for what took too long, and another try for what failed; who was behind on a
        // sample would be again.
        let more = self.budget.as_secs_f64() > budget;
        let stays = |why: &Stopped| match why {
            Stopped::Exhausted => false,
            Stopped::TooSlow(_) | Stopped::Failed(_) => !more,
            Stopped::Behind(_) => true,
        };
        // Systems may be others now, or in another order.
        let now = |moment: Moment| {
            let name = names.get(moment.entrant)?;
            let entrant = standing.entrants.iter().position(|e| e.candidate.name == *name)?;
            Some(Moment { entrant, ..moment })
        };
        standing.moments = moments.into_iter().filter_map(now).collect();
        for entrant in &mut standing.entrants {
            // An entrant that had nothing left may have trials left if more are allowed now.
            entrant.stopped = stopped.remove(&entrant.candidate.name).filter(stays);
        }
        for (index, entrant) in standing.entrants.iter().enumerate() {
            for trial in &entrant.trials {
                let Some(value) = trial.value.filter(|_| trial.state == State::Complete) else { continue };
                let read =
                    || std::fs::read(self.predictions_file(&entrant.candidate.name, trial.number)).ok();
                let predictions = if self.metric.judges_ratings() { read() } else { Some(Vec::new()) };
                let Some(bytes) = predictions else { continue };
                let predictions: Vec<f32> =
                    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                let rows = if self.metric.judges_ratings() { self.data.validation.len() } else { 0 };
                if predictions.len() == rows {
                    let settings = entrant.candidate.of_trial(trial, self.metric.direction)?;
                    standing.kept.push(Kept {
                        entrant: index,
                        trial: trial.number,
                        settings,
                        value,
                        seconds: trial.seconds,
                        predictions,
                    });
                }
            }
        }
        Ok(seconds)
    }

    /// Writes the state that studies do not hold.
    fn remember(&self, standing: &Standing, seconds: f64) -> Result<()> {
        let stopped = standing
            .entrants
            .iter()
            .filter_map(|e| Some((e.candidate.name.clone(), e.stopped.clone()?)))
            .collect();
        let shortened =
            standing.entrants.iter().filter_map(|e| Some((e.candidate.name.clone(), e.shortened?))).collect();
        let budget = self.budget.as_secs_f64();
        let names = standing.entrants.iter().map(|entrant| entrant.candidate.name.clone()).collect();
        let remembered =
            Remembered { seconds, budget, moments: standing.moments.clone(), names, stopped, shortened };
        let text = serde_json::to_vec(&remembered).map_err(|e| AutomlError::Nothing(e.to_string()))?;
        Ok(atomic::write(&self.folder.join(REMEMBERED), &text)?)
    }

    /// Reduces an entrant's passes so that its own settings are expected to end on `share` of the
    /// data within `limit` seconds: all passes again if a smaller share had less time. Returns whether it
    /// stays in the race.
    fn fit_in(&self, entrant: &mut Entrant, share: f64, limit: f64) -> Result<bool> {
        // An expectation from less data is rough. A model without passes may cost less than a sample suggests
        // (the sample has all of its items): its actual time decides.
        let Some(expected) = entrant.expected.filter(|_| has_passes(entrant)) else { return Ok(true) };
        // In whole thousandths, as in the study's name.
        let left = (800.0 * limit / (expected * share)).floor() / 1000.0;
        if left < SHORTEST {
            let times = expected * share / (0.8 * limit).max(1e-3);
            let reason = format!(
                "on {:.0} % of the users it would take {times:.1} times its share of the budget",
                100.0 * share
            );
            entrant.stopped = Some(Stopped::TooSlow(reason));
            return Ok(false);
        }
        let shortened = (left < 1.0).then_some(left);
        if shortened == entrant.shortened {
            return Ok(true);
        }
        (self.log)(&format!(
            "{}: {:.0} % of its passes fit into the budget",
            entrant.candidate.title,
            100.0 * left.min(1.0)
        ));
        entrant.candidate.settings =
            shortened.map_or_else(|| entrant.whole.clone(), |left| entrant.whole.clone().shortened(left));
        entrant.shortened = shortened;
        entrant.study = self.study(&entrant.candidate, entrant.shortened)?;
        entrant.trials = entrant.study.trials()?;
        Ok(true)
    }

    /// Own settings on a sample of `share` of the users; the metric, unless the entrant stopped or the race
    /// did.
    fn sampled(
        &self,
        standing: &mut Standing,
        index: usize,
        (share, sample): (f64, &SelectionData),
        spent: &dyn Fn() -> f64,
    ) -> Result<Option<f64>> {
        let seconds = self.budget.as_secs_f64() * SHARE * share.sqrt() / 2.0;
        // First with its own passes, then once more with as many passes as it reached.
        for _ in 0..2 {
            let entrant = &mut standing.entrants[index];
            if !self.fit_in(entrant, share, seconds)? {
                return Ok(None);
            }
            let clock = Instant::now();
            let watch =
                Deadline::new(clock + Duration::from_secs_f64(seconds), &*self.stop, &entrant.candidate);
            let objective = Objective { data: sample, metric: self.metric, candidate: &entrant.candidate };
            let scored = objective.score(&entrant.candidate.settings, trial_seed(self.seed, 0), &watch, None);
            // Of all rows and all passes.
            let part =
                sample.train.len() as f64 / self.data.train.len() as f64 * entrant.shortened.unwrap_or(1.0);
            match scored {
                Ok(scored) => {
                    entrant.expected = Some(clock.elapsed().as_secs_f64() / part);
                    (self.log)(&format!(
                        "{} on {:.0} % of users: {} {:.4}",
                        entrant.candidate.title,
                        100.0 * share,
                        self.metric.name,
                        scored.value
                    ));
                    standing.moments.push(Moment {
                        seconds: spent(),
                        entrant: index,
                        value: scored.value,
                        share,
                    });
                    return Ok(Some(scored.value));
                }
                // Stopped by a person: it starts again in the next run.
                Err(_) if (self.stop)() => return Ok(None),
                Err(_) if clock.elapsed().as_secs_f64() >= seconds => {
                    entrant.expected = Some(seconds / watch.done().max(1e-3) / part);
                    if !has_passes(entrant) {
                        break;
                    }
                }
                Err(error) => {
                    entrant.stopped = Some(Stopped::Failed(error.to_string()));
                    return Ok(None);
                }
            }
        }
        standing.entrants[index].stopped =
            Some(Stopped::TooSlow(format!("on {:.0} % of the users, even with fewer passes", 100.0 * share)));
        Ok(None)
    }

    /// Own settings on growing samples.
    fn samples(&self, standing: &mut Standing, spent: &dyn Fn() -> f64) -> Result<()> {
        let rows = self.data.train.len();
        if !self.sampled || rows <= TINY {
            return Ok(());
        }
        let shares = if rows > SMALL { &SAMPLES[..] } else { &SAMPLES[..1] };
        for &share in shares {
            let sample = self.data.sampled(share, self.seed);
            let mut figures: Vec<(usize, f64)> = Vec::new();
            for index in 0..standing.entrants.len() {
                let entrant = &standing.entrants[index];
                // An entrant that began on all data before needs no sample; it continues with as many passes.
                if entrant.stopped.is_some() || !entrant.trials.is_empty() || self.over(spent()) {
                    continue;
                }
                if let Some(value) = self.sampled(standing, index, (share, &sample), spent)? {
                    figures.push((index, value * self.sign()));
                }
                if (self.stop)() {
                    return Ok(());
                }
            }
            if rows <= SMALL {
                continue;
            }
            figures.sort_by(|a, b| a.1.total_cmp(&b.1));
            let baseline = figures
                .iter()
                .filter(|(index, _)| is_baseline(&standing.entrants[*index]))
                .map(|(_, v)| *v)
                .fold(f64::INFINITY, f64::min);
            let stay = (figures.len() * 2).div_ceil(3).max(3);
            for (place, (index, figure)) in figures.iter().enumerate() {
                let entrant = &mut standing.entrants[*index];
                if is_baseline(entrant) {
                    continue;
                }
                // A sample says less about models that need much data; the first only removes the hopeless.
                let margin = if share < 0.2 { 1.03 } else { 1.0 };
                let hopeless =
                    if baseline > 0.0 { *figure > baseline * margin } else { *figure > baseline / margin };
                if hopeless {
                    entrant.stopped = Some(Stopped::Behind(format!(
                        "worse than a baseline on {:.0} % of the users",
                        100.0 * share
                    )));
                } else if place >= stay && share > 0.2 {
                    entrant.stopped = Some(Stopped::Behind(format!(
                        "place {} of {} on {:.0} % of the users",
                        place + 1,
                        figures.len(),
                        100.0 * share
                    )));
                }
            }
        }
        Ok(())
    }

    /// Own settings on all data, cheapest model first.
    fn first(&self, standing: &mut Standing, spent: &dyn Fn() -> f64) -> Result<()> {
        let mut order: Vec<usize> = (0..standing.entrants.len()).collect();
        // Without a known cost the list's order is kept: the simplest models come first.
        let expected = |at: &usize| {
            standing.entrants[*at]
                .expected
                .map_or(0.0, |seconds| seconds * standing.entrants[*at].shortened.unwrap_or(1.0))
        };
        order.sort_by(|a, b| expected(a).total_cmp(&expected(b)));
        for index in order {
            let entrant = &standing.entrants[index];
            if entrant.stopped.is_some()
                || entrant.trials.iter().any(|t| t.state.ended() && t.state != State::Failed)
                || self.over(spent())
            {
                continue;
            }
            let left = self.budget.as_secs_f64() - spent();
            let limit = left.min(SHARE * self.budget.as_secs_f64());
            if !self.fit_in(&mut standing.entrants[index], 1.0, limit)? {
                continue;
            }
            let entrant = &standing.entrants[index];
            let enqueued = entrant
                .candidate
                .space
                .as_ref()
                .map_or(Ok(()), |_| entrant.study.enqueue(&entrant.candidate.default_configuration()));
            match enqueued {
                Ok(()) | Err(HpoError::Setting { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.trial(standing, index, (GRACE * limit).min(left), spent)?;
            let entrant = &mut standing.entrants[index];
            let waits = entrant.trials.first().is_some_and(|t| t.state == State::Waiting);
            if waits && !(self.stop)() && spent() < self.budget.as_secs_f64() {
                entrant.stopped = Some(Stopped::TooSlow(format!(
                    "its own settings take more than {:.0} % of the budget",
                    100.0 * SHARE * GRACE
                )));
            }
        }
        Ok(())
    }

    /// Trials by cost and expected improvement, until the budget is used up.
    fn search(&self, standing: &mut Standing, spent: &dyn Fn() -> f64) -> Result<()> {
        let mut draw = standing.entrants.iter().map(|e| e.trials.len()).sum::<usize>();
        while !self.over(spent()) {
            let left = self.budget.as_secs_f64() - spent();
            let best = standing.kept.iter().map(|k| k.value * self.sign()).fold(f64::INFINITY, f64::min);
            let mut shares: Vec<(usize, f64)> = Vec::new();
            for (index, entrant) in standing.entrants.iter_mut().enumerate() {
                let full = self
                    .trials
                    .is_some_and(|most| entrant.trials.iter().filter(|t| t.state.ended()).count() >= most);
                if entrant.stopped.is_none() && (entrant.candidate.space.is_none() || full) {
                    entrant.stopped = Some(Stopped::Exhausted);
                }
                let Some(cost) =
                    expected_cost(entrant, best, self.sign()).filter(|_| entrant.stopped.is_none())
                else {
                    continue;
                };
                // A trial that cannot end in time is not begun.
                if cost.trial < left {
                    shares.push((index, 1.0 / cost.improvement.max(1e-3)));
                }
            }
            let total: f64 = shares.iter().map(|(_, share)| share).sum();
            let Some(last) = shares.last().map(|(index, _)| *index) else { break };
            let mut place =
                (trial_seed(self.seed ^ 0x7261_6365, draw) >> 11) as f64 / (1_u64 << 53) as f64 * total;
            draw += 1;
            let chosen = shares.iter().find(|(_, share)| {
                place -= share;
                place < 0.0
            });
            let index = chosen.map_or(last, |(index, _)| *index);
            self.trial(standing, index, left, spent)?;
        }
        Ok(())
    }

    /// One trial of one entrant, of at most `limit` seconds.
    fn trial(
        &self,
        standing: &mut Standing,
        index: usize,
        limit: f64,
        spent: &dyn Fn() -> f64,
    ) -> Result<()> {
        let entrant = &standing.entrants[index];
        let objective = Objective { data: self.data, metric: self.metric, candidate: &entrant.candidate };
        let checkpoints = self.folder.join("checkpoints").join(&entrant.candidate.name);
        let kept = std::cell::RefCell::new(None);
        let budget = Budget {
            time: Some(Duration::from_secs_f64(limit.max(0.01))),
            stop: Some(Arc::clone(&self.stop)),
            trials: None,
        };
        let run = |trial: &mut Running| {
            let Scored { value, settings, predictions, train_seconds, .. } =
                objective.run(trial, Some(&checkpoints))?;
            let predictions = predictions.unwrap_or_default();
            let bytes: Vec<u8> = predictions.iter().flat_map(|p| p.to_le_bytes()).collect();
            atomic::write(&self.predictions_file(&entrant.candidate.name, trial.number()), &bytes)?;
            kept.replace(Some(Kept {
                entrant: index,
                trial: trial.number(),
                settings,
                value,
                seconds: train_seconds,
                predictions,
            }));
            Ok(value)
        };
        entrant.study.optimize_once(&budget, run)?;
        let entrant = &mut standing.entrants[index];
        entrant.trials = entrant.study.trials()?;
        if let Some(kept) = kept.into_inner() {
            (self.log)(&format!(
                "{} trial {}: {} {:.4}",
                entrant.candidate.title, kept.trial, self.metric.name, kept.value
            ));
            standing.moments.push(Moment { seconds: spent(), entrant: index, value: kept.value, share: 1.0 });
            standing.kept.push(kept);
        } else if let Some(reason) = entrant
            .trials
            .first()
            .and_then(|t| t.reason.clone())
            .filter(|_| entrant.trials.iter().all(|t| t.state == State::Failed))
        {
            entrant.stopped = Some(Stopped::Failed(reason));
        }
        self.remember(standing, spent())
    }
}

#[cfg(test)]
mod tests;
