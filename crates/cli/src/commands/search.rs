//! Resolves the arguments of a search: the data set, its split, the device, the folder.

use crate::arguments::{Reading, Search};
use crate::input::{Input, STDIN};
use crate::output::{self, note};
use crate::{CliError, Result, fetch, progress};
use foretaste_automl::{Log, Metric, Task};
use foretaste_bench::dataset::{self, Dataset};
use foretaste_bench::machine::Machine;
use foretaste_bench::results;
use foretaste_data::{SplitRule, atomic};
use foretaste_models::{Device, EpochReport, Progress};
use std::path::{Path, PathBuf};

/// The resolved arguments of a search: the data set, its split, and the device.
pub(super) struct Prepared {
    pub data: Dataset,
    pub rule: SplitRule,
    device: Device,
}

impl Prepared {
    /// Loads what `arguments` name, for a search by `metric`.
    pub fn new(arguments: &Search, metric: &Metric) -> Result<Self> {
        arguments.common.reading.no_range("a search")?;
        let data = load(
            &arguments.dataset,
            arguments.data.as_deref(),
            &arguments.common.reading,
            arguments.accept_licence,
        )?;
        data.remarks.iter().for_each(|remark| note(remark));
        if metric.judges_ratings() {
            data.table.require_values()?;
        }
        Ok(Self {
            data,
            rule: rule(&arguments.regime, arguments.test)?,
            device: Device::open(&arguments.device)?,
        })
    }

    /// The rows, split.
    pub fn task(&self, arguments: &Search, metric: Metric) -> Result<Task<'_>> {
        let log = log_of(&self.data);
        Ok(Task::new(log, &self.rule, arguments.seed, arguments.validation, metric, &self.device)?)
    }

    /// Writes `manifest.json`: everything needed to repeat the search; `of` is the command's
    /// own part.
    pub fn manifest(
        &self,
        arguments: &Search,
        task: &Task,
        of: &serde_json::Value,
        folder: &Path,
    ) -> Result<()> {
        let manifest = serde_json::json!({
            "format": "foretaste-search/1",
            "version": env!("CARGO_PKG_VERSION"),
            "command": output::command_line(),
            "dataset": { "name": self.data.name, "sha256": self.data.hash, "report": self.data.report,
                "scale": task.data.scale },
            "split": { "regime": self.rule.regime(), "rule": self.rule.name(), "seed": arguments.seed,
                "validation": arguments.validation },
            "rows": { "train": task.data.train.len(), "validation": task.data.validation.len(),
                "test": task.test.len() },
            "metric": task.metric.name,
            "search": of,
            "device": self.device.name(),
            "threads": rayon::current_num_threads(),
            "machine": Machine::here(),
        });
        Ok(atomic::write(&folder.join("manifest.json"), &results::json(&manifest)?)?)
    }

    /// The run's folder, created: the one named, or `runs/COMMAND-DATA-...`.
    pub fn folder(&self, arguments: &Search, command: &str, of: &str) -> Result<PathBuf> {
        let folder = arguments.out.clone().unwrap_or_else(|| {
            PathBuf::from(format!("runs/{command}-{}-{}-{of}", self.data.name, self.rule.regime()))
        });
        let named = std::iter::once(Path::new(&arguments.dataset)).chain(arguments.data.as_deref());
        output::not_an_inputs_folder(named.chain(arguments.common.reading.tables()), &folder)?;
        std::fs::create_dir_all(&folder).map_err(CliError::io(&folder, "create"))?;
        Ok(folder)
    }
}

/// The split that a regime names.
fn rule(regime: &str, test: f64) -> Result<SplitRule> {
    Ok(match regime {
        "random" => SplitRule::HoldOut { test },
        "future" => SplitRule::Cut { test },
        "last-session" => SplitRule::LastSession { gap: 1800 },
        "per-user" => SplitRule::LeaveLast { test: 1 },
        other => {
            return Err(CliError::Usage(format!(
                "unknown regime {other:?}; known are random, future, per-user, last-session"
            )));
        }
    })
}

/// Loads the data set `name`, or the one at that path; a known one that is missing is fetched first if its
/// licence is accepted.
pub(super) fn load(name: &str, data: Option<&Path>, reading: &Reading, accept: bool) -> Result<Dataset> {
    if accept && data.is_none() {
        fetch::missing(name)?;
    }
    let input = Input::of(Path::new(name))?;
    let path = input.path().display().to_string();
    let found = if input.is_kept() { &path } else { name };
    let mut loaded = dataset::load(found, data, &reading.options()?, &reading.beside()?)?;
    if input.is_kept() {
        STDIN.clone_into(&mut loaded.name);
        loaded.remarks.iter_mut().for_each(|remark| *remark = remark.replace(&path, STDIN));
    }
    Ok(loaded)
}

/// The parts of a data set that a selection may use.
pub(super) fn log_of(data: &Dataset) -> Log<'_> {
    Log {
        table: &data.table,
        scale: data.scale,
        user_attributes: data.user_attributes.as_ref(),
        item_attributes: data.item_attributes.as_ref(),
    }
}

/// Ends trainings at Ctrl-C.
pub(super) struct UntilCtrlC;

impl Progress for UntilCtrlC {
    fn epoch(&self, _: &'static str, _: &EpochReport) {}

    fn cancelled(&self) -> bool {
        progress::stopping()
    }
}

/// `90s`, `20m`, `1h`, or seconds.
pub(super) fn duration(text: &str) -> Result<std::time::Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let seconds = digits.trim().parse::<f64>().unwrap_or(f64::NAN) * unit;
    if seconds.is_finite() && seconds > 0.0 && seconds < 1e9 {
        return Ok(std::time::Duration::from_secs_f64(seconds));
    }
    Err(CliError::Usage(format!("--budget {text}: write a time, for example 90s, 20m or 1h")))
}
