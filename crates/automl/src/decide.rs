//! Chooses the winner of a race: the best trial alone, or an ensemble of several, if validation rows favour
//! it.

use crate::blend::{self, Method, Predictions};
use crate::{FOLDS, Result, Standing, Task, clipped_rmse, out_of_fold};
use foretaste_data::Histories;
use foretaste_models::{EpochReport, ModelError, ModelSettings, Progress, Trained, ensemble};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Share of a selection's time for trials; training the winner on all rows needs the rest.
pub const TRIALS_SHARE: f64 = 0.65;

/// Largest number of models that an ensemble is chosen from.
const JOINED: usize = 24;

/// Largest number of systems whose lists are fused.
const FUSED: usize = 6;

/// The winner, which is finally trained on all known rows.
pub struct Winner {
    /// In words.
    pub title: String,
    /// The settings: of the best model, or of an ensemble.
    pub settings: ModelSettings,
    /// Each member's title, its trial's number and its weight.
    pub members: Vec<(String, usize, f64)>,
}

/// Chooses the winner of a race.
pub struct Decision<'a> {
    /// The rows and the metric.
    pub task: &'a Task<'a>,
    /// How the race ended.
    pub standing: &'a Standing,
    /// The deadline for training the winner on all known rows.
    pub end: Instant,
    /// Whether training rows may be split into folds at random: under splits by time this would show the
    /// future to the past.
    pub shuffled: bool,
    /// Whether the best model alone wins.
    pub alone: bool,
    /// Seed of every random choice.
    pub seed: u64,
    /// Whether to stop now.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Is called with progress messages.
    pub log: &'a dyn Fn(&str),
}

/// Which trials make the winner, and how.
struct Joined {
    /// Indices among the kept trials, with their weights.
    members: Vec<(usize, f64)>,
    intercept: f64,
    /// In words.
    method: String,
}

/// Ends trainings on request, and at `end` if there is one.
struct Until<'a> {
    stop: &'a (dyn Fn() -> bool + Sync),
    end: Option<Instant>,
}

impl Progress for Until<'_> {
    fn epoch(&self, _: &'static str, _: &EpochReport) {}

    fn cancelled(&self) -> bool {
        (self.stop)() || self.end.is_some_and(|end| Instant::now() >= end)
    }
}

impl Decision<'_> {
    /// Returns the winner, and for each blending method its name and its figure on rows that it was not
    /// fitted on.
    ///
    /// # Errors
    /// Those of training.
    pub fn winner(&self) -> Result<(Winner, Vec<(String, f64)>)> {
        let metric = &self.task.metric;
        let (mut best, mut methods) = self.joined();
        if self.alone {
            return Ok((self.told(&best, true), methods));
        }
        if metric.judges_ratings() {
            if self.shuffled
                && let Some((better, value)) = self.restacked(&best)
            {
                methods.push((better.method.clone(), value));
                if methods.iter().all(|(_, other)| value <= *other) {
                    best = better;
                }
            }
        } else if let Some((better, one, value)) = self.fused()? {
            methods = vec![(Method::Best.name().into(), one), (better.method.clone(), value)];
            let sign = metric.direction.sign();
            if value * sign < one * sign {
                best = better;
            }
        }
        Ok((self.told(&best, metric.judges_ratings()), methods))
    }

    /// Seconds until the end.
    fn left(&self) -> f64 {
        self.end.saturating_duration_since(Instant::now()).as_secs_f64()
    }

    /// Seconds that training one of the kept trials on all known rows will take.
    fn cost(&self, at: usize) -> f64 {
        self.standing.kept[at].seconds * self.task.growth()
    }

    fn until(&self, end: Option<Instant>) -> Until<'_> {
        Until { stop: self.stop, end }
    }

    /// Predictions of the validation rows, one column for each of `members`.
    fn columns(&self, members: impl Iterator<Item = usize>) -> Vec<&[f32]> {
        members.map(|at| self.standing.kept[at].predictions.as_slice()).collect()
    }

    /// The best trial alone, or the best blend, if rows that fitted no weights favour it and the time left
    /// suffices to train all members again; and the figure of each method.
    fn joined(&self) -> (Joined, Vec<(String, f64)>) {
        let left = self.left();
        let cost = |at: usize| self.cost(at);
        let kept = 0..self.standing.kept.len();
        let mut among: Vec<usize> = kept.clone().filter(|at| cost(*at) <= left).take(JOINED).collect();
        if among.is_empty() {
            among.extend(kept.min_by(|a, b| cost(*a).total_cmp(&cost(*b))));
        }
        let first = among[0];
        let best = Joined { members: vec![(first, 1.0)], intercept: 0.0, method: Method::Best.name().into() };
        if !self.task.metric.judges_ratings() || self.alone {
            return (best, Vec::new());
        }
        let validation = &self.task.data.validation;
        let (users, values) = (validation.row_users(), validation.values().to_vec());
        loop {
            let columns = self.columns(among.iter().copied());
            let predictions = Predictions { columns, values: &values, users: &users };
            let judged = blend::judged(&predictions, self.task.data.scale);
            let methods: Vec<(String, f64)> =
                judged.iter().map(|(method, value)| (method.name().to_owned(), *value)).collect();
            let lowest = judged.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
            let method = lowest.map_or(Method::Best, |(method, _)| method);
            if method == Method::Best {
                return (best, methods);
            }
            let weights = method.weights(&predictions);
            let members: Vec<(usize, f64)> =
                weights.members().map(|(column, weight)| (among[column], weight)).collect();
            // Too slow together: drop the slowest, but never the best, with which all methods are compared.
            if members.iter().map(|(at, _)| cost(*at)).sum::<f64>() > left {
                let others = members.iter().map(|(at, _)| *at).filter(|at| *at != first);
                let slowest = others.max_by(|a, b| cost(*a).total_cmp(&cost(*b)));
                let Some(slowest) = slowest else { return (best, methods) };
                among.retain(|at| *at != slowest);
                continue;
            }
            return (Joined { members, intercept: weights.intercept, method: method.name().into() }, methods);
        }
    }

    /// The same members with weights fitted to out-of-fold predictions of the training rows, and their figure
    /// on the validation rows; `None` if there are no members to weigh, or no time.
    fn restacked(&self, joined: &Joined) -> Option<(Joined, f64)> {
        let seconds: f64 = joined.members.iter().map(|(at, _)| self.standing.kept[*at].seconds).sum();
        // Each fold trains on the others; all members are trained once more afterwards.
        let (folds, last) = (seconds * (FOLDS - 1) as f64, seconds * self.task.growth());
        if joined.members.len() < 2 || 1.1 * (folds + last) > self.left() {
            return None;
        }
        (self.log)(&format!(
            "weighing {} models on {FOLDS} folds of the training rows",
            joined.members.len()
        ));
        let settings: Vec<ModelSettings> =
            joined.members.iter().map(|(at, _)| self.standing.kept[*at].settings.clone()).collect();
        let until = self.until(Some(self.end.checked_sub(Duration::from_secs_f64(1.05 * last))?));
        let columns = match out_of_fold(&self.task.data, &self.task.metric, &settings, self.seed, &until) {
            Ok(columns) => columns,
            Err(error) => {
                (self.log)(&format!("the weights are unchanged: {error}"));
                return None;
            }
        };
        let data = &self.task.data;
        let (values, users) = (data.train.values().to_vec(), data.train.row_users());
        let columns = columns.iter().map(Vec::as_slice).collect();
        let weights = Method::Stacked.weights(&Predictions { columns, values: &values, users: &users });
        let (values, users) = (data.validation.values().to_vec(), data.validation.row_users());
        let columns = self.columns(joined.members.iter().map(|(at, _)| *at));
        let asked = Predictions { columns, values: &values, users: &users };
        let predictions: Vec<f32> = (0..data.validation.len()).map(|row| weights.of(&asked, row)).collect();
        let value = clipped_rmse(&predictions, data.validation.values(), data.scale);
        let members = weights.members().map(|(column, weight)| (joined.members[column].0, weight)).collect();
        let method = format!("{}, {FOLDS} folds", Method::Stacked.name());
        Some((Joined { members, intercept: weights.intercept, method }, value))
    }

    /// The best trial of each system, as many as there is time to train twice, and the seconds that takes.
    fn to_fuse(&self) -> (Vec<usize>, f64) {
        let (left, kept) = (self.left(), &self.standing.kept);
        let (mut members, mut seconds): (Vec<usize>, f64) = (Vec::new(), 0.0);
        for at in 0..kept.len() {
            let known = members.iter().any(|other| kept[*other].entrant == kept[at].entrant);
            let cost = kept[at].seconds * (1.0 + self.task.growth());
            // Half of the remaining time is for predictions.
            if !known && members.len() < FUSED && seconds + cost < 0.5 * left {
                members.push(at);
                seconds += cost;
            }
        }
        (members, seconds)
    }

    /// Systems whose lists are fused by rank, chosen on one half of the validation users and compared on the
    /// other with the best alone; `None` if there is no time to train them twice.
    fn fused(&self) -> Result<Option<(Joined, f64, f64)>> {
        let (members, seconds) = self.to_fuse();
        if members.len() < 2 {
            return Ok(None);
        }
        (self.log)(&format!("training {} systems again, to fuse their lists", members.len()));
        let Some(models) = self.trained(&members)? else { return Ok(None) };
        let validation = &self.task.data.validation;
        let half = |half: u32| validation.of_rows(|user, _| blend::fold(user, 2) == half);
        let (choosing, judging) = (half(0), half(1));
        let sign = self.task.metric.direction.sign();
        let of = |counts: &[u32], asked: &Histories| self.fusion(&members, &models, counts, asked);
        // Each evaluation computes all lists of half the users: no more of them than time allows.
        let clock = Instant::now();
        let _ = of(&[1; FUSED][..members.len()], &choosing);
        let room = self.left() - seconds / 2.0;
        let rounds = (room / clock.elapsed().as_secs_f64().max(1e-3) / (members.len() + 1) as f64) as usize;
        let (counts, _) = blend::selected(members.len(), rounds.min(12), |counts| {
            if (self.stop)() { f64::INFINITY } else { of(counts, &choosing) * sign }
        });
        if (self.stop)() || counts.iter().filter(|count| **count > 0).count() < 2 {
            return Ok(None);
        }
        let mut first = vec![0; members.len()];
        first[0] = 1;
        let (alone, together) = (of(&first, &judging), of(&counts, &judging));
        let total = f64::from(counts.iter().sum::<u32>());
        let chosen = members.iter().zip(&counts).filter(|(_, count)| **count > 0);
        let members = chosen.map(|(at, count)| (*at, f64::from(*count) / total)).collect();
        Ok(Some((Joined { members, intercept: 0.0, method: "fused ranks".into() }, alone, together)))
    }

    /// Trains `members` on the training rows; `None` if it was stopped.
    fn trained(&self, members: &[usize]) -> Result<Option<Vec<Arc<dyn Trained>>>> {
        let (until, data) = (self.until(None), &self.task.data);
        let mut models: Vec<Arc<dyn Trained>> = Vec::new();
        for at in members {
            let context = data.context(self.seed, &until, None);
            match self.standing.kept[*at].settings.fit(&data.train, None, &context) {
                Ok(fitted) => models.push(Arc::from(fitted.model)),
                Err(ModelError::Interrupted) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(models))
    }

    /// The metric over `asked` of the members' lists, each weighted by its count.
    fn fusion(
        &self,
        members: &[usize],
        models: &[Arc<dyn Trained>],
        counts: &[u32],
        asked: &Histories,
    ) -> f64 {
        let taken: Vec<usize> = (0..counts.len()).filter(|member| counts[*member] > 0).collect();
        let total = f64::from(counts.iter().sum::<u32>().max(1));
        let weight = |m: usize| (f64::from(counts[m]) / total) as f32;
        let settings: Vec<(ModelSettings, f32)> =
            taken.iter().map(|m| (self.standing.kept[members[*m]].settings.clone(), weight(*m))).collect();
        let models = taken.iter().map(|m| Arc::clone(&models[*m])).collect();
        let ensemble = ensemble::Model::joined(ensemble::Settings::of_ranks(&settings), models);
        let train = &self.task.data.train;
        self.task.metric.of(&ensemble, [train, train], asked, self.task.data.scale)
    }

    /// The winner: an ensemble by ratings, or by ranks.
    fn told(&self, joined: &Joined, ratings: bool) -> Winner {
        let Joined { members, intercept, method } = joined;
        let kept = &self.standing.kept;
        let title = |at: usize| self.standing.entrants[kept[at].entrant].candidate.title.clone();
        let named = members.iter().map(|(at, weight)| (title(*at), kept[*at].trial, *weight)).collect();
        let settings: Vec<(ModelSettings, f32)> =
            members.iter().map(|(at, weight)| (kept[*at].settings.clone(), *weight as f32)).collect();
        match members.as_slice() {
            [(only, weight)] if *weight == 1.0 && *intercept == 0.0 => {
                Winner { title: title(*only), settings: settings[0].0.clone(), members: named }
            }
            more => Winner {
                title: match more {
                    [(only, _)] => format!("{}, shifted and scaled ({method})", title(*only)),
                    _ => format!("an ensemble of {} ({method})", more.len()),
                },
                settings: if ratings {
                    ensemble::Settings::of(&settings, *intercept as f32).into()
                } else {
                    ensemble::Settings::of_ranks(&settings).into()
                },
                members: named,
            },
        }
    }
}
