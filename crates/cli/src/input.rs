//! Inputs that can be read only once: standard input and pipes are put into a file first.

use crate::{CliError, Result};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::{NamedTempFile, TempPath};

/// The name of a data set from standard input.
pub(crate) const STDIN: &str = "stdin";

/// An input that can be read as often as needed; a file that was made for it goes with it.
pub(crate) struct Input {
    path: PathBuf,
    kept: Option<TempPath>,
}

impl Input {
    /// The input that an argument names: `-` is standard input.
    ///
    /// # Errors
    /// [`CliError::Io`] when a pipe cannot be read or kept.
    pub fn of(path: &Path) -> Result<Self> {
        let stdin = path == Path::new("-");
        if !stdin && !is_pipe(path) {
            return Ok(Self { path: path.to_owned(), kept: None });
        }
        let mut kept = tempfile::Builder::new()
            .prefix(STDIN)
            .suffix(".csv")
            .tempfile()
            .map_err(CliError::io(path, "keep"))?;
        let copied = if stdin {
            std::io::copy(&mut std::io::stdin().lock(), &mut kept)
        } else {
            std::fs::File::open(path).and_then(|mut pipe| std::io::copy(&mut pipe, &mut kept))
        };
        copied.map_err(CliError::io(path, "read"))?;
        let kept = named_by_content(kept).map_err(CliError::io(path, "keep"))?;
        let shown = if stdin { "standard input".to_owned() } else { path.display().to_string() };
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push((kept.display().to_string(), shown));
        Ok(Self { path: kept.to_path_buf(), kept: Some(kept) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it came through a pipe.
    pub fn is_kept(&self) -> bool {
        self.kept.is_some()
    }
}

/// Names of files that were made for pipes, and what people call these.
static KEPT: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// A text with people's names for what came through pipes.
pub(crate) fn as_people_call_it(text: &str) -> String {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().fold(text.to_owned(), |text, (file, shown)| text.replace(file, shown))
}

/// A pipe has no name that says what comes through it: its first bytes do. Text is taken for delimited or,
/// where it begins with a brace, for JSON Lines.
fn named_by_content(mut kept: NamedTempFile) -> std::io::Result<TempPath> {
    let mut head = [0; 64];
    kept.rewind()?;
    let read = kept.read(&mut head)?;
    let head = &head[..read];
    let ending = match head {
        [b'P', b'A', b'R', b'1', ..] => ".parquet",
        [b'P', b'K', 3, 4, ..] => ".zip",
        _ if head.trim_ascii_start().starts_with(b"{") => ".jsonl",
        _ => return Ok(kept.into_temp_path()),
    };
    let named = tempfile::Builder::new().prefix(STDIN).suffix(ending).tempfile()?.into_temp_path();
    kept.persist(&named).map_err(|error| error.error)?;
    Ok(named)
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}
