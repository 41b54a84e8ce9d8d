//! The commands of the guides run as they are printed.

use std::path::Path;
use std::process::Command;

/// Runs the `$ ` lines of a page in order, in one folder; the page calls the program `cargo xtask`.
#[allow(clippy::print_stderr)] // A skipped test says so.
fn page(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is not there", path.display());
        eprintln!("skipped: no guides beside this crate");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut commands = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let command = line.replacen("cargo xtask", "\"$FORETASTE\"", 1);
        let output = Command::new("sh")
            .args(["-c", &command])
            .env("FORETASTE", env!("CARGO_BIN_EXE_foretaste"))
            .env("FORETASTE_DATA", folder.path().join("data"))
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {line}\n{}", String::from_utf8_lossy(&output.stderr));
        commands += 1;
    }
    assert!(commands > 0, "{name} has no commands");
}

#[test]
fn first_table() {
    page("first-table.md");
}

#[test]
fn your_own_log() {
    page("your-own-log.md");
}

#[test]
fn tune_and_automl() {
    page("tune-and-automl.md");
}
