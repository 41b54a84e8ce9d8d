//! From how a race stands to who wins it: the best trial alone, or several joined, where judging rows say so.

use super::automl::Until;
use super::materials::Task;
use crate::Result;
use crate::leaderboard::Winner;
use crate::output::note;
use crate::progress;
use foretaste_automl::blend::{self, Method, Predictions};
use foretaste_automl::{FOLDS, Materials, Standing, clipped_rmse, out_of_fold};
use foretaste_data::{Histories, Regime};
use foretaste_models::{ModelError, ModelSettings, Trained, ensemble};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Models that an ensemble is chosen from.
const JOINED: usize = 24;

/// Who wins, and what each way of joining came to on rows that it was not found on. `end` is when the winner must have been
/// trained on all rows; `regime` says whether training rows may be dealt into folds.
pub(super) fn decide(task: &Task, standing: &Standing, end: Instant, regime: Regime, alone: bool, seed: u64) -> Result<(Winner, Vec<(String, f64)>)> {
    let (mut best, mut methods) = joined(task, standing, end, alone);
    if alone {
        return Ok((winner(standing, &best, true), methods));
    }
    if task.metric.judges_ratings() {
        // Elsewhere folds at random would show the past what came after it.
        if regime == Regime::Random
            && let Some((better, value)) = restacked(task, standing, &best, end, seed)
        {
            methods.push((better.method.clone(), value));
            if methods.iter().all(|(_, other)| value <= *other) {
                best = better;
            }
        }
    } else if let Some((better, one, value)) = fused(task, standing, end, seed)? {
        methods = vec![(Method::Best.name().into(), one), (better.method.clone(), value)];
        let sign = task.metric.direction.sign();
        if value * sign < one * sign {
            best = better;
        }
    }
    Ok((winner(standing, &best, task.metric.judges_ratings()), methods))
}

/// Which trials make the winner, and how.
struct Joined {
    /// Places among those kept, with their weights.
    members: Vec<(usize, f64)>,
    intercept: f64,
    /// In words.
    method: String,
}

/// How much longer all rows train than the training rows did.
fn growth(task: &Task) -> f64 {
    task.known.len() as f64 / task.materials.train.len() as f64
}

/// The best trial alone, or the best joined, where rows that found no weights say so and the time left suffices to
/// train all members again; and what each method came to.
fn joined(task: &Task, standing: &Standing, end: Instant, alone: bool) -> (Joined, Vec<(String, f64)>) {
    let left = end.saturating_duration_since(Instant::now()).as_secs_f64();
    let cost = |at: usize| standing.kept[at].seconds * growth(task);
    let mut among: Vec<usize> = (0..standing.kept.len()).filter(|at| cost(*at) <= left).take(JOINED).collect();
    if among.is_empty() {
        among.extend((0..standing.kept.len()).min_by(|a, b| cost(*a).total_cmp(&cost(*b))));
    }
    let first = among[0];
    let best = Joined { members: vec![(first, 1.0)], intercept: 0.0, method: Method::Best.name().into() };
    if !task.metric.judges_ratings() || alone {
        return (best, Vec::new());
    }
    let (users, values) = (task.materials.validation.row_users(), task.materials.validation.values().to_vec());
    loop {
        let predictions = Predictions { columns: among.iter().map(|at| standing.kept[*at].predictions.as_slice()).collect(), values: &values, users: &users };
        let judged = blend::judged(&predictions, task.materials.scale);
        let methods: Vec<(String, f64)> = judged.iter().map(|(method, value)| (method.name().to_owned(), *value)).collect();
        let (method, _) = judged.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((Method::Best, f64::NAN));
        if method == Method::Best {
            return (best, methods);
        }
        let weights = method.weights(&predictions);
        let members: Vec<(usize, f64)> = weights.members().map(|(column, weight)| (among[column], weight)).collect();
        // Too slow together: without the slowest, but never without the best, with which all is compared.
        if members.iter().map(|(at, _)| cost(*at)).sum::<f64>() > left {
            let slowest = members.iter().map(|(at, _)| *at).filter(|at| *at != first).max_by(|a, b| cost(*a).total_cmp(&cost(*b)));
            let Some(slowest) = slowest else { return (best, methods) };
            among.retain(|at| *at != slowest);
            continue;
        }
        return (Joined { members, intercept: weights.intercept, method: method.name().into() }, methods);
    }
}

/// The same members with weights from predictions of the training rows out of fold, and what these come to on the judging
/// rows; none where there are no members to weigh, or no time.
fn restacked(task: &Task, standing: &Standing, joined: &Joined, end: Instant, seed: u64) -> Option<(Joined, f64)> {
    let seconds: f64 = joined.members.iter().map(|(at, _)| standing.kept[*at].seconds).sum();
    // Each fold trains on the others; all members are trained once more afterwards.
    let (folds, last) = (seconds * (FOLDS - 1) as f64, seconds * growth(task));
    let left = end.saturating_duration_since(Instant::now()).as_secs_f64();
    if joined.members.len() < 2 || 1.1 * (folds + last) > left {
        return None;
    }
    note(&format!("weighing {} models on {FOLDS} folds of the training rows", joined.members.len()));
    let settings: Vec<ModelSettings> = joined.members.iter().map(|(at, _)| standing.kept[*at].settings.clone()).collect();
    let until = Until(Some(end.checked_sub(Duration::from_secs_f64(1.05 * last))?));
    let columns = match out_of_fold(&task.materials, &task.metric, &settings, seed, &until) {
        Ok(columns) => columns,
        Err(error) => {
            note(&format!("the weights stay as they were: {error}"));
            return None;
        }
    };
    let (train, validation) = (&task.materials.train, &task.materials.validation);
    let found = Predictions { columns: columns.iter().map(Vec::as_slice).collect(), values: &train.values().to_vec(), users: &train.row_users() };
    let weights = Method::Stacked.weights(&found);
    let columns = joined.members.iter().map(|(at, _)| standing.kept[*at].predictions.as_slice()).collect();
    let asked = Predictions { columns, values: &validation.values().to_vec(), users: &validation.row_users() };
    let predictions: Vec<f32> = (0..validation.len()).map(|row| weights.of(&asked, row)).collect();
    let value = clipped_rmse(&predictions, validation.values(), task.materials.scale);
    let members = weights.members().map(|(column, weight)| (joined.members[column].0, weight)).collect();
    Some((Joined { members, intercept: weights.intercept, method: format!("{}, {FOLDS} folds", Method::Stacked.name()) }, value))
}

/// Systems that lists are fused of, at most.
const FUSED: usize = 6;

/// Systems whose lists are fused by rank, chosen on one half of the judging users and judged on the other beside the best
/// alone; none where there is no time to train them twice.
fn fused(task: &Task, standing: &Standing, end: Instant, seed: u64) -> Result<Option<(Joined, f64, f64)>> {
    let left = end.saturating_duration_since(Instant::now()).as_secs_f64();
    let cost = |at: usize| standing.kept[at].seconds * (1.0 + growth(task));
    let (mut members, mut seconds): (Vec<usize>, f64) = (Vec::new(), 0.0);
    for at in 0..standing.kept.len() {
        let known = members.iter().any(|other| standing.kept[*other].entrant == standing.kept[at].entrant);
        // Half of what is left is for asking them.
        if !known && members.len() < FUSED && seconds + cost(at) < 0.5 * left {
            members.push(at);
            seconds += cost(at);
        }
    }
    if members.len() < 2 {
        return Ok(None);
    }
    note(&format!("training {} systems again, to fuse their lists", members.len()));
    let Materials { train, validation, .. } = &task.materials;
    let mut models: Vec<Arc<dyn Trained>> = Vec::new();
    for at in &members {
        let until = Until(None);
        match standing.kept[*at].settings.fit(train, None, &task.materials.context(seed, &until, None)) {
            Ok(fitted) => models.push(Arc::from(fitted.model)),
            Err(ModelError::Interrupted) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let half = |half: u32| validation.of_rows(|user, _| blend::fold(user, 2) == half);
    let (choosing, judging) = (half(0), half(1));
    let sign = task.metric.direction.sign();
    let of = |counts: &[u32], asked: &Histories| {
        let taken: Vec<usize> = (0..counts.len()).filter(|member| counts[*member] > 0).collect();
        let total = f64::from(counts.iter().sum::<u32>().max(1));
        let settings: Vec<(ModelSettings, f32)> =
            taken.iter().map(|m| (standing.kept[members[*m]].settings.clone(), (f64::from(counts[*m]) / total) as f32)).collect();
        let ensemble = ensemble::Model::joined(ensemble::Settings::of_ranks(&settings), taken.iter().map(|m| Arc::clone(&models[*m])).collect());
        task.metric.of(&ensemble, [train, train], asked, task.materials.scale)
    };
    // Each question asks all lists of half the users: no more of them than time allows.
    let clock = Instant::now();
    let _ = of(&[1; FUSED][..members.len()], &choosing);
    let room = end.saturating_duration_since(Instant::now()).as_secs_f64() - seconds / 2.0;
    let rounds = (room / clock.elapsed().as_secs_f64().max(1e-3) / (members.len() + 1) as f64) as usize;
    let (counts, _) = blend::selected(members.len(), rounds.min(12), |counts| if progress::stopping() { f64::INFINITY } else { of(counts, &choosing) * sign });
    if progress::stopping() || counts.iter().filter(|count| **count > 0).count() < 2 {
        return Ok(None);
    }
    let mut first = vec![0; members.len()];
    first[0] = 1;
    let (alone, together) = (of(&first, &judging), of(&counts, &judging));
    let total = f64::from(counts.iter().sum::<u32>());
    let weights = members.iter().zip(&counts).filter(|(_, count)| **count > 0).map(|(at, count)| (*at, f64::from(*count) / total));
    Ok(Some((Joined { members: weights.collect(), intercept: 0.0, method: "fused ranks".into() }, alone, together)))
}

/// The winner as it is trained and told of: joined by ratings, or by ranks.
fn winner(standing: &Standing, joined: &Joined, ratings: bool) -> Winner {
    let Joined { members, intercept, method } = joined;
    let title = |at: usize| standing.entrants[standing.kept[at].entrant].candidate.title.clone();
    let named = members.iter().map(|(at, weight)| (title(*at), standing.kept[*at].trial, *weight)).collect();
    let settings: Vec<(ModelSettings, f32)> = members.iter().map(|(at, weight)| (standing.kept[*at].settings.clone(), *weight as f32)).collect();
    match members.as_slice() {
        [(only, weight)] if *weight == 1.0 && *intercept == 0.0 => Winner { title: title(*only), settings: settings[0].0.clone(), members: named },
        more => Winner {
            title: match more {
                [(only, _)] => format!("{}, shifted and scaled ({method})", title(*only)),
                _ => format!("an ensemble of {} ({method})", more.len()),
            },
            settings: ModelSettings::Ensemble(if ratings {
                ensemble::Settings::of(&settings, *intercept as f32)
            } else {
                ensemble::Settings::of_ranks(&settings)
            }),
            members: named,
        },
    }
}
