//! Comparisons of this project and its peers on the same work, in one run.

use crate::{Outcome, builds};
use std::error::Error;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// A comparison: its script, and for its peers the packages, the pip options, and the environment's
/// name.
struct Comparison {
    script: &'static str,
    peers: Option<Peers>,
}

/// A Python environment.
struct Peers {
    requirements: &'static str,
    options: &'static [&'static str],
    environment: &'static str,
}

/// The comparison named by a task.
fn named(task: &str) -> Option<Comparison> {
    let alone = |script| Comparison { script, peers: None };
    let of = |script, requirements, environment| Comparison {
        script,
        peers: Some(Peers { requirements, options: &[], environment }),
    };
    // PyTorch's packages take 5 GB.
    let models = |script| Comparison {
        script,
        peers: Some(Peers {
            requirements: "requirements-models.txt",
            options: &["--no-deps"],
            environment: "rivals-models-venv",
        }),
    };
    Some(match task {
        // Sessions, biases and matrix factorization.
        "rivals" => of("run.py", "requirements.txt", "rivals-venv"),
        "rivals-size" => of("size.py", "requirements.txt", "rivals-venv"),
        "rivals-factorization" => {
            of("factorization.py", "requirements-factorization.txt", "rivals-factorization-venv")
        }
        // The other rating models.
        "rivals-models" => models("models.py"),
        // HRNN's training.
        "rivals-hrnn" => models("hrnn.py"),
        "rivals-hrnn-prototype" => of("hrnn_prototype.py", "requirements-jax.txt", "rivals-jax-venv"),
        "rivals-deepfm" => models("deepfm.py"),
        // Neighbours, factors and lists: how fast, and how good (RecPack wants PyTorch).
        "rivals-ranking" => of("ranking.py", "requirements-ranking.txt", "rivals-ranking-venv"),
        "rivals-quality" => models("ranking_quality.py"),
        // Optuna's GP sampler wants PyTorch.
        "rivals-search" => models("search.py"),
        "rivals-automl" => models("automl.py"),
        "cluster" => of("cluster.py", "requirements.txt", "rivals-venv"),
        "spark" => of("spark.py", "requirements-spark.txt", "spark-venv"),
        // Effects of a simulated world, the gain of tuning, the savings of pruning, whether AutoML chooses
        // right, and the memory per interaction.
        "effects" => alone("effects.py"),
        "tuning" => alone("tuning.py"),
        "pruning" => alone("pruning.py"),
        "selection" => alone("selection.py"),
        "memory" => alone("memory.py"),
        _ => return None,
    })
}

/// Runs the comparison that the first argument names; `None` if it names none.
pub fn rivals(sh: &Shell, arguments: &[String]) -> Option<Outcome> {
    let comparison = named(arguments.first()?)?;
    Some(measure(sh, &comparison, &arguments[1..]))
}

/// The criterion benchmarks; arguments go to them.
pub fn criterion(sh: &Shell, arguments: &[String]) -> Outcome {
    cmd!(sh, "cargo bench -- {arguments...}").run()?;
    Ok(())
}

/// Builds the program, creates a Python environment with the peers if there are any, and lets the
/// comparison's script measure in turn. Arguments are passed to it: `--data FOLDER` is the folder of `ml-1m`.
fn measure(sh: &Shell, comparison: &Comparison, arguments: &[String]) -> Outcome {
    let script = comparison.script;
    let target = builds(sh, "");
    // burn's own layers are built for the one comparison with them.
    let stock: &[&str] =
        if script == "hrnn.py" { &["--features", "foretaste-benches/stock-gru"] } else { &[] };
    cmd!(sh, "cargo build --release --bins --examples {stock...}").run()?;
    let python = match &comparison.peers {
        None => PathBuf::from("python3"),
        Some(peers) => environment(sh, &target, peers)?,
    };
    let program = target.join("release/foretaste");
    let mut more = Vec::new();
    if script == "cluster.py" {
        // It has its own workspace and build folder.
        cmd!(sh, "cargo build --release --manifest-path crates/cluster/Cargo.toml").run()?;
        let own = builds(sh, "crates/cluster");
        more = vec!["--cluster".into(), own.join("release/foretaste-cluster")];
    }
    cmd!(sh, "{python} benches/rivals/{script} --foretaste {program} {more...} {arguments...}").run()?;
    Ok(())
}

/// The interpreter of the peers' environment, which is created if it does not exist yet.
fn environment(sh: &Shell, target: &Path, peers: &Peers) -> Result<PathBuf, Box<dyn Error>> {
    let Peers { requirements, options, environment } = peers;
    let options = options.iter();
    let environment = target.join(environment);
    let python = environment.join("bin/python");
    if !python.is_file() {
        // LIBMF comes as source; this is how its own Makefile would build it.
        let _flags = cfg!(target_arch = "x86_64").then(|| sh.push_env("CFLAGS", "-O3 -mavx -DUSEAVX"));
        cmd!(sh, "python3 -m venv {environment}")
            .run()
            .map_err(|e| format!("{e}\n  help: the peers need Python 3.11 or newer with the venv module"))?;
        cmd!(sh, "{python} -m pip install --quiet {options...} --requirement benches/rivals/{requirements}")
            .run()?;
    }
    Ok(python)
}
