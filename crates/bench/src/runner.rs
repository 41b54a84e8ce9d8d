//! Runs cells: one system, split and seed each; finished cells are kept, interrupted ones resume.

use crate::RunProgress;
use crate::dataset::Dataset;
use crate::machine;
use crate::results::{ACTIVITY, ByUser, Cell, Errors, Figures, Measured, Outcome, json, stated};
use crate::systems::System;
use crate::{BenchError, Result, ranking};
use foretaste_data::{Histories, Membership, Parts, Regime, Role, Split, SplitRule, atomic, hex};
use foretaste_metrics::{mae, rmse};
use foretaste_models::{
    Device, EpochReport, FitContext, ModelError, ModelSettings, RatingModel, Reading, Trained, save,
    weights_hash,
};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

/// Incremented whenever a change affects results, so that old cells are not reused.
const RESULTS_VERSION: u32 = 12;

/// What trained models must predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Ratings of the test rows.
    Ratings,
    /// Ranked lists for the users of the test rows.
    Ranking,
}

/// Settings shared by the cells of a run.
pub struct Protocol<'a> {
    /// What trained models must predict.
    pub task: Task,
    /// The run's folder.
    pub folder: &'a Path,
    /// Where layers are computed.
    pub device: &'a Device,
    /// Share of the training rows that chooses the number of epochs.
    pub validation: f64,
    /// Whether predictions are clipped to the rating scale.
    pub clip: bool,
    /// Whether finished cells are taken from the folder.
    pub resume: bool,
    /// Whether trained models are saved.
    pub save_models: bool,
    /// Whether splits are written as CSV.
    pub save_splits: bool,
    /// Observer of progress.
    pub progress: &'a dyn RunProgress,
}

/// The training, validation and test rows of one seed.
struct Rows {
    /// All rows that train before testing.
    train: Histories,
    /// Rows that are given when testing, if the rule has such rows.
    given: Histories,
    /// Training and given rows together, if there are given rows.
    with_given: Option<Histories>,
    test: Histories,
    /// For a simulated log, the lowest RMSE that any model can expect over the test rows.
    lowest_rmse: Option<f64>,
    /// For choosing epochs: the training part (`None` if it is `train`), and the validation part.
    selection: Option<(Option<Histories>, Histories)>,
}

/// A table's split for one seed.
pub(crate) struct Prepared {
    /// The rule for this seed.
    rule: SplitRule,
    split: Split,
    rows: OnceLock<Rows>,
}

impl Rows {
    /// All rows known before testing.
    fn known(&self) -> &Histories {
        self.with_given.as_ref().unwrap_or(&self.train)
    }
}

/// What a trained model came to over the test rows.
struct Evaluated {
    errors: Vec<Errors>,
    figures: Vec<Figures>,
    by_user: ByUser,
}

impl Protocol<'_> {
    /// The split of one seed. Under `k folds` seed `s` is fold `s` of the folds of seed 0; under fold files
    /// `{}` in their name is `s + 1`.
    ///
    /// # Errors
    /// Those of splitting, and of writing the split if it is saved.
    pub(crate) fn prepare(&self, data: &Dataset, rule: &SplitRule, seed: u64) -> Result<Prepared> {
        let (rule, split_seed) = of_seed(rule, seed);
        let split = rule.split(
            &data.table,
            split_seed,
            if published_validation(&rule) { 0.0 } else { self.validation },
        )?;
        let prepared = Prepared { rule, split, rows: OnceLock::new() };
        if self.save_splits {
            self.write_split(data, &prepared.rule, seed, self.rows(data, &prepared))?;
        }
        Ok(prepared)
    }

    /// Runs one cell, one of `jobs` in parallel, or reads it from the folder.
    ///
    /// # Errors
    /// Those of training and writing.
    pub(crate) fn cell_of(
        &self,
        data: &Dataset,
        prepared: &Prepared,
        system: &System,
        seed: u64,
        jobs: usize,
    ) -> Result<Cell> {
        let Prepared { rule, split, .. } = prepared;
        let name =
            format!("{} · {} {} · {} · seed {seed}", data.name, rule.regime(), rule.name(), system.title);
        self.progress.begin(&name);
        let key = self.key(data, split, system, seed);
        let file = self.folder.join("cells").join(format!("{key}.json"));
        let cell =
            if let Some(cell) = self.finished(&file, &key, &self.model_folder(data, rule, system, seed)) {
                cell
            } else {
                let cell = self.cell(data, rule, system, seed, &key, self.rows(data, prepared), jobs)?;
                atomic::write(&file, &json(&cell)?)?;
                cell
            };
        self.progress.done(&name, &headline(&cell.outcome));
        Ok(cell)
    }

    /// Hash of everything that determines a cell's outcome.
    fn key(&self, data: &Dataset, split: &Split, system: &System, seed: u64) -> String {
        let mut hasher = Sha256::new();
        let parts = [
            RESULTS_VERSION.to_string(),
            env!("CARGO_PKG_VERSION").into(),
            data.name.clone(),
            data.hash.clone(),
            format!("{:?}", split.rule),
            system.name.clone(),
            system.settings.kind().name().into(),
            system.settings.to_toml(),
            seed.to_string(),
            self.device.name().into(),
            self.validation.to_string(),
            format!("{:?}", self.task),
            if self.clip { format!("clip {:?}", data.scale) } else { "no clip".into() },
        ];
        for part in parts {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        for attributes in [&data.user_attributes, &data.item_attributes] {
            attributes.iter().for_each(|attributes| attributes.feed(&mut |bytes| hasher.update(bytes)));
            hasher.update([0]);
        }
        // The roles reflect the contents of a fold file.
        hasher.update(split.roles.iter().map(|role| *role as u8).collect::<Vec<u8>>());
        hex(&hasher.finalize())[..16].to_owned()
    }

    /// The cell of an earlier run, if it is complete and a requested model was saved, too.
    fn finished(&self, file: &Path, key: &str, model: &Path) -> Option<Cell> {
        if !self.resume || (self.save_models && !model.is_dir()) {
            return None;
        }
        let cell: Cell = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        (cell.key == key).then_some(cell)
    }

    fn model_folder(&self, data: &Dataset, rule: &SplitRule, system: &System, seed: u64) -> PathBuf {
        self.folder.join("models").join(format!(
            "{}-{}-seed-{seed}",
            file_stem(&data.name, rule.regime(), &table_split(rule)),
            system.name
        ))
    }

    /// The rows of a split, copied out when the first cell needs them.
    fn rows<'a>(&self, data: &Dataset, prepared: &'a Prepared) -> &'a Rows {
        prepared.rows.get_or_init(|| self.parted(data, &prepared.split))
    }

    fn parted(&self, data: &Dataset, split: &Split) -> Rows {
        let Parts { train, validation, test, given } = split.parts(&data.table);
        // Rules with a validation part of their own choose epochs on it and, as published, train on
        // the training part alone; the others train on all rows that do not test.
        let chosen = self.validation > 0.0 && !validation.is_empty();
        let (known, rest) = if published_validation(&split.rule) {
            (train, None)
        } else {
            (train.merged(&validation), Some(train))
        };
        let selection = chosen.then_some((rest, validation));
        let with_given = (!given.is_empty()).then(|| known.merged(&given));
        let lowest_rmse = data.truth.as_ref().map(|(_, expected)| {
            let rows = (0..data.table.len())
                .filter(|row| split.roles[*row] == Role::Test && expected[*row].is_finite());
            let (expected, values): (Vec<f32>, Vec<f32>) =
                rows.map(|row| (expected[row], data.table.values[row])).unzip();
            stated(rmse(&expected, &values))
        });
        Rows { train: known, given, with_given, test, lowest_rmse, selection }
    }

    #[allow(clippy::too_many_arguments)] // One caller, which has all of it.
    fn cell(
        &self,
        data: &Dataset,
        rule: &SplitRule,
        system: &System,
        seed: u64,
        key: &str,
        rows: &Rows,
        jobs: usize,
    ) -> Result<Cell> {
        // If the system cannot reset a peak, a cell's figure is that of the run so far. Of parallel
        // cells none has a peak of its own.
        let alone = jobs <= 1;
        if alone {
            let _ = machine::reset_peak_memory();
        }
        let checkpoints = self.folder.join("checkpoints").join(key);
        if !self.resume {
            let _ = std::fs::remove_dir_all(&checkpoints);
        }
        let (chosen, trained) = (created(&checkpoints, "selection")?, created(&checkpoints, "final")?);

        // Choose the number of epochs on a part of the training rows, then train on all of them.
        let clock = Instant::now();
        let has_epochs = system.settings.with_epochs(usize::MAX) != system.settings;
        let selection = rows.selection.as_ref().filter(|_| has_epochs);
        // If the same rows are used for choosing epochs and for the final training, one training does both.
        let validation = selection
            .filter(|(rest, _)| rest.is_none() && !system.settings.is_transductive())
            .map(|(_, validation)| validation);
        let (settings, mut curve) = match selection.filter(|_| validation.is_none()) {
            Some((rest, validation)) => {
                let train = rest.as_ref().unwrap_or(&rows.train);
                let (epochs, curve) =
                    self.choose(data, &system.settings, seed, [train, validation], &chosen)?;
                (system.settings.with_epochs(epochs), curve)
            }
            None => (system.settings.clone(), Vec::new()),
        };
        let selection_seconds = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let membership = settings.is_transductive().then(|| rows.test.membership());
        let fitted = settings.fit(
            &rows.train,
            validation,
            &self.fit_context(data, membership.as_ref(), seed, &trained),
        )?;
        let train_seconds = clock.elapsed().as_secs_f64();
        let passes = fitted.curve.len();
        let epochs = if validation.is_some() { fitted.best_epoch } else { passes };
        if curve.is_empty() {
            curve = fitted.curve;
        }

        let clock = Instant::now();
        let groups = Groups::new(rows.known(), &rows.test);
        let Evaluated { errors, figures, by_user } =
            self.evaluated(data, fitted.model.as_ref(), rows, &groups)?;
        let predict_seconds = clock.elapsed().as_secs_f64();
        if self.save_models {
            let folder = self.model_folder(data, rule, system, seed);
            save(fitted.model.as_ref(), &data.table.user_ids, &data.table.item_ids, &folder)?;
        }
        let outcome = Outcome {
            dataset: data.name.clone(),
            regime: rule.regime(),
            split: table_split(rule),
            system: system.name.clone(),
            seed,
            train_rows: rows.train.len(),
            test_rows: rows.test.len(),
            cold_rows: groups.cold(),
            lowest_rmse: rows.lowest_rmse,
            activity_rows: groups.sizes(),
            transductive: settings.is_transductive(),
            parameters: fitted.model.parameters(),
            epochs,
            weights_sha256: weights_hash(fitted.model.as_ref()),
            errors,
            figures,
            curve,
        };
        let events = (rows.train.len() * passes.max(1)) as f64;
        let measured = Measured {
            device: self.device.name().to_owned(),
            train_seconds,
            events_per_second: events / train_seconds.max(1e-9),
            selection_seconds,
            predict_seconds,
            lists_per_second: lists_per_second(&outcome),
            peak_memory_mb: machine::peak_memory_mb().filter(|_| alone),
            jobs: jobs.max(1),
            threads: rayon::current_num_threads(),
        };
        let _ = std::fs::remove_dir_all(&checkpoints);
        Ok(Cell { key: key.to_owned(), outcome, measured, by_user })
    }

    /// The best number of epochs on the validation rows, with the curve; kept in `folder` for a resumed run.
    fn choose(
        &self,
        data: &Dataset,
        settings: &ModelSettings,
        seed: u64,
        [train, validation]: [&Histories; 2],
        folder: &Path,
    ) -> Result<(usize, Vec<EpochReport>)> {
        let file = folder.join("choice.json");
        if self.resume
            && let Some(choice) = std::fs::read(&file).ok().and_then(|b| serde_json::from_slice(&b).ok())
        {
            return Ok(choice);
        }
        let membership = settings.is_transductive().then(|| validation.membership());
        let context = self.fit_context(data, membership.as_ref(), seed, folder);
        let fitted = settings.fit(train, Some(validation), &context)?;
        let choice = (fitted.best_epoch, fitted.curve);
        atomic::write(&file, &json(&choice)?)?;
        Ok(choice)
    }

    /// Asks a trained model for the test rows, under both readings.
    fn evaluated(
        &self,
        data: &Dataset,
        model: &dyn Trained,
        rows: &Rows,
        groups: &Groups,
    ) -> Result<Evaluated> {
        let (mut errors, mut figures) = (Vec::new(), Vec::new());
        let mut by_user = ByUser { users: groups.users.clone(), ..ByUser::default() };
        for reading in Reading::ALL {
            match self.task {
                Task::Ratings => {
                    let (found, sums) = self.errors(data, model.ratings()?, rows, groups, reading)?;
                    errors.push(found);
                    by_user.rows.push(groups.rows.clone());
                    by_user.sums.push(sums);
                }
                Task::Ranking => {
                    let (found, own) =
                        ranking::evaluate(model, &rows.train, rows.known(), &rows.test, reading);
                    figures.push(found);
                    by_user.rows.push(own.iter().map(|(lists, _)| *lists as u32).collect());
                    by_user.sums.push(own.iter().map(|(_, sum)| stated(*sum)).collect());
                }
            }
        }
        Ok(Evaluated { errors, figures, by_user })
    }

    fn fit_context<'a>(
        &'a self,
        data: &'a Dataset,
        membership: Option<&'a Membership>,
        seed: u64,
        checkpoint: &'a Path,
    ) -> FitContext<'a> {
        FitContext {
            progress: self.progress,
            checkpoint: Some(checkpoint),
            user_attributes: data.user_attributes.as_ref(),
            item_attributes: data.item_attributes.as_ref(),
            membership,
            ..FitContext::new(seed, self.device)
        }
    }

    /// The errors, and the sum of squared errors of each user with test rows.
    fn errors(
        &self,
        data: &Dataset,
        model: &dyn RatingModel,
        rows: &Rows,
        groups: &Groups,
        reading: Reading,
    ) -> Result<(Errors, Vec<f64>)> {
        let mut predictions = model.predict(rows.known(), &rows.test, reading);
        if let Some(row) = predictions.iter().position(|prediction| !prediction.is_finite()) {
            let reason = format!(
                "the prediction of test row {row} is not a number: training diverged; lower the learning rate"
            );
            return Err(ModelError::Training { model: "model", reason }.into());
        }
        if self.clip {
            // Without a stated scale, the known ratings determine it; the test ratings must not.
            let known = || {
                rows.known()
                    .values()
                    .iter()
                    .fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)))
            };
            let (low, high) = data.scale.unwrap_or_else(known);
            for prediction in &mut predictions {
                *prediction = prediction.clamp(low, high);
            }
        }
        let values = rows.test.values().to_vec();
        let among = |belongs: &dyn Fn(usize) -> bool| {
            let pick = |column: &[f32]| {
                column
                    .iter()
                    .enumerate()
                    .filter(|(row, _)| belongs(*row))
                    .map(|(_, v)| *v)
                    .collect::<Vec<f32>>()
            };
            let (predictions, values) = (pick(&predictions), pick(&values));
            (!values.is_empty()).then(|| stated(rmse(&predictions, &values)))
        };
        let bytes: Vec<u8> = predictions.iter().flat_map(|p| p.to_le_bytes()).collect();
        let errors = Errors {
            reading,
            rmse: stated(rmse(&predictions, &values)),
            mae: stated(mae(&predictions, &values)),
            warm_rmse: among(&|row| groups.warm[row]),
            by_activity: std::array::from_fn(|group| {
                among(&|row| usize::from(groups.activity[row]) == group)
            }),
            predictions_sha256: hex(&Sha256::digest(&bytes)),
        };
        let square = |row: usize| (f64::from(predictions[row]) - f64::from(values[row])).powi(2);
        let squares =
            groups.users.iter().map(|user| stated(rows.test.range(*user).map(square).sum())).collect();
        Ok((errors, squares))
    }

    fn write_split(&self, data: &Dataset, rule: &SplitRule, seed: u64, rows: &Rows) -> Result<()> {
        for (part, histories) in [("train", &rows.train), ("given", &rows.given), ("test", &rows.test)] {
            if histories.is_empty() {
                continue;
            }
            let path = self.folder.join("splits").join(format!(
                "{}-seed-{seed}-{part}.csv",
                file_stem(&data.name, rule.regime(), &table_split(rule))
            ));
            atomic::write_with(&path, |file| {
                use std::io::Write;
                let fail = |e| foretaste_data::DataError::Io {
                    path: path.display().to_string(),
                    action: "write",
                    source: e,
                };
                writeln!(file, "user,item,rating,timestamp").map_err(fail)?;
                for user in 0..histories.n_users() as u32 {
                    let history = histories.user(user);
                    for row in 0..history.len() {
                        let (user, item) =
                            (data.table.user_ids.name(user), data.table.item_ids.name(history.items[row]));
                        writeln!(
                            file,
                            "{user},{item},{},{}",
                            history.values[row],
                            history.timestamps.at(row)
                        )
                        .map_err(fail)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// A cell as one line of text.
fn headline(outcome: &Outcome) -> String {
    let errors = outcome.errors.iter().map(|e| format!("RMSE {:.4} {}", e.rmse, e.reading.name()));
    let metric = ranking::HEADLINE.name();
    let figure = |f: &Figures| {
        f.metrics.iter().find(|(name, _)| *name == metric).map_or(f64::NAN, |(_, value)| *value)
    };
    errors
        .chain(outcome.figures.iter().map(|f| format!("{metric} {:.4} {}", figure(f), f.reading.name())))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The rule for one seed, and the seed it splits by: seed `s` is fold `s` of the folds of seed
/// 0, and `{}` in a fold file's name is `s + 1`.
#[must_use]
pub fn of_seed(rule: &SplitRule, seed: u64) -> (SplitRule, u64) {
    match rule {
        SplitRule::KFold { folds, .. } => (SplitRule::KFold { folds: *folds, fold: seed as usize }, 0),
        SplitRule::FoldFile { test, reading } => (
            SplitRule::FoldFile {
                reading: reading.clone(),
                test: test.to_string_lossy().replace("{}", &(seed + 1).to_string()).into(),
            },
            seed,
        ),
        rule => (rule.clone(), seed),
    }
}

fn published_validation(rule: &SplitRule) -> bool {
    matches!(rule, SplitRule::PerUserShare { .. } | SplitRule::Window(_))
}

/// A table's name in file names.
#[must_use]
pub fn file_stem(dataset: &str, regime: Regime, split: &str) -> String {
    format!("{dataset}-{regime}-{split}")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' })
        .collect()
}

/// A split's name in tables: folds of one run share it.
#[must_use]
pub fn table_split(rule: &SplitRule) -> String {
    match rule {
        SplitRule::KFold { folds, .. } => format!("{folds} folds"),
        SplitRule::FoldFile { .. } => "fold files".into(),
        rule => rule.name(),
    }
}

/// The folder `name` in `parent`, created where it is not there.
fn created(parent: &Path, name: &str) -> Result<PathBuf> {
    let folder = parent.join(name);
    std::fs::create_dir_all(&folder).map_err(BenchError::io(&folder, "create"))?;
    Ok(folder)
}

fn lists_per_second(outcome: &Outcome) -> Option<f64> {
    outcome.figures.iter().find(|f| f.reading == Reading::Streaming).map(|f| f.lists_per_second)
}

/// How test rows are grouped.
struct Groups {
    /// For each row whether its user and its item have training rows.
    warm: Vec<bool>,
    /// For each row its user's index in [`ACTIVITY`].
    activity: Vec<u8>,
    /// Users with test rows, and their numbers of rows.
    users: Vec<u32>,
    rows: Vec<u32>,
}

impl Groups {
    /// Number of rows whose user or item has no training rows.
    fn cold(&self) -> usize {
        self.warm.iter().filter(|warm| !**warm).count()
    }

    /// Number of rows of each activity group.
    fn sizes(&self) -> [usize; ACTIVITY.len()] {
        std::array::from_fn(|group| self.activity.iter().filter(|g| usize::from(**g) == group).count())
    }

    fn new(known: &Histories, test: &Histories) -> Self {
        let mut items = vec![false; known.n_items()];
        for item in known.items() {
            items[*item as usize] = true;
        }
        let of_rows = test.row_users();
        let activity = |user: u32| {
            ACTIVITY
                .iter()
                .position(|(_, low, high)| (*low..=*high).contains(&known.range(user).len()))
                .unwrap_or(0) as u8
        };
        let users: Vec<u32> =
            (0..test.n_users() as u32).filter(|user| !test.range(*user).is_empty()).collect();
        Self {
            warm: of_rows
                .iter()
                .zip(test.items())
                .map(|(user, item)| !known.range(*user).is_empty() && items[*item as usize])
                .collect(),
            activity: of_rows.iter().map(|user| activity(*user)).collect(),
            rows: users.iter().map(|user| test.range(*user).len() as u32).collect(),
            users,
        }
    }
}
