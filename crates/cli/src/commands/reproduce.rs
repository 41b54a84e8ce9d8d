//! `reproduce`: data, splits, training, evaluation, charts, report.

use super::tuned::Tuned;
use super::{search, use_threads};
use crate::arguments::Reproduce;
use crate::output::{self, note, print};
use crate::page::Page;
use crate::progress::{self, Bars};
use crate::report::{self, Section};
use crate::views::{self, View};
use crate::{CliError, Result, chart, lists, ratings};
use foretaste_bench::dataset::{self, Dataset};
use foretaste_bench::grid::{self, Cause, Failure, Run, Table};
use foretaste_bench::machine::{self, Machine};
use foretaste_bench::results;
use foretaste_bench::runner::{Protocol, Task, file_stem, table_split};
use foretaste_bench::systems::{self, System};
use foretaste_data::split::Window;
use foretaste_data::{Regime, SplitRule, atomic};
use foretaste_models::Device;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub(super) fn run(arguments: &Reproduce) -> Result<()> {
    progress::stop_on_ctrl_c();
    let clock = Instant::now();
    use_threads(arguments.common.threads)?;
    let arguments = &charted(arguments)?;
    let named = arguments.chart == RANKING || CHARTS.contains(&arguments.chart.as_str());
    let run = if named { &arguments.chart } else { systems::DEFAULT };
    let task = if run == RANKING { Task::Ranking } else { Task::Ratings };
    let arguments = &arguments.arguments;
    let systems = chosen(arguments, run, task)?;
    once("data set", &arguments.datasets)?;
    once("regime", &arguments.regime)?;
    without_effect(arguments, task)?;
    let seeds = seeds(arguments)?;
    let rules = rules(arguments)?;
    if arguments.data.is_some() && arguments.datasets.len() > 1 {
        return Err(CliError::Usage(
            "--data names the place of one data set; give one data set with it".into(),
        ));
    }
    if arguments.jobs == Some(0) {
        return Err(CliError::Usage("--jobs 0: at least one training at a time is needed".into()));
    }
    if !(0.0..1.0).contains(&arguments.validation) {
        return Err(CliError::Usage(format!(
            "--validation {}: a share from 0 to below 1 is needed",
            arguments.validation
        )));
    }
    let device = Device::open(&arguments.device)?;
    note(&format!("device: {}", device.name()));
    let data = loaded(arguments, task)?;
    let folder =
        arguments.out.clone().unwrap_or_else(|| default_folder(arguments, &systems, &seeds, &data, &device));
    let named = arguments.datasets.iter().map(Path::new).chain(arguments.data.as_deref());
    output::not_an_inputs_folder(named.chain(arguments.common.reading.tables()), &folder)?;
    std::fs::create_dir_all(&folder).map_err(CliError::io(&folder, "create"))?;

    // A search adds its ensembles.
    let rows = systems.len() + usize::from(arguments.tune.is_some());
    let progress = Bars::new(data.len() * rules.len() * seeds.len() * rows, arguments.common.json);
    let protocol = Protocol {
        task,
        folder: &folder,
        device: &device,
        validation: arguments.validation,
        clip: !arguments.no_clip,
        resume: arguments.resume,
        save_models: arguments.save_models,
        save_splits: arguments.save_splits,
        progress: &progress,
    };
    let tuned = arguments.tune.map(|trials| Tuned {
        trials,
        validation: if arguments.validation > 0.0 { arguments.validation } else { 0.05 },
        task,
        folder: &folder,
        resume: arguments.resume,
        device: &device,
        progress: &progress,
    });
    let jobs = jobs(arguments, &data, &device);
    let splits: Vec<(&Dataset, &SplitRule)> =
        data.iter().flat_map(|data| rules.iter().map(move |rule| (data, rule))).collect();
    let (mut run, searched) = match &tuned {
        None => {
            let table = |&(data, rule)| Table { data, rule, systems: &systems, seeds: &seeds };
            let tables: Vec<Table> = splits.iter().map(table).collect();
            (protocol.run(&tables, jobs)?, Vec::new())
        }
        Some(tuned) => tuned_run(tuned, &protocol, jobs, &splits, &systems, &seeds)?,
    };
    progress.finish();
    // Empty now; removing it fails, as it should, if another run keeps checkpoints in it.
    let _ = std::fs::remove_dir(folder.join("checkpoints"));
    if arguments.models.iter().any(|name| name == "all") {
        leave_out(&mut run);
    }
    if run.cells.is_empty() && !run.failures.is_empty() {
        return Err(CliError::Failed(format!("nothing could be evaluated\n{}", reasons(&run.failures))));
    }
    write(arguments, (&systems, &searched), &seeds, &data, &device, &folder, &run, clock)?;
    failed(&run)
}

/// A run whose systems are searched first, split by split and seed by seed.
fn tuned_run(
    tuned: &Tuned,
    protocol: &Protocol,
    jobs: usize,
    splits: &[(&Dataset, &SplitRule)],
    systems: &[System],
    seeds: &[u64],
) -> Result<(Run, Vec<Searched>)> {
    let (mut run, mut searched) = (Run::default(), Vec::new());
    for &(data, rule) in splits {
        for seed in seeds {
            let found = match tuned.systems(data, rule, systems, *seed) {
                Ok(found) => found,
                Err(error) if error.ends_a_run() => return Err(error),
                Err(error) => {
                    run.failures.extend(unsearched(data, rule, systems, *seed, &error));
                    continue;
                }
            };
            let of_seed = protocol.run(&[Table { data, rule, systems: &found, seeds: &[*seed] }], jobs)?;
            run.cells.extend(of_seed.cells);
            run.failures.extend(of_seed.failures);
            searched.push((data.name.clone(), rule.regime(), *seed, found));
        }
    }
    Ok((run, searched))
}

/// The failures of a split and seed whose search failed.
fn unsearched(
    data: &Dataset,
    rule: &SplitRule,
    systems: &[System],
    seed: u64,
    error: &CliError,
) -> Vec<Failure> {
    let failure = |system: &System| Failure {
        dataset: data.name.clone(),
        regime: rule.regime(),
        split: table_split(rule),
        system: system.name.clone(),
        title: system.title.clone(),
        seed,
        cause: Cause::Data,
        reason: format!("its search failed: {error}"),
    };
    systems.iter().map(failure).collect()
}

/// `all` means all systems that the data can serve; the others are named and left out.
fn leave_out(run: &mut Run) {
    let mut told: Vec<(&str, &str)> = Vec::new();
    for failure in run.failures.iter().filter(|failure| failure.cause == Cause::Unserved) {
        if !told.contains(&(&failure.dataset, &failure.system)) {
            told.push((&failure.dataset, &failure.system));
            note(&format!("left out on {}: {} ({})", failure.dataset, failure.title, failure.reason));
        }
    }
    run.failures.retain(|failure| failure.cause != Cause::Unserved);
}

/// Failures as lines, one for a split whose systems and seeds all fail for the same reason.
fn reasons(failures: &[Failure]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for failure in failures {
        let of_split = |other: &&Failure| {
            (&other.dataset, other.regime, &other.split) == (&failure.dataset, failure.regime, &failure.split)
        };
        let alike = failures.iter().filter(of_split).all(|other| other.reason == failure.reason);
        let title = if alike { String::new() } else { format!(", {}", failure.title) };
        let Failure { dataset, regime, split, reason, .. } = failure;
        let line = format!("  {dataset}, {regime} {split}{title}: {reason}");
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// The end of a run of which a part failed: the rest is written and shown.
fn failed(run: &Run) -> Result<()> {
    let (failed, done) = (run.failures.len(), run.cells.len());
    if failed == 0 {
        return Ok(());
    }
    Err(CliError::Failed(format!(
        "{failed} of {} trainings failed; all others are written\n  help: the table says why; once the \
         cause is mended, the same command with --resume runs what failed",
        failed + done
    )))
}

/// The systems named, or those of the run; all must do what the task asks for.
fn chosen(arguments: &Reproduce, run: &str, task: Task) -> Result<Vec<System>> {
    let mut systems = systems::select(&arguments.models, run, &arguments.set)?;
    if task == Task::Ratings {
        // With `all`, those that predict ratings; named ones must all do so.
        let all = arguments.models.iter().any(|name| name == "all");
        systems.retain(|system| !all || system.settings.predicts_ratings());
        if let Some(system) = systems.iter().find(|system| !system.settings.predicts_ratings()) {
            return Err(CliError::Usage(format!(
                "{} predicts no ratings; `reproduce ranking --models {}` ranks items with it",
                system.name, system.name
            )));
        }
    }
    Ok(systems)
}

/// The data sets named, read.
fn loaded(arguments: &Reproduce, task: Task) -> Result<Vec<Dataset>> {
    let reading = &arguments.common.reading;
    let mut data = Vec::new();
    for name in &arguments.datasets {
        let loaded = search::load(name, arguments.data.as_deref(), reading, arguments.accept_licence)?;
        if task == Task::Ratings && loaded.table.require_values().is_err() {
            let none = loaded.table.values.iter().all(|value| value.is_nan());
            let shown =
                arguments.data.as_ref().map_or_else(|| name.clone(), |path| path.display().to_string());
            if none {
                return Err(CliError::Usage(format!(
                    "{shown} has no ratings to predict\n  help: `{} reproduce ranking {shown}` ranks items \
                     for clicks; or name the column of ratings with --value-column",
                    output::program()
                )));
            }
            loaded.table.require_values()?;
        }
        data.push(match reading.user_range() {
            Some(range) => dataset::restrict(loaded, range)?,
            None => loaded,
        });
    }
    once("data set name", &data.iter().map(|d| d.name.clone()).collect::<Vec<_>>())?;
    Ok(data)
}

/// How many cells run side by side.
fn jobs(arguments: &Reproduce, data: &[Dataset], device: &Device) -> usize {
    let rows = data.iter().map(|data| data.table.len());
    let usual = || grid::side_by_side(rows, rayon::current_num_threads(), device.name() == "flex");
    arguments.jobs.unwrap_or_else(usual)
}

/// Systems with settings tuned on the training rows of a data set, regime and seed.
type Searched = (String, Regime, u64, Vec<System>);

/// The run that ranks items instead of predicting ratings.
const RANKING: &str = "ranking";

/// The charts of the talk.
const CHARTS: [&str; 2] = [dataset::MOVIELENS, "netflix"];

/// Arguments with a chart's defaults filled in.
struct Charted {
    chart: String,
    arguments: Reproduce,
}

fn charted(arguments: &Reproduce) -> Result<Charted> {
    let mut arguments = arguments.clone();
    let chart = arguments.datasets[0].clone();
    if chart == RANKING {
        arguments.datasets.remove(0);
        if arguments.datasets.is_empty() {
            arguments.datasets.push(foretaste_data::embedded::NAME.to_owned());
        }
        if arguments.regime.is_empty() {
            arguments.regime = ["last-session", "future"].map(str::to_owned).to_vec();
        }
    }
    if CHARTS.contains(&chart.as_str()) && arguments.datasets.len() > 1 {
        return Err(CliError::Usage(format!("{chart} is a chart of its own; run the other data sets apart")));
    }
    if chart == dataset::MOVIELENS {
        arguments.datasets[0] = dataset::largest_movielens(arguments.data.as_deref())?;
        note(&format!("the talk's MovieLens chart on {}", arguments.datasets[0]));
        if arguments.datasets[0] != "ml-20m" {
            note("the talk used ml-20m; name its folder with --data to rebuild the chart itself");
        }
    }
    if arguments.regime.is_empty() {
        let regimes: &[&str] = if chart == "netflix" { &["future"] } else { &["random", "future"] };
        arguments.regime = regimes.iter().map(|r| (*r).to_owned()).collect();
    }
    if chart == "netflix" && arguments.window.is_none() && arguments.common.reading.user_range().is_none() {
        arguments.window = Some("netflix-full".into());
    }
    Ok(Charted { chart, arguments })
}

/// Rejects options that the regimes and the task of this run do not hear.
fn without_effect(arguments: &Reproduce, task: Task) -> Result<()> {
    let regime = |name: &str| arguments.regime.iter().any(|regime| regime == name);
    let (random, future) = (regime("random"), regime("future"));
    let shares = random && arguments.folds.is_none() && arguments.fold_file.is_none()
        || future && arguments.window.is_none();
    let options = [
        ("--session-gap", arguments.session_gap.is_some(), regime("last-session"), "--regime last-session"),
        (
            "--test",
            arguments.test.is_some(),
            shares,
            "--regime random (without folds) or future (without a window)",
        ),
        ("--folds", arguments.folds.is_some(), random, "--regime random"),
        ("--fold-file", arguments.fold_file.is_some(), random, "--regime random"),
        ("--leave-last", arguments.leave_last.is_some(), regime("per-user"), "--regime per-user"),
        ("--window", arguments.window.is_some(), future, "--regime future"),
        ("--no-clip", arguments.no_clip, task == Task::Ratings, "predicted ratings"),
    ];
    match options.iter().find(|(_, given, heard, _)| *given && !heard) {
        None => Ok(()),
        Some((option, _, _, belongs)) => Err(CliError::Usage(format!(
            "{option} would do nothing here: it belongs to {belongs}; leave it out"
        ))),
    }
}

/// Rejects repeated names: their cells would be counted twice.
fn once(what: &str, names: &[String]) -> Result<()> {
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        None => Ok(()),
        Some((_, name)) => {
            Err(CliError::Usage(format!("the {what} {name} comes twice; run them apart, with --out")))
        }
    }
}

fn seeds(arguments: &Reproduce) -> Result<Vec<u64>> {
    // By default there are as many seeds as folds.
    let text = arguments
        .seeds
        .clone()
        .unwrap_or_else(|| arguments.folds.map_or_else(|| "3".into(), |folds| folds.to_string()));
    let wrong = || CliError::Usage(format!("--seeds {text}: write a number of seeds (5) or a list (1,2,3)"));
    let seeds: Vec<u64> = if text.contains(',') {
        once("seed", &text.split(',').map(|s| s.trim().to_owned()).collect::<Vec<_>>())?;
        text.split(',')
            .filter(|s| !s.trim().is_empty())
            .map(|s| s.trim().parse().map_err(|_| wrong()))
            .collect::<Result<_>>()?
    } else {
        (0..text.trim().parse::<u64>().ok().filter(|n| *n <= 10_000).ok_or_else(wrong)?).collect()
    };
    match arguments.folds {
        _ if seeds.is_empty() => Err(wrong()),
        Some(folds) if seeds.iter().any(|s| *s >= folds as u64) => Err(CliError::Usage(format!(
            "--folds {folds}: each seed is one fold, so seeds go from 0 to {}",
            folds.saturating_sub(1)
        ))),
        _ => Ok(seeds),
    }
}

fn rules(arguments: &Reproduce) -> Result<Vec<SplitRule>> {
    let window = arguments.window.as_deref().map(str::parse::<Window>).transpose()?;
    // A fold file of a known data set is found out by its name.
    let reading = arguments.common.reading.options()?;
    let rules = arguments.regime.iter().map(|regime| match regime.as_str() {
        "random" => match (&arguments.folds, &arguments.fold_file) {
            (Some(folds), _) => SplitRule::KFold { folds: *folds, fold: 0 },
            (_, Some(test)) => SplitRule::FoldFile { test: test.clone(), reading: Box::new(reading.clone()) },
            _ => SplitRule::HoldOut { test: arguments.test.unwrap_or(0.1) },
        },
        "last-session" => SplitRule::LastSession { gap: arguments.session_gap.unwrap_or(1800) },
        "held-users" => SplitRule::HeldUsers { users: 0.1, asked: 0.1 },
        "per-user" => arguments
            .leave_last
            .map_or(SplitRule::PerUserShare { train: 0.7 }, |test| SplitRule::LeaveLast { test }),
        _ => window.map_or(SplitRule::Cut { test: arguments.test.unwrap_or(0.1) }, SplitRule::Window),
    });
    let rules: Vec<SplitRule> = rules.collect();
    // What is out of range in any data is told before anything is trained.
    rules.iter().try_for_each(SplitRule::check)?;
    Ok(rules)
}

/// `runs/<data sets>-<hash of everything that determines the results>`.
fn default_folder(
    arguments: &Reproduce,
    systems: &[System],
    seeds: &[u64],
    data: &[Dataset],
    device: &Device,
) -> PathBuf {
    let mut hasher = Sha256::new();
    let systems: Vec<_> = systems.iter().map(|s| (&s.name, s.settings.to_toml())).collect();
    let hashes: Vec<_> = data.iter().map(|d| &d.hash).collect();
    let split = (
        &arguments.regime,
        arguments.session_gap.unwrap_or(1800),
        arguments.test.unwrap_or(0.1),
        arguments.folds,
        &arguments.fold_file,
        arguments.leave_last,
        &arguments.window,
    );
    hasher.update(format!(
        "{systems:?}{seeds:?}{hashes:?}{split:?}{} {} {} {:?}",
        device.name(),
        arguments.validation,
        arguments.no_clip,
        arguments.tune
    ));
    let names: Vec<_> = data.iter().map(|d| d.name.as_str()).collect();
    Path::new("runs").join(format!("{}-{}", names.join("+"), &foretaste_data::hex(&hasher.finalize())[..8]))
}

/// A data set in a manifest.
fn described(data: &Dataset) -> serde_json::Value {
    json!({
        "name": data.name,
        "sha256": data.hash,
        "report": data.report,
        "scale": data.scale,
        "licence": data.manifest.as_ref().map(|manifest| &manifest.licence),
        "citation": data.manifest.as_ref().map(|manifest| &manifest.citation),
        "remarks": data.remarks,
    })
}

/// A system in a manifest.
fn stated(system: &System) -> serde_json::Value {
    json!({ "name": system.name, "model": system.settings.kind().name(), "settings": system.settings })
}

#[allow(clippy::too_many_arguments)] // One caller, which has all of it.
fn write(
    arguments: &Reproduce,
    (systems, searched): (&[System], &[Searched]),
    seeds: &[u64],
    data: &[Dataset],
    device: &Device,
    folder: &Path,
    run: &Run,
    clock: Instant,
) -> Result<()> {
    let shown = searched
        .iter()
        .find(|(.., found)| found.len() > systems.len())
        .map_or(systems, |(.., found)| found.as_slice());
    let titles: Vec<(String, String)> = shown.iter().map(|s| (s.name.clone(), s.title.clone())).collect();
    let official: Vec<&str> = data.iter().filter(|d| d.official).map(|d| d.name.as_str()).collect();
    let views = views::views(run, &titles, &official, !arguments.no_clip);
    let command = output::command_line();
    let cells = &run.cells;
    results::write(run, folder)?;
    let mut manifest = json!({
        "format": "foretaste-run/1",
        "version": env!("CARGO_PKG_VERSION"),
        "command": command,
        "seeds": seeds,
        "seconds": clock.elapsed().as_secs_f64(),
        "peak_memory_mb": cells.iter().filter_map(|c| c.measured.peak_memory_mb).max()
            .or_else(machine::peak_memory_mb),
        "validation": arguments.validation,
        "clip": !arguments.no_clip,
        "device": device.name(),
        "threads": rayon::current_num_threads(),
        "machine": Machine::here(),
    });
    manifest["datasets"] = data.iter().map(described).collect();
    manifest["failures"] = json!(run.failures);
    manifest["systems"] = systems.iter().map(stated).collect();
    let tuned = |(data, regime, seed, found): &Searched| {
        let systems: serde_json::Value = found.iter().map(stated).collect();
        let trials = arguments.tune;
        json!({ "dataset": data, "regime": regime, "seed": seed, "trials": trials, "systems": systems })
    };
    manifest["tuned"] = searched.iter().map(tuned).collect();
    manifest["regimes"] = views
        .iter()
        .map(|view| {
            let (dataset, regime, split) = &view.key;
            json!({ "dataset": dataset, "regime": regime, "split": split, "leaks_time": regime.leak() })
        })
        .collect();
    let manifest = results::json(&manifest)?;
    atomic::write(&folder.join("manifest.json"), &manifest)?;

    let remarks: Vec<String> = data
        .iter()
        .flat_map(|d| {
            d.remarks.iter().cloned().chain(d.manifest.as_ref().map(|m| {
                let title = if d.official { &m.title } else { &d.name };
                format!("{title}: {}", m.citation)
            }))
        })
        .collect();
    let sections = views.iter().map(|view| section(view, folder)).collect::<Result<Vec<_>>>()?;
    let mut markdown = format!("`{command}`\n");
    for (page, _) in &sections {
        markdown.push('\n');
        markdown.push_str(&page.markdown());
    }
    atomic::write(&folder.join("table.md"), markdown.as_bytes())?;
    let title = format!("Foretaste: {}", data.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", "));
    let shown: Vec<Section> = sections.iter().map(|(page, charts)| Section { page, charts }).collect();
    let page = report::html(&title, &command, &remarks, &shown, &String::from_utf8_lossy(&manifest));
    atomic::write(&folder.join("report.html"), page.as_bytes())?;

    for remark in data.iter().flat_map(|d| &d.remarks) {
        note(remark);
    }
    if arguments.common.json {
        let failures = &run.failures;
        print(&serde_json::json!({ "folder": folder, "cells": cells, "failures": failures }).to_string());
    } else {
        for (page, _) in &sections {
            print(&page.terminal());
        }
        print(&format!("report: {}", folder.join("report.html").display()));
    }
    Ok(())
}

/// A view's page and charts; charts are also files.
fn section(view: &View, folder: &Path) -> Result<(Page, Vec<String>)> {
    let (name, regime, split) = &view.key;
    let stem = file_stem(name, *regime, split);
    if view.ranks() {
        return Ok((lists::page(view), lists::charts(view, folder, &stem)?));
    }
    if view.rows.is_empty() {
        return Ok((ratings::page(view), Vec::new()));
    }
    let bars = chart::bars(view, folder, &format!("rmse-{stem}"))?;
    let curves = chart::curves(view, folder, &format!("curves-{stem}"))?;
    Ok((ratings::page(view), vec![bars, curves]))
}
