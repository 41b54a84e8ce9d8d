//! This project and its peers on the same work, in one run.

use crate::Outcome;
use std::path::PathBuf;
use xshell::{Shell, cmd};

/// A comparison: its script, its packages, how pip takes them, and the environment's name.
struct Comparison {
    script: &'static str,
    requirements: &'static str,
    options: &'static [&'static str],
    environment: &'static str,
}

/// The comparison that a task names.
fn named(task: &str) -> Option<Comparison> {
    let models = Comparison { script: "models.py", requirements: "requirements-models.txt", options: &["--no-deps"], environment: "rivals-models-venv" };
    Some(match task {
        // Sessions, biases and matrix factorization.
        "rivals" => Comparison { script: "run.py", requirements: "requirements.txt", options: &[], environment: "rivals-venv" },
        "rivals-size" => Comparison { script: "size.py", requirements: "requirements.txt", options: &[], environment: "rivals-venv" },
        "rivals-factorization" => {
            Comparison { script: "factorization.py", requirements: "requirements-factorization.txt", options: &[], environment: "rivals-factorization-venv" }
        }
        // The other rating models; PyTorch's packages take 5 GB.
        "rivals-models" => models,
        // HRNN's training.
        "rivals-hrnn" => Comparison { script: "hrnn.py", ..models },
        "rivals-deepfm" => Comparison { script: "deepfm.py", ..models },
        // Neighbours, factors and lists: how fast, and how good (RecPack wants PyTorch).
        "rivals-ranking" => Comparison { script: "ranking.py", requirements: "requirements-ranking.txt", options: &[], environment: "rivals-ranking-venv" },
        "rivals-quality" => Comparison { script: "ranking_quality.py", ..models },
        // Optuna's GP sampler wants PyTorch.
        "rivals-search" => Comparison { script: "search.py", ..models },
        "rivals-automl" => Comparison { script: "automl.py", ..models },
        "spark" => Comparison { script: "spark.py", requirements: "requirements-spark.txt", options: &[], environment: "spark-venv" },
        // No peers: what effects of a simulated world do, what tuning gains and pruning saves, and whether AutoML chooses right.
        "effects" => Comparison { script: "effects.py", ..models },
        "tuning" => Comparison { script: "tuning.py", ..models },
        "pruning" => Comparison { script: "pruning.py", ..models },
        "selection" => Comparison { script: "selection.py", ..models },
        _ => return None,
    })
}

/// Runs the comparison that the first argument names; none where it names none.
pub fn rivals(sh: &Shell, arguments: &[String]) -> Option<Outcome> {
    let comparison = named(arguments.first()?)?;
    Some(measure(sh, &comparison, &arguments[1..]))
}

/// The criterion benchmarks; arguments go to them.
pub fn criterion(sh: &Shell, arguments: &[String]) -> Outcome {
    cmd!(sh, "cargo bench --package foretaste-benches --no-default-features -- {arguments...}").run()?;
    Ok(())
}

/// Builds the program, makes a Python environment with the peers, and lets the comparison's script
/// measure them in turn. Arguments go to it: `--data FOLDER` names where `ml-1m` lies.
fn measure(sh: &Shell, comparison: &Comparison, arguments: &[String]) -> Outcome {
    let Comparison { script, requirements, options, environment } = comparison;
    let options = options.iter();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sh.current_dir().join("target"), PathBuf::from);
    cmd!(sh, "cargo build --release --package foretaste-bench --package foretaste-models --package foretaste-hpo --bins --examples").run()?;
    let environment = target.join(environment);
    let python = environment.join("bin/python");
    if !python.is_file() {
        // LIBMF comes as source; so its own Makefile would build it.
        let _flags = cfg!(target_arch = "x86_64").then(|| sh.push_env("CFLAGS", "-O3 -mavx -DUSEAVX"));
        cmd!(sh, "python3 -m venv {environment}").run().map_err(|e| format!("{e}\n  help: the peers need Python 3.11 or newer with the venv module"))?;
        cmd!(sh, "{python} -m pip install --quiet {options...} --requirement benches/rivals/{requirements}").run()?;
    }
    let program = target.join("release/foretaste");
    cmd!(sh, "{python} benches/rivals/{script} --foretaste {program} {arguments...}").run()?;
    Ok(())
}
