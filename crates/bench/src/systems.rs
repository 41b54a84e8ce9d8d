//! The systems of the tables: models and their settings.

use crate::{BenchError, Result};
use foretaste_models::{Kind, ModelSettings};
use serde::Deserialize;
use std::collections::BTreeMap;

const SYSTEMS: &str = include_str!("../systems.toml");

/// The run without a chart.
pub const DEFAULT: &str = "default";

/// A row of the tables.
#[derive(Debug, Clone, PartialEq)]
pub struct System {
    /// Name in arguments and files; also the key published figures are matched by.
    pub name: String,
    /// Name in tables.
    pub title: String,
    /// The model and its settings.
    pub settings: ModelSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    title: String,
    model: String,
    /// The runs that include it by default: a chart of the talk, or `default`.
    #[serde(default)]
    runs: Vec<String>,
    #[serde(default)]
    settings: toml::Table,
    /// Additional settings in a run.
    #[serde(default)]
    at: BTreeMap<String, toml::Table>,
}

impl Entry {
    /// The system of a registered algorithm: its defaults, in the runs of its kind.
    fn of(kind: Kind) -> Self {
        let runs: &[&str] =
            if kind.defaults().predicts_ratings() { &[DEFAULT, "automl"] } else { &["ranking"] };
        Self {
            name: kind.name().into(),
            title: kind.title().into(),
            model: kind.name().into(),
            runs: runs.iter().map(|run| (*run).to_owned()).collect(),
            settings: toml::Table::new(),
            at: BTreeMap::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    system: Vec<Entry>,
}

/// The systems called `names` (`all` for every one; those of the run `run` when empty) with their
/// settings in that run, and `overrides` like `pmf.factors=32` applied.
///
/// # Errors
/// [`BenchError::Request`] for an unknown system, [`BenchError::Change`] for a malformed override,
/// [`BenchError::Model`] for a setting that does not exist or is out of range.
pub fn select(names: &[String], run: &str, overrides: &[String]) -> Result<Vec<System>> {
    let mut file: File =
        toml::from_str(SYSTEMS).map_err(|e| BenchError::Request(format!("systems.toml: {e}")))?;
    file.system.extend(Kind::all()[Kind::BUILT_IN.len()..].iter().map(|kind| Entry::of(*kind)));
    let known: Vec<&str> = file.system.iter().map(|s| s.name.as_str()).collect();
    let check = |name: &str| {
        if known.contains(&name) || name == "all" {
            return Ok(());
        }
        Err(BenchError::Request(format!("unknown model {name:?}; known are {}, and all", known.join(", "))))
    };
    names.iter().try_for_each(|name| check(name))?;
    let refused = |change: &str, reason: &str| BenchError::Change {
        change: change.to_owned(),
        reason: reason.to_owned(),
    };
    let mut changes = Vec::new();
    for change in overrides {
        let parsed = change.split_once('=').and_then(|(path, value)| {
            path.split_once('.').map(|(system, setting)| (system.trim(), setting.trim(), value.trim()))
        });
        let Some((system, setting, value)) = parsed else {
            return Err(refused(change, "write MODEL.SETTING=VALUE, for example pmf.factors=32"));
        };
        check(system)?;
        // TOML requires quotes around strings.
        let table: toml::Table = format!("{setting} = {value}")
            .parse()
            .or_else(|_| format!("{setting} = {value:?}").parse())
            .map_err(|e: toml::de::Error| refused(change, e.message()))?;
        changes.push((system.to_owned(), table));
    }
    let wanted = |entry: &&Entry| match names {
        [] => entry.runs.iter().any(|r| r == run),
        names => names.contains(&entry.name) || names.iter().any(|name| name == "all"),
    };
    for (change, (system, _)) in overrides.iter().zip(&changes) {
        if !file.system.iter().any(|entry| entry.name == *system && wanted(&entry)) {
            return Err(refused(change, &format!("would do nothing: {system} is not in the run")));
        }
    }
    file.system
        .iter()
        .filter(wanted)
        .map(|entry| {
            let kind: Kind = entry.model.parse().map_err(BenchError::Request)?;
            let mut table = entry.settings.clone();
            table.extend(entry.at.get(run).cloned().unwrap_or_default());
            for (system, change) in &changes {
                if *system == entry.name {
                    table.extend(change.clone());
                }
            }
            Ok(System {
                name: entry.name.clone(),
                title: entry.title.clone(),
                settings: kind.settings(table)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_models::{pmf, tsvd};

    #[test]
    fn systems_parse_and_overrides_are_checked() {
        let all = select(&["all".into()], DEFAULT, &[]).unwrap();
        assert!(all.len() >= 15);
        for (run, least) in [(DEFAULT, 5), ("movielens", 4), ("netflix", 5)] {
            let titles: Vec<String> = select(&[], run, &[]).unwrap().into_iter().map(|s| s.title).collect();
            assert!(titles.len() >= least && titles[0] == "Rolling Average", "{run}: {titles:?}");
        }
        let drifting = |run: &str| {
            let systems = select(&["t-svd".into()], run, &[]).unwrap();
            systems[0].settings.of::<tsvd::Settings>().unwrap().day_factors
        };
        assert!(drifting(DEFAULT) && !drifting("netflix"));
        let changed = select(&["pmf".into()], DEFAULT, &["pmf.factors=7".into()]).unwrap();
        let settings = changed[0].settings.of::<pmf::Settings>().unwrap();
        assert!(settings.factors == 7 && !settings.biases);
        for bad in ["pmf.factors", "pmf.factor=3", "pmff.factors=3", "pmf.factors=many", "pmf.factors=0"] {
            assert!(select(&[], DEFAULT, &[bad.into()]).is_err(), "{bad}");
        }
        assert!(select(&["svd".into()], DEFAULT, &[]).unwrap_err().to_string().contains("rolling-average"));
    }
}
