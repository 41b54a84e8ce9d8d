//! Searches of test functions, as JSON lines: what `cargo xtask bench rivals-search` measures beside other
//! tools.
//!
//! `curves quality SAMPLER FUNCTION SEEDS TRIALS [TABLE]` prints each seed's trials; `curves speed SAMPLER
//! TRIAL DIMENSIONS` the seconds of asking for that trial; `curves memory TRIALS` holds so many trials of ten
//! settings.

#![allow(clippy::print_stdout)]

use foretaste_hpo::{Budget, Configuration, Running, Space, Study, StudySettings, Value};
use std::f64::consts::PI;
use std::io::Write;
use std::time::Instant;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["quality", sampler, function, seeds, trials, table @ ..] => {
            quality(sampler, function, seeds.parse()?, trials.parse()?, table.first().copied())
        }
        ["speed", sampler, trial, dimensions] => speed(sampler, trial.parse()?, dimensions.parse()?),
        ["memory", trials] => memory(trials.parse()?),
        _ => Err("curves quality SAMPLER FUNCTION SEEDS TRIALS [TABLE] | speed SAMPLER TRIAL DIMENSIONS | \
            memory TRIALS"
            .into()),
    }
}

/// The space of a function; the other tools' programs have the same bounds.
fn space(function: &str) -> Outcome<Space> {
    let floats = |n: usize, low: f64, high: f64| {
        (0..n)
            .map(|i| format!("x{i} = {{ type = \"float\", low = {low:?}, high = {high:?} }}\n"))
            .collect::<String>()
    };
    Ok(match function {
        "branin" => {
            "x0 = { type = \"float\", low = -5.0, high = 10.0 }\nx1 = { type = \"float\", low = 0.0, \
         high = 15.0 }"
                .parse()?
        }
        "hartmann6" => floats(6, 0.0, 1.0).parse()?,
        "ackley10" => floats(10, -5.0, 10.0).parse()?,
        "rosenbrock4" => floats(4, -2.0, 2.0).parse()?,
        "mixed" => r#"
            kind = { type = "categorical", choices = ["linear", "tree", "network"] }
            rate = { type = "float", low = 0.0001, high = 1.0, log = true, when.kind = ["linear", "network"] }
            penalty = { type = "float", low = 0.0, high = 1.0, when = { kind = "linear" } }
            leaves = { type = "integer", low = 2, high = 256, log = true, when = { kind = "tree" } }
            depth = { type = "integer", low = 1, high = 4, when.kind = "network" }
            size = { type = "integer", low = 8, high = 512, log = true, when.kind = "network" }
            size_2 = { type = "integer", low = 8, high = 512, log = true, when.depth.at_least = 2 }
            activation = { type = "categorical", choices = ["relu", "tanh", "gelu"], when.kind = "network" }
        "#
        .parse()?,
        "table" => r#"
            depth = { type = "integer", low = 0, high = 3 }
            size = { type = "integer", low = 0, high = 2, when = { depth = { at_least = 1 } } }
            dropout = { type = "integer", low = 0, high = 1, when = { depth = { at_least = 1 } } }
            factors = { type = "integer", low = 0, high = 2 }
            learning_rate = { type = "integer", low = 0, high = 3 }
            weight_decay = { type = "integer", low = 0, high = 2 }
        "#
        .parse()?,
        other => return Err(format!("unknown function {other}").into()),
    })
}

/// The noise-free value.
fn value(function: &str, at: &Configuration, table: Option<&serde_json::Value>) -> f64 {
    let number = |name: &str| at.get(name).and_then(Value::number).unwrap_or(f64::NAN);
    let x: Vec<f64> = (0..).map_while(|i| at.get(&format!("x{i}")).and_then(Value::number)).collect();
    match function {
        "branin" => {
            (x[1] - 5.1 / (4.0 * PI * PI) * x[0] * x[0] + 5.0 / PI * x[0] - 6.0).powi(2)
                + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x[0].cos()
                + 10.0
        }
        "hartmann6" => {
            const A: [[f64; 6]; 4] = [
                [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
                [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
                [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
                [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
            ];
            const P: [[f64; 6]; 4] = [
                [1312.0, 1696.0, 5569.0, 124.0, 8283.0, 5886.0],
                [2329.0, 4135.0, 8307.0, 3736.0, 1004.0, 9991.0],
                [2348.0, 1451.0, 3522.0, 2883.0, 3047.0, 6650.0],
                [4047.0, 8828.0, 8732.0, 5743.0, 1091.0, 381.0],
            ];
            let hill = |i: usize| (0..6).map(|j| A[i][j] * (x[j] - 1e-4 * P[i][j]).powi(2)).sum::<f64>();
            -[1.0, 1.2, 3.0, 3.2].iter().enumerate().map(|(i, a)| a * (-hill(i)).exp()).sum::<f64>()
        }
        "ackley10" => {
            let (squares, waves) = (
                x.iter().map(|v| v * v).sum::<f64>() / 10.0,
                x.iter().map(|v| (2.0 * PI * v).cos()).sum::<f64>() / 10.0,
            );
            -20.0 * (-0.2 * squares.sqrt()).exp() - waves.exp() + 20.0 + 1f64.exp()
        }
        "rosenbrock4" => {
            x.windows(2).map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum()
        }
        "mixed" => {
            let text =
                |name: &str| if let Some(Value::Text(text)) = at.get(name) { text.as_str() } else { "" };
            let rate = number("rate").log10();
            match text("kind") {
                "linear" => 0.35 + 0.05 * (rate + 1.0).powi(2) + 0.3 * (number("penalty") - 0.2).powi(2),
                "tree" => 0.3 + 0.04 * (number("leaves").log2() - 5.0).powi(2),
                _ => {
                    let depth = number("depth");
                    let second =
                        if depth >= 2.0 { 0.02 * (number("size_2").log2() - 6.0).powi(2) } else { 0.08 };
                    let activation = match text("activation") {
                        "relu" => 0.05,
                        "gelu" => 0.0,
                        _ => 0.12,
                    };
                    0.1 + 0.08 * (rate + 2.5).powi(2)
                        + 0.03 * (depth - 3.0).powi(2)
                        + 0.02 * (number("size").log2() - 7.0).powi(2)
                        + second
                        + activation
                }
            }
        }
        _ => {
            let part = |name: &str| at.get(name).map_or("-".to_owned(), ToString::to_string);
            let key =
                ["depth", "size", "dropout", "factors", "learning_rate", "weight_decay"].map(part).join(",");
            table.and_then(|t| t.get("values")?.get(&key)?.as_f64()).unwrap_or(f64::NAN)
        }
    }
}

/// Normal noise of deviation 1 for Rosenbrock's function, from the trial's seed; 0 elsewhere.
fn noise(function: &str, seed: u64) -> f64 {
    if function != "rosenbrock4" {
        return 0.0;
    }
    let unit = |s: u64| ((s >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    (-2.0 * unit(seed).ln()).sqrt()
        * (2.0 * PI * unit(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ 0x5851_f42d_4c95_7f2d))
            .cos()
}

fn quality(sampler: &str, function: &str, seeds: u64, trials: usize, table: Option<&str>) -> Outcome {
    let table: Option<serde_json::Value> =
        table.map(|path| -> Outcome<_> { Ok(serde_json::from_slice(&std::fs::read(path)?)?) }).transpose()?;
    let mut out = std::io::stdout().lock();
    for seed in 0..seeds {
        let settings = StudySettings { sampler: sampler.parse()?, seed, ..StudySettings::default() };
        let study = Study::in_memory(space(function)?, settings)?;
        let clock = Instant::now();
        let observed = |trial: &mut Running| {
            Ok(value(function, trial.configuration(), table.as_ref()) + noise(function, trial.seed()))
        };
        study.optimize(&Budget::trials(trials), observed)?;
        let seconds = clock.elapsed().as_secs_f64();
        let rows: Vec<_> = study
            .trials()?
            .iter()
            .map(|t| (t.configuration.clone(), t.value, value(function, &t.configuration, table.as_ref())))
            .collect();
        writeln!(out, "{}", serde_json::json!({ "seed": seed, "seconds": seconds, "trials": rows }))?;
    }
    Ok(())
}

fn sphere(trial: &mut Running) -> Result<f64, foretaste_hpo::Halt> {
    trial
        .configuration()
        .values()
        .map(|v| v.number().map(|v| (v - 0.3).powi(2)))
        .sum::<Option<f64>>()
        .ok_or(foretaste_hpo::Halt::Interrupted)
}

fn unit_cube(dimensions: usize) -> Outcome<Space> {
    Ok((0..dimensions)
        .map(|i| format!("x{i} = {{ type = \"float\", low = 0.0, high = 1.0 }}\n"))
        .collect::<String>()
        .parse()?)
}

/// Random trials up to the one that is asked for, then the time of asking: five times, the middle one.
fn speed(sampler: &str, trial: usize, dimensions: usize) -> Outcome {
    let study = |name: &str| -> Outcome<Study> {
        Ok(Study::in_memory(
            unit_cube(dimensions)?,
            StudySettings { sampler: name.parse()?, ..StudySettings::default() },
        )?)
    };
    // As in a real search, the last parameters of the process are available.
    let searched = study(sampler)?;
    let random = study("random")?;
    random.optimize(&Budget::trials(trial), |_| Ok(0.0))?;
    for earlier in random.trials()? {
        searched.enqueue(&earlier.configuration)?;
    }
    searched.optimize(&Budget::trials(trial), sphere)?;
    let mut seconds = Vec::new();
    for _ in 0..7 {
        let clock = Instant::now();
        let mut asked = searched.ask(None)?.ok_or("no trial")?;
        seconds.push(clock.elapsed().as_secs_f64());
        let outcome = sphere(&mut asked);
        asked.tell(outcome)?;
    }
    // The first has no parameters to start from; the others do, as in any search.
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    println!("{}", serde_json::json!({ "sampler": sampler, "seconds": seconds[3], "all": seconds }));
    Ok(())
}

fn memory(trials: usize) -> Outcome {
    let study = Study::in_memory(
        unit_cube(10)?,
        StudySettings { sampler: "random".parse()?, ..StudySettings::default() },
    )?;
    study.optimize(&Budget::trials(trials), sphere)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("{}", serde_json::json!({ "trials": study.trials()?.len(), "peak": peak }));
    Ok(())
}
