//! This project and its peers on the same work, in one run.

use crate::Outcome;
use std::path::PathBuf;
use xshell::{Shell, cmd};

/// Builds the program, makes a Python environment with the peers, and lets `benches/rivals/run.py`
/// measure them in turn. Arguments go to it: `--data FOLDER` names where `ml-1m` lies.
pub fn rivals(sh: &Shell, arguments: &[String]) -> Outcome {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sh.current_dir().join("target"), PathBuf::from);
    cmd!(sh, "cargo build --release --package foretaste-bench --no-default-features --features wgpu").run()?;
    let environment = target.join("rivals-venv");
    let python = environment.join("bin/python");
    if !python.is_file() {
        cmd!(sh, "python3 -m venv {environment}").run().map_err(|e| format!("{e}\n  help: the peers need Python 3.11 or newer with the venv module"))?;
        cmd!(sh, "{python} -m pip install --quiet --requirement benches/rivals/requirements.txt").run()?;
    }
    let program = target.join("release/foretaste");
    cmd!(sh, "{python} benches/rivals/run.py --foretaste {program} {arguments...}").run()?;
    Ok(())
}
