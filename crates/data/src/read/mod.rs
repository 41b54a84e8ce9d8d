//! Readers: one call for every format, streaming and parallel.
//!
//! A reading thread provides blocks of whole lines (decompressing as it reads); the rayon pool parses
//! them into small columns with vocabularies of their own; these are joined in file order, so that
//! the result does not depend on the number of threads.

mod blocks;
mod delimited;
mod fields;
mod layout;
mod netflix;
mod parquet;
mod rejects;
mod source;

pub use layout::{ColumnMapping, Format, Positions};
pub use source::open_text;

use crate::interactions::RawColumns;
use crate::{DataError, Interactions, LoadReport, Result};
use blocks::{Block, Collector};

pub(crate) use blocks::Spill;
use std::path::{Path, PathBuf};

/// The unit of a log's time stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Unix seconds.
    #[default]
    S,
    /// Unix milliseconds.
    Ms,
    /// Unix microseconds.
    Us,
}

impl TimeUnit {
    /// Number of units in a second.
    #[must_use]
    pub fn per_second(self) -> i64 {
        match self {
            Self::S => 1,
            Self::Ms => 1_000,
            Self::Us => 1_000_000,
        }
    }
}

/// How to read a log. The default finds the format by name and header and allows no bad line.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The format; `None` finds it by file name and header.
    pub format: Option<Format>,
    /// Columns by name, for CSV, TSV and Parquet.
    pub columns: ColumnMapping,
    /// Field delimiter, where the file's name does not say it.
    pub delimiter: Option<String>,
    /// Unit of the time stamps.
    pub time_unit: TimeUnit,
    /// Smallest and largest rating allowed.
    pub scale: Option<(f32, f32)>,
    /// How many bad lines may go into the rejects file.
    pub skip_bad_rows: usize,
    /// The rejects file; `None` puts `<input>.rejects.txt` into the working folder.
    pub rejects: Option<PathBuf>,
    /// "Now" in Unix seconds for the rule *not after tomorrow*; `None` uses the clock.
    pub now: Option<i64>,
}

impl ReadOptions {
    /// The first Unix second that counts as "after tomorrow".
    #[must_use]
    pub fn time_limit(&self) -> i64 {
        let now = self.now.unwrap_or_else(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(i64::MAX / 2, |d| d.as_secs() as i64)
        });
        (now.div_euclid(86_400) + 2) * 86_400
    }
}

/// Reads a log of interactions: a file, an archive or a folder in any supported format.
///
/// Rules: blank lines are skipped; a line that breaks the format or a rule is an error
/// (or goes to the rejects file, see [`ReadOptions::skip_bad_rows`]); of several rows with the same
/// user, item and time stamp the last one wins and the report counts the others.
///
/// # Errors
/// [`DataError::Io`] and [`DataError::File`] for errors of a file as a whole,
/// [`DataError::Row`] for a bad line, [`DataError::Parquet`] for a broken Parquet file.
pub fn read(path: &Path, options: &ReadOptions) -> Result<(Interactions, LoadReport)> {
    let (raw, bad, files) = match format_of(path, options)? {
        Format::Parquet => parquet::read(path, options, None)?,
        format => read_text(path, &format, options, None)?,
    };
    let rejects = rejects::settle(path, &bad, options)?;
    if raw.users.is_empty() {
        return Err(DataError::file(path.display(), "holds no interactions", "is this the right file?"));
    }
    let (table, duplicates, conflicting_duplicates) = Interactions::from_raw(raw)?;
    let report = LoadReport {
        rows: table.len(),
        users: table.n_users(),
        items: table.n_items(),
        duplicates,
        conflicting_duplicates,
        rejected: rejects.as_ref().map_or(0, |r| r.1),
        rejects: rejects.map(|r| r.0),
        files,
    };
    Ok((table, report))
}

type RawRead = (RawColumns, rejects::Rejects, usize);

/// The format asked for, or found.
fn format_of(path: &Path, options: &ReadOptions) -> Result<Format> {
    options.format.clone().map_or_else(|| Format::detect(path), Ok)
}

/// Why a log cannot be read within a memory limit.
const FURTHER: &str = "has further columns, which are not carried within a memory limit yet";

/// The names and the remaining rows; the rejects file and its number of lines; the number of files.
type Spilled = (RawColumns, Option<(PathBuf, usize)>, usize);

/// As [`read`], but passes rows to `spill` as they arrive.
pub(crate) fn read_spilling(path: &Path, options: &ReadOptions, spill: &mut dyn Spill) -> Result<Spilled> {
    let (raw, bad, files) = match format_of(path, options)? {
        Format::Parquet => parquet::read(path, options, Some(spill))?,
        format => {
            if !matches!(format, Format::Netflix)
                && !layout::Layout::settle(path, &format, options)?.extra_names().is_empty()
            {
                return Err(DataError::file(path.display(), FURTHER, "leave the memory limit out"));
            }
            read_text(path, &format, options, Some(spill))?
        }
    };
    Ok((raw, rejects::settle(path, &bad, options)?, files))
}

fn read_text(
    path: &Path,
    format: &Format,
    options: &ReadOptions,
    spill: Option<&mut dyn Spill>,
) -> Result<RawRead> {
    let limit = options.time_limit();
    let mut collector = Collector::new(options.skip_bad_rows, spill);
    if matches!(format, Format::Netflix) {
        let rules = netflix::Rules { scale: options.scale, limit };
        let mut movie = netflix::CurrentMovie::default();
        blocks::parse_all(
            path,
            netflix::is_member,
            |block: &Block| netflix::parse(block, &rules),
            |block, chunk| {
                let chunk = movie.settle(block, chunk);
                collector.add(chunk)
            },
        )?;
        return collector.finish(Vec::new());
    }
    let layout = layout::Layout::settle(path, format, options)?;
    let rules = delimited::Rules {
        layout: &layout,
        scale: options.scale,
        unit: options.time_unit.per_second(),
        limit,
    };
    blocks::parse_all(
        path,
        |name| layout::is_member(format, name),
        |block: &Block| delimited::parse(block, &rules),
        |_, chunk| collector.add(chunk),
    )?;
    collector.finish(layout.extra_names())
}
