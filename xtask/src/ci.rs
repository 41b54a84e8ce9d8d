//! What CI runs, in the order in which it fails fastest.

use crate::{Outcome, driver, tidy};
use std::time::Instant;
use xshell::{Shell, cmd};

/// All tests on the CPU backend, with nextest where it is installed, then the examples in the docs.
pub fn test(sh: &Shell, arguments: &[String]) -> Outcome {
    if cmd!(sh, "cargo nextest --version").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
        cmd!(sh, "cargo test --workspace --doc").run()?;
        cmd!(sh, "cargo nextest run --workspace --no-fail-fast {arguments...}").run()?;
    } else {
        cmd!(sh, "cargo test --workspace --no-fail-fast {arguments...}").run()?;
    }
    Ok(())
}

/// Everything, or everything but the tests for a caller that runs them itself.
pub fn all(sh: &Shell, arguments: &[String]) -> Outcome {
    step("tidy", || tidy::check(sh))?;
    step("formatting", || Ok(cmd!(sh, "cargo fmt --all --check").run()?))?;
    step("clippy", || Ok(cmd!(sh, "cargo clippy --workspace --features wgpu,remote --all-targets -- -D warnings").run()?))?;
    step("docs", || {
        let _flags = sh.push_env("RUSTDOCFLAGS", "-D warnings");
        Ok(cmd!(sh, "cargo doc --workspace --features wgpu,remote --no-deps").run()?)
    })?;
    step("GPU parity", || parity(sh))?;
    if arguments.iter().any(|a| a == "--without-tests") {
        return Ok(());
    }
    let _slow = sh.push_env("FORETASTE_SLOW_TESTS", "1");
    step("tests", || test(sh, &[]))
}

/// `crates/cluster`, which is a workspace of its own: formatting, clippy, and its tests with a Ballista cluster on loopback.
pub fn cluster(sh: &Shell) -> Outcome {
    let manifest = ["--manifest-path", "crates/cluster/Cargo.toml"];
    step("formatting", || Ok(cmd!(sh, "cargo fmt {manifest...} --check").run()?))?;
    step("clippy", || Ok(cmd!(sh, "cargo clippy {manifest...} --all-targets -- -D warnings").run()?))?;
    step("tests", || Ok(cmd!(sh, "cargo test {manifest...}").run()?))
}

/// Runs one step and tells how long it took.
#[allow(clippy::print_stderr)]
fn step(name: &str, run: impl FnOnce() -> Outcome) -> Outcome {
    let clock = Instant::now();
    let outcome = run();
    eprintln!("{name}: {} after {:.0} s", if outcome.is_ok() { "passed" } else { "failed" }, clock.elapsed().as_secs_f64());
    outcome
}

/// Loss, gradients and training steps on wgpu, and a whole run on a lent device, against the CPU backend.
pub fn parity(sh: &Shell) -> Outcome {
    let driver = driver::software_vulkan(sh)?;
    let _icd = sh.push_env("VK_ICD_FILENAMES", &driver.icd);
    let _loader = sh.push_env("LD_LIBRARY_PATH", &driver.libraries);
    let _runtime = sh.push_env("XDG_RUNTIME_DIR", &driver.runtime);
    let _device = sh.push_env("FORETASTE_PARITY_DEVICE", "vulkan");
    // The packages that the other steps build, too, so that dependencies are built once.
    cmd!(sh, "cargo test --workspace --features wgpu,remote --lib --test remote -- parity auto_never a_server").run()?;
    Ok(())
}
