//! Output: results to standard output, notes and errors to standard error.

use crate::{CliError, Result};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes `text` and a line end to standard output. A closed pipe (`| head`) is not an error.
pub fn print(text: &str) {
    let text = crate::input::as_people_call_it(text);
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

static JSON: AtomicBool = AtomicBool::new(false);

/// Makes [`note`] and [`error`] write JSON lines.
pub fn speak_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Prints a note to standard error.
pub fn note(text: &str) {
    tell("note", text);
}

/// Prints an error to standard error.
pub fn error(text: &str) {
    tell("error", text);
}

fn tell(event: &str, text: &str) {
    let text = &crate::input::as_people_call_it(text);
    let line = match (JSON.load(Ordering::Relaxed), event) {
        (true, _) => serde_json::json!({ "event": event, "text": text }).to_string(),
        (false, "error") => format!("error: {text}"),
        (false, _) => text.to_owned(),
    };
    raw(&line);
}

/// Writes one line to standard error unchanged.
pub(crate) fn raw(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// What the user typed to run this program: `cargo xtask` says so by a variable.
#[must_use]
pub fn program() -> String {
    std::env::var("FORETASTE_PROGRAM").unwrap_or_else(|_| "foretaste".to_owned())
}

/// Refuses an output that is the input, also through links.
pub(crate) fn not_the_input(input: &Path, out: &Path) -> Result<()> {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    // A file in a folder that is read would be read next time, if it does not replace one that was.
    let folder =
        out.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    let within = input.is_dir() && folder.and_then(real).is_some_and(|folder| real(input) == Some(folder));
    if within || real(input).is_some_and(|input| real(out) == Some(input)) {
        return Err(CliError::Usage(format!(
            "{} is the input, or in its folder; write to another place\n  help: name it with --out",
            out.display()
        )));
    }
    Ok(())
}

/// Files that a run writes, and a reader could take for a log or a table.
const RUN_FILES: [&str; 5] =
    ["results.parquet", "results.json", "measured.json", "failures.json", "manifest.json"];

/// Refuses a run's folder that is an input, or in which an input has the name of a file of the run, also
/// through links.
pub(crate) fn not_an_inputs_folder<'a>(
    inputs: impl IntoIterator<Item = &'a Path>,
    folder: &Path,
) -> Result<()> {
    let Ok(folder) = std::fs::canonicalize(folder) else { return Ok(()) };
    for input in inputs {
        let Ok(input) = std::fs::canonicalize(input) else { continue };
        let written = RUN_FILES.iter().any(|name| input == folder.join(name));
        if written || input == folder {
            return Err(CliError::Usage(format!(
                "{} is an input, and the run would write there\n  help: name another folder with --out",
                input.display()
            )));
        }
    }
    Ok(())
}

/// The command as the user would type it.
#[must_use]
pub fn command_line() -> String {
    std::iter::once(program())
        .chain(
            std::env::args()
                .skip(1)
                .map(|a| if a.contains(char::is_whitespace) { format!("{a:?}") } else { a }),
        )
        .collect::<Vec<_>>()
        .join(" ")
}
