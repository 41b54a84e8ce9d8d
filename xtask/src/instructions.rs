//! Instructions of the hot paths, counted by callgrind and compared with stored counts, which a noisy
//! machine does not affect.

use crate::{Outcome, builds};
use std::collections::BTreeMap;
use xshell::{Shell, cmd};

/// The stored counts.
const STORED: &str = "benches/instructions.txt";
/// Tolerance above the stored count before it is a regression.
const TOLERANCE: f64 = 1.03;
/// The kernel with only the setup that all share.
const NOTHING: &str = "nothing";
/// The kernels (`benches/examples/kernels.rs`).
const KERNELS: [&str; 10] =
    ["read", "sessions", "batches", "pmf", "t-svd", "fm", "hrnn", "hrnn-gru", "lists", "tpe"];

/// Counts all kernels; with `--write` stores the counts, else compares them with the stored ones.
#[allow(clippy::print_stdout)]
pub fn check(sh: &Shell, arguments: &[String]) -> Outcome {
    if cmd!(sh, "valgrind --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        return Err(
            "callgrind counts the instructions, and valgrind is not installed\n  help: install the package \
            valgrind"
                .into(),
        );
    }
    let write = arguments.iter().any(|argument| argument == "--write");
    if !write && !sh.path_exists(STORED) {
        return Err(format!("{STORED} does not exist to compare with\n  help: --write creates it").into());
    }
    cmd!(sh, "cargo build --release --example kernels").run()?;
    let program = builds(sh, "").join("release/examples/kernels");
    let _threads = sh.push_env("RAYON_NUM_THREADS", "1");
    let count = |kernel: &str| -> Result<u64, Box<dyn std::error::Error>> {
        let told = cmd!(sh, "valgrind --tool=callgrind --callgrind-out-file=/dev/null {program} {kernel}")
            .quiet()
            .output()?;
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        collected(&told).ok_or_else(|| format!("valgrind reported no count of {kernel}:\n{told}").into())
    };
    let before = count(NOTHING)?;
    let counts = KERNELS
        .iter()
        .map(|kernel| Ok(((*kernel).to_owned(), count(kernel)?.saturating_sub(before))))
        .collect::<Result<BTreeMap<_, _>, Box<dyn std::error::Error>>>()?;
    if write {
        let lines = counts.iter().map(|(kernel, count)| format!("{kernel} {count}\n")).collect::<String>();
        let version = cmd!(sh, "rustc --version").read()?;
        sh.write_file(
            STORED,
            format!(
                "# cargo xtask bench instructions --write; {version}, {}\n{lines}",
                std::env::consts::ARCH
            ),
        )?;
        return Ok(());
    }
    let stored = parsed(&sh.read_file(STORED)?);
    let mut worse = Vec::new();
    for (kernel, count) in &counts {
        let ratio = stored.get(kernel).map_or(f64::NAN, |stored| *count as f64 / *stored as f64);
        println!("{kernel}: {count} instructions, {ratio:.3} of those stored");
        // A kernel without a stored count is new.
        if ratio > TOLERANCE {
            worse.push(format!("{kernel} ({ratio:.3})"));
        }
    }
    if worse.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "more instructions than {STORED} has: {}\n  help: if that is intended, --write stores the \
            new counts",
            worse.join(", ")
        )
        .into())
    }
}

/// The count in callgrind's output: `==123== Collected : 456`.
fn collected(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

/// Counts by kernel.
fn parsed(stored: &str) -> BTreeMap<String, u64> {
    stored
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(kernel, count)| Some((kernel.to_owned(), count.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        assert_eq!(
            collected("==7== Callgrind\n==7== Events    : Ir\n==7== Collected : 31415\n"),
            Some(31_415)
        );
        assert_eq!(collected("==7== killed"), None);
        assert_eq!(
            parsed("# made by x\npmf 12\nread 7\n"),
            BTreeMap::from([("pmf".to_owned(), 12), ("read".to_owned(), 7)])
        );
    }
}
