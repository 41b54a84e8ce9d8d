//! The project's development tasks, thin commands that build and run other crates: `cargo xtask help`.
//!
//! Depends on no crate of ours, so that it builds in seconds.

mod backend;
mod bench;
mod ci;
mod driver;
mod instructions;
mod slowest;
mod tidy;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use xshell::Shell;

const HELP: &str = "\
cargo xtask TASK [ARGUMENTS]

  reproduce [..]   train and evaluate the rating systems, print the RMSE table, write the report
  tune MODEL [..]  search the settings of a system, test the best ones beside its defaults
  automl [..]      let all systems compete for a budget's time; join, test and save the best
  recommend [..]   train a system on a log, name the best items for users
  import [..]      read a log, write interactions Parquet
  sessions [..]    read a log, write sessions Parquet
  fetch NAME [..]  download a data set
  datasets         list the known data sets
  test [..]        run all tests (arguments go to the test runner; FORETASTE_FEATURES=wgpu: with the GPU
                   backend, on a software driver)
  ci               what CI runs: tidy, formatting, clippy, docs, packages, tests, slow tests
  tidy             the repository rules as tests
  package          every crate as it would be published, built from what it holds
  parity           GPU parity tests on a software Vulkan driver, which is fetched when missing
  cluster [..]     sessions of any size on DataFusion or Ballista, and a small Ballista cluster
  test-cluster     its formatting, clippy and tests
  bench [..]       criterion benchmarks
  bench rivals     this project and its peers on the same work, side by side
  bench rivals-models   the rating models and theirs (myFM, Surprise, PyTorch; 5 GB of packages)
  bench rivals-hrnn     HRNN's training and PyTorch's, and how it grows with the data (the same packages)
  bench rivals-hrnn-prototype  HRNN's training and that of its prototype in JAX
  bench rivals-deepfm   DeepFM and DeepCTR-Torch's on the same fields (the same packages)
  bench rivals-ranking  item-kNN, iALS and lists for all users beside implicit
  bench rivals-quality  quality of iALS's and EASE's lists beside implicit's and RecPack's
  bench rivals-size     sessions of a simulated Netflix Prize beside DuckDB and Polars
  bench rivals-factorization   matrix factorization at that size beside LIBMF
  bench rivals-automl   AutoML beside an Optuna search over Surprise's algorithms (the same packages; hours)
  bench effects         systems on simulated worlds with and without drift and sessions
  bench tuning          the gain of tuning every model over its defaults on MovieLens 1M (hours)
  bench pruning         the savings of ending HRNN's trials early
  bench memory          memory per interaction, system by system
  bench instructions    hot paths' instructions (callgrind) beside stored ones; --write stores them
  bench selection       whether AutoML chooses the right algorithm, on ten data sets
  bench cluster         sessions of a simulated MovieLens 20M on a Ballista cluster, an executor killed
  bench spark           whether the Spark recipe builds the same sessions (installs PySpark, needs Java)
  bench rivals-search   hyper-parameter search beside Optuna and egobox (the same packages as rivals-models)

reproduce, tune, automl, recommend, import, sessions, simulate, fetch and datasets take --help.
reproduce, tune, automl and recommend are built for a GPU where one is found, all else for the CPU alone.
FORETASTE_FEATURES decides where it is set: none (the CPU), wgpu (any vendor's GPU), vulkan, cuda.
";

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[allow(clippy::print_stderr, clippy::print_stdout)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) =
        arguments.split_first().map_or(("help", [].as_slice()), |(task, rest)| (task.as_str(), rest));
    let outcome = match task {
        "reproduce" | "tune" | "automl" | "recommend" | "import" | "sessions" | "simulate" | "fetch"
        | "datasets" => {
            return program(task, rest);
        }
        "test" => shell().and_then(|sh| ci::test(&sh, rest)),
        "ci" => shell().and_then(|sh| ci::all(&sh, rest)),
        "tidy" => shell().and_then(|sh| tidy::check(&sh)),
        "package" => shell().and_then(|sh| ci::package(&sh)),
        "parity" => shell().and_then(|sh| ci::parity(&sh)),
        "cluster" => return cluster(rest),
        "test-cluster" => shell().and_then(|sh| ci::cluster(&sh)),
        "bench" if rest.first().is_some_and(|what| what == "instructions") => {
            shell().and_then(|sh| instructions::check(&sh, &rest[1..]))
        }
        "bench" => {
            shell().and_then(|sh| bench::rivals(&sh, rest).unwrap_or_else(|| bench::criterion(&sh, rest)))
        }
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("unknown task {other:?}\n\n{HELP}").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The build folder of the workspace in `of`.
fn builds(sh: &Shell, of: &str) -> PathBuf {
    let own = || sh.current_dir().join(of).join("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(own, PathBuf::from)
}

/// A shell in the workspace's root.
fn shell() -> Result<Shell, Box<dyn std::error::Error>> {
    let sh = Shell::new()?;
    sh.change_dir(root());
    Ok(sh)
}

/// The workspace's root: of the checkout that cargo runs us in, even when two checkouts share a build
/// folder and this program was built in the other one.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.join("..")
}

/// Builds and runs the `foretaste` program in the user's working directory.
#[allow(clippy::print_stderr)]
fn program(task: &str, arguments: &[String]) -> ExitCode {
    let backend::Choice { features, said } =
        backend::choose(task, arguments, std::env::var("FORETASTE_FEATURES").ok(), backend::gpu);
    if let Some(said) = said {
        eprintln!("{said}");
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .env("FORETASTE_PROGRAM", "cargo xtask")
        .args(["run", "--release", "--package", "foretaste"])
        .args(backend::features(task, &features))
        .arg("--manifest-path")
        .arg(root().join("Cargo.toml"))
        .args(["--", task])
        .args(arguments);
    in_place(command)
}

/// Builds and runs the program of `crates/cluster`, which is a workspace of its own.
fn cluster(arguments: &[String]) -> ExitCode {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["run", "--release", "--manifest-path"])
        .arg(root().join("crates/cluster/Cargo.toml"))
        .arg("--")
        .args(arguments);
    in_place(command)
}

/// Runs a command in the user's working directory.
#[allow(clippy::print_stderr)]
fn in_place(mut command: Command) -> ExitCode {
    // If possible, the program replaces this process, so that Ctrl-C and exit status are its own.
    #[cfg(unix)]
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    #[cfg(not(unix))]
    let error = match command.status() {
        Ok(status) => return ExitCode::from(status.code().map_or(130, |code| code as u8)),
        Err(error) => error,
    };
    eprintln!("error: cargo did not start: {error}");
    ExitCode::FAILURE
}
