//! The commands of the guides run as they are printed.

#[path = "../../data/tests/logs/published.rs"]
mod published;

use std::path::Path;
use std::process::Command;

/// A made-up log in a public format, as the tests of the readers have it.
#[allow(dead_code)] // Options and rows are the readers' own tests' business.
pub(crate) struct Log {
    /// The data set.
    pub(crate) what: &'static str,
    /// Name of the file.
    pub(crate) file: &'static str,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// The readers' options.
    pub(crate) options: &'static str,
    /// The rows.
    pub(crate) expected: &'static str,
}

/// A log of text.
fn log(
    what: &'static str,
    file: &'static str,
    text: &str,
    options: &'static str,
    expected: &'static str,
) -> Log {
    Log { what, file, bytes: text.as_bytes().to_vec(), options, expected }
}

/// A guide's text; none where the crate stands alone.
#[allow(clippy::print_stderr)] // A skipped test says so.
fn guide(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{} is not there", path.display());
        eprintln!("skipped: no guides beside this crate");
    }
    text
}

/// Runs the `$ ` lines of a page in order, in one folder; the page calls the program `cargo xtask`.
fn page(name: &str) {
    let Some(text) = guide(name) else { return };
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

/// Each line of the table of public logs reads rows of its format, as many as are there.
#[test]
fn public_logs() {
    let Some(text) = guide("public-logs.md") else { return };
    let mut logs = published::logs();
    for line in text.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, what, file, options, _] = cells[..] else { panic!("{line}") };
        let at = logs.iter().position(|log| log.what == what).unwrap_or_else(|| panic!("no rows of {what}"));
        let log = logs.swap_remove(at);
        assert_eq!(log.file, file, "{what}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &log.bytes).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_foretaste"))
            .args(["import", file, "--json", "--out", "log.parquet"])
            .args(options.split_whitespace())
            .current_dir(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        let rows = log.expected.split("; ").count();
        assert!(said.contains(&format!("\"rows\":{rows}")), "{what}: {said}");
    }
    let missing: Vec<&str> = logs.iter().map(|log| log.what).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}
