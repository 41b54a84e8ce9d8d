//! Inputs that can be read only once: standard input and pipes are put into a file first.

use crate::{CliError, Result};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The name of a data set from standard input.
pub(crate) const STDIN: &str = "stdin";

/// An input that can be read as often as needed; a file that was made for it goes with it.
pub(crate) struct Input {
    path: PathBuf,
    kept: Option<NamedTempFile>,
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
        // The ending says no more than that it is text; --format says what it is.
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
        Ok(Self { path: kept.path().to_owned(), kept: Some(kept) })
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

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}
