//! The steps of CI, ordered to fail fast.

use crate::{Outcome, builds, driver, slowest, tidy};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use xshell::{Shell, cmd};

/// All tests, with nextest where it is installed. `FORETASTE_FEATURES` may name a GPU backend, which is then
/// compared with the CPU on a software driver; without it, only code shared by backends is compared.
pub fn test(sh: &Shell, arguments: &[String]) -> Outcome {
    let features = std::env::var("FORETASTE_FEATURES")
        .ok()
        .filter(|features| !features.is_empty() && features != "none");
    let features = features.unwrap_or_else(|| "burn".to_owned());
    let _driver = if features.contains("wgpu") { driver::in_use(sh)? } else { Vec::new() };
    let with = &["--features".to_owned(), features];
    if cmd!(sh, "cargo nextest --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        cmd!(sh, "cargo test --workspace --no-fail-fast {with...} {arguments...}").run()?;
        return Ok(());
    }
    // nextest leaves the examples in the docs out.
    if arguments.is_empty() {
        step("tests in the docs", || {
            Ok(cmd!(sh, "cargo test --workspace --doc --no-fail-fast {with...}").run()?)
        })?;
    }
    step("building the tests", || Ok(cmd!(sh, "cargo nextest run --workspace --no-run {with...}").run()?))?;
    let report = sh.current_dir().join(slowest::REPORT);
    let _ = std::fs::remove_file(&report);
    nextest(sh, &[&["--no-fail-fast".to_owned()], with.as_slice(), arguments].concat(), || {
        slowest::tell(&report);
    })
}

/// Runs nextest; `between` comes before its own count, which ends the output.
#[allow(clippy::print_stderr)]
fn nextest(sh: &Shell, arguments: &[String], between: impl FnOnce()) -> Outcome {
    let mut command = Command::from(cmd!(sh, "cargo nextest run --workspace"));
    let mut child = command.args(arguments).stderr(Stdio::piped()).spawn()?;
    let mut count = None;
    for line in BufReader::new(child.stderr.take().ok_or("nextest has no standard error")?).lines() {
        let line = line?;
        if line.trim_start().starts_with("Summary [") {
            count = Some(line);
        } else {
            eprintln!("{line}");
        }
    }
    let status = child.wait()?;
    between();
    eprintln!("{}", count.unwrap_or_default());
    if status.success() { Ok(()) } else { Err("tests failed".into()) }
}

/// All steps, or all but the tests for a caller that runs them itself.
pub fn all(sh: &Shell, arguments: &[String]) -> Outcome {
    step("tidy", || tidy::check(sh))?;
    step("formatting", || Ok(cmd!(sh, "cargo fmt --all --check").run()?))?;
    // One check of all dependencies for both.
    step("clippy", || {
        Ok(cmd!(sh, "cargo clippy --workspace --features wgpu,stock-gru --all-targets -- -D warnings")
            .run()?)
    })?;
    step("docs", || {
        let _flags = sh.push_env("RUSTDOCFLAGS", "-D warnings");
        Ok(cmd!(sh, "cargo doc --workspace --features wgpu,stock-gru --no-deps").run()?)
    })?;
    // With default features, so that none hides what another lacks: every target, then each crate as it would
    // be published.
    step("check, CPU alone", || Ok(cmd!(sh, "cargo check --workspace --all-targets").run()?))?;
    step("packages", || package(sh))?;
    if arguments.iter().any(|a| a == "--without-tests") {
        return Ok(());
    }
    let _slow = sh.push_env("FORETASTE_SLOW_TESTS", "1");
    step("tests", || test(sh, &[]))
}

/// Every crate as `cargo publish` would package it, built from its package; and no library has data that is
/// not ours.
pub fn package(sh: &Shell) -> Outcome {
    for library in ["data", "metrics", "models", "hpo", "automl"] {
        let tree = cmd!(sh, "cargo tree --package foretaste-{library} --edges normal --prefix none")
            .quiet()
            .read()?;
        if tree.contains("foretaste-ml-latest-small") {
            return Err(format!(
                "foretaste-{library} includes MovieLens ratings by default\n  help: they are for the program \
                 alone; ask for the feature in dev-dependencies"
            )
            .into());
        }
    }
    // Only whether it builds matters, not its speed; a package does not have the workspace's profiles.
    let _level = sh.push_env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
    let _debug = sh.push_env("CARGO_PROFILE_DEV_DEBUG", "false");
    // A package of the same version is for cargo the same package, whatever it holds by now: they have a
    // build folder of their own, and what was built of them in it goes.
    let folder = builds(sh, "").join("packages");
    forget_packages(sh, &folder)?;
    Ok(cmd!(sh, "cargo package --workspace --allow-dirty --quiet --target-dir {folder}").run()?)
}

fn ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("foretaste-") || name.starts_with("own-model-")
}

/// Removes what cargo unpacked and built of our packages in an earlier run.
fn forget_packages(sh: &Shell, builds: &Path) -> Outcome {
    let home = std::env::home_dir().ok_or("there is no home folder")?.join(".cargo");
    let home = std::env::var_os("CARGO_HOME").map_or(home, PathBuf::from);
    for kind in ["src", "cache"] {
        for registry in sh.read_dir(home.join("registry").join(kind)).unwrap_or_default() {
            for package in sh.read_dir(&registry).unwrap_or_default() {
                if package.file_name().is_some_and(ours) {
                    sh.remove_path(&package)?;
                }
            }
        }
    }
    let built = sh.read_dir(builds.join("debug/.fingerprint")).unwrap_or_default();
    for of in built.iter().filter(|path| path.file_name().is_some_and(ours)) {
        sh.remove_path(of)?;
    }
    Ok(())
}

/// `crates/cluster`, which is a workspace of its own: formatting, clippy, and its tests with a Ballista
/// cluster on loopback.
pub fn cluster(sh: &Shell) -> Outcome {
    let manifest = ["--manifest-path", "crates/cluster/Cargo.toml"];
    step("formatting", || Ok(cmd!(sh, "cargo fmt {manifest...} --check").run()?))?;
    step("clippy", || Ok(cmd!(sh, "cargo clippy {manifest...} --all-targets -- -D warnings").run()?))?;
    step("tests", || Ok(cmd!(sh, "cargo test {manifest...}").run()?))
}

/// Runs one step and reports how long it took.
#[allow(clippy::print_stderr)]
fn step(name: &str, run: impl FnOnce() -> Outcome) -> Outcome {
    let clock = Instant::now();
    let outcome = run();
    eprintln!(
        "{name}: {} after {:.0} s",
        if outcome.is_ok() { "passed" } else { "failed" },
        clock.elapsed().as_secs_f64()
    );
    outcome
}

/// Loss, gradients and training steps on wgpu against the CPU backend: the tests of parity alone, from the
/// same build.
pub fn parity(sh: &Shell) -> Outcome {
    let _driver = driver::in_use(sh)?;
    cmd!(sh, "cargo test --workspace --features wgpu --lib -- parity auto_never").run()?;
    Ok(())
}
