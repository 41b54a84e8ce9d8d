//! Readers: one call for every format, streaming and parallel.
//!
//! A reading thread provides blocks of whole lines (decompressing as it reads); the rayon pool parses
//! them into small columns with vocabularies of their own; these are joined in file order, so that
//! the result does not depend on the number of threads.

mod blocks;
mod columns;
mod delimited;
mod dialect;
mod encoding;
mod fields;
mod json;
mod layout;
mod mind;
mod netflix;
mod parquet;
mod plausible;
mod rejects;
mod source;

pub use columns::{ColumnMapping, Positions};
pub use dialect::Quoting;
pub use encoding::Encoding;
pub use layout::Format;
pub use source::open_text;

use crate::interactions::RawColumns;
use crate::time::DateOrder;
use crate::{DataError, Interactions, LoadReport, Result};
use arrow_array::ArrayRef;
use blocks::{Block, Collector, Cutting};

pub(crate) use blocks::Spill;

/// What tables of items and users share with logs.
pub(crate) mod catalogue {
    pub(crate) use super::columns::{ITEM, USER, plain_name};
    pub(crate) use super::dialect::{Dialect, Row, guess};
    pub(crate) use super::encoding::Text;
}
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
    /// Unix nanoseconds.
    Ns,
}

impl TimeUnit {
    /// Number of units in a second.
    #[must_use]
    pub fn per_second(self) -> i64 {
        match self {
            Self::S => 1,
            Self::Ms => 1_000,
            Self::Us => 1_000_000,
            Self::Ns => 1_000_000_000,
        }
    }
}

/// How to read a log. The default finds the format by name and header and allows no bad line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadOptions {
    /// The format; `None` finds it by file name and header.
    pub format: Option<Format>,
    /// Columns by name or number, for delimited text, JSON Lines and Parquet.
    pub columns: ColumnMapping,
    /// Names of the columns of a file without a header.
    pub names: Option<Vec<String>>,
    /// Whether the first line is a row although it could be a header.
    pub no_header: bool,
    /// Field delimiter; `None` guesses it from the first rows.
    pub delimiter: Option<String>,
    /// How fields are quoted; `None` guesses it from the first rows.
    pub quoting: Option<Quoting>,
    /// Encoding of a text file; `None` takes it for UTF-8, or UTF-16 with a byte order mark.
    pub encoding: Option<Encoding>,
    /// Whether the day or the month comes first in dates such as `6/7/2014`.
    pub date_order: Option<DateOrder>,
    /// Unit of the time stamps.
    pub time_unit: TimeUnit,
    /// Whether further columns are left out. Models do not use them; files keep them.
    pub no_further: bool,
    /// The event types whose rows are kept, compared without case; `None` keeps all rows.
    pub events: Option<Vec<String>>,
    /// Rows with a smaller value, or without one, are left out.
    pub min_value: Option<f32>,
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

impl ReadOptions {
    /// Refuses options that say nothing of a format.
    fn fit(&self, format: &Format) -> Result<()> {
        use crate::Hint;
        let table = matches!(format, Format::Delimited | Format::MovieLensCsv | Format::RecBole);
        let of_text = [
            (self.delimiter.is_some(), Hint::Delimiter),
            (self.quoting.is_some(), Hint::Quoting),
            (self.no_header, Hint::NoHeader),
            (self.names.is_some(), Hint::Columns),
        ];
        let idle = of_text.iter().find(|(given, _)| *given && !table).map(|(_, hint)| *hint);
        let binary = *format == Format::Parquet && self.encoding.is_some();
        match idle.or(binary.then_some(Hint::Encoding)) {
            Some(hint) => Err(DataError::Setting(format!(
                "{} says nothing of this format ({format:?})\n  help: leave it out, or set {}",
                hint.token(),
                Hint::Format.token()
            ))),
            None if self.delimiter.as_deref() == Some("") => {
                Err(DataError::Setting(format!("{} is empty", Hint::Delimiter.token())))
            }
            None => Ok(()),
        }
    }

    /// Whether only some rows are kept.
    fn keeps_some(&self) -> bool {
        self.events.is_some() || self.min_value.is_some()
    }

    /// Keeps the rows of the [events](Self::events) and [values](Self::min_value) wanted. Returns a remark
    /// that says how many they are.
    ///
    /// # Errors
    /// [`DataError::Setting`] when the log has no event types, none of a name, or no such row.
    pub fn keep(&self, table: &mut Interactions) -> Result<Option<String>> {
        if !self.keeps_some() {
            return Ok(None);
        }
        let types = table.event_types.as_ref();
        let wanted = match (&self.events, types) {
            (None, _) => None,
            (Some(_), None) => {
                return Err(DataError::Setting(format!(
                    "events are chosen, and the log has no event types\n  help: name their column with {}",
                    crate::Hint::EventType.token()
                )));
            }
            (Some(events), Some(types)) => {
                let is = |name: &str| events.iter().any(|event| event.eq_ignore_ascii_case(name));
                let there: Vec<&str> = types.names.iter().collect();
                if let Some(event) =
                    events.iter().find(|event| there.iter().all(|name| !event.eq_ignore_ascii_case(name)))
                {
                    return Err(DataError::Setting(format!(
                        "no row has the event type {event:?}; the log has {}",
                        there.join(", ")
                    )));
                }
                Some((there.iter().map(|name| is(name)).collect::<Vec<bool>>(), &types.codes))
            }
        };
        let keeps = |row: usize| {
            let event = wanted
                .as_ref()
                .is_none_or(|(wanted, codes)| wanted.get(codes[row] as usize).copied().unwrap_or(false));
            event && self.min_value.is_none_or(|least| table.values[row] >= least)
        };
        let rows: Vec<u32> = (0..table.len()).filter(|row| keeps(*row)).map(|row| row as u32).collect();
        if rows.is_empty() {
            return Err(DataError::Setting("no row has the events and values that are to be kept".into()));
        }
        let all = table.len();
        *table = table.of_rows(&rows)?;
        Ok(Some(format!("{} of {all} rows are kept: those of the events and values asked for", rows.len())))
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
    rejects::apart(path, options)?;
    let format = format_of(path, options)?;
    options.fit(&format)?;
    let RawRead { columns, rejects: bad, files, mut remarks } = match &format {
        Format::Parquet => parquet::read(path, options, None)?,
        format => read_text(path, format, options, None)?,
    };
    let rejects = rejects::settle(path, &bad, options)?;
    if columns.users.is_empty() {
        return Err(empty(path, &bad, rejects));
    }
    let (mut table, duplicates, conflicting_duplicates) = Interactions::from_raw(columns)?;
    remarks.extend(plausible::settle(&mut table.timestamps, options.time_unit)?);
    remarks.extend(left_out(path, &format));
    remarks.extend(name_apart(&mut table.extra));
    remarks.extend(options.keep(&mut table)?);
    let report = LoadReport {
        rows: table.len(),
        users: table.n_users(),
        items: table.n_items(),
        duplicates,
        conflicting_duplicates,
        rejected: rejects.as_ref().map_or(0, |r| r.1),
        rejected_by: bad.by_reason(),
        rejects: rejects.map(|r| r.0),
        files,
        remarks,
    };
    Ok((table, report))
}

/// A log without a good row.
fn empty(path: &Path, bad: &rejects::Rejects, rejects: Option<(PathBuf, usize)>) -> DataError {
    let Some((rejects, count)) = rejects else {
        return DataError::file(path.display(), "holds no interactions", "is this the right file?");
    };
    let reasons: Vec<String> =
        bad.by_reason().into_iter().map(|(reason, n)| format!("{n}: {reason}")).collect();
    DataError::file(
        path.display(),
        format!("holds no good row: all {count} are bad ({})", reasons.join("; ")),
        format!("{} has them", rejects.display()),
    )
}

/// Files of a folder that are not read, in words.
fn left_out(path: &Path, format: &Format) -> Option<String> {
    let others = format.others(path);
    (!others.is_empty()).then(|| format!("{}: left out: {}", path.display(), others.join(", ")))
}

/// Gives further columns names that no other column of the log has, ours among them; says which.
fn name_apart(extra: &mut [(String, ArrayRef)]) -> Vec<String> {
    let mut remarks = Vec::new();
    for at in 0..extra.len() {
        let taken =
            |name: &str| crate::store::has_column(name) || extra[..at].iter().any(|(other, _)| other == name);
        let name = extra[at].0.clone();
        if taken(&name) {
            let mut candidates = (2..=extra.len() + 2).map(|number| format!("{name}_{number}"));
            let free = candidates.find(|name| !taken(name));
            extra[at].0 = free.unwrap_or_else(|| name.clone());
            remarks.push(format!("the further column {name} is called {}: its name is taken", extra[at].0));
        }
    }
    remarks
}

/// What a reader collected.
struct RawRead {
    columns: RawColumns,
    rejects: rejects::Rejects,
    files: usize,
    remarks: Vec<String>,
}

/// The format asked for, or found.
fn format_of(path: &Path, options: &ReadOptions) -> Result<Format> {
    options.format.clone().map_or_else(|| Format::detect(path), Ok)
}

/// A log with further columns cannot be read within a memory limit.
fn further(file: impl std::fmt::Display) -> DataError {
    let (reason, help) = (
        "has further columns, which are not carried within a memory limit",
        format!("leave them out with {}, or leave the memory limit out", crate::Hint::NoFurther.token()),
    );
    DataError::file(file, reason, &help)
}

/// What is left of a log whose rows were passed on as they arrived.
pub(crate) struct Spilled {
    /// The names and the remaining rows.
    pub columns: RawColumns,
    /// Of the report what reading knows.
    pub report: LoadReport,
}

/// As [`read`], but passes rows to `spill` as they arrive.
pub(crate) fn read_spilling(path: &Path, options: &ReadOptions, spill: &mut dyn Spill) -> Result<Spilled> {
    rejects::apart(path, options)?;
    if options.keeps_some() {
        return Err(DataError::Setting(
            "rows are chosen by event or value, which is not done within a memory limit\n  help: leave the \
             memory limit out"
                .into(),
        ));
    }
    let format = format_of(path, options)?;
    options.fit(&format)?;
    let left_out = left_out(path, &format);
    let read = match format {
        Format::Parquet => parquet::read(path, options, Some(spill))?,
        format => {
            let extra = match format {
                Format::MovieLensCsv | Format::RecBole | Format::Delimited => {
                    layout::Layout::settle(path, &format, options)?.extra_names()
                }
                Format::JsonLines => json::Layout::settle(path, options)?.further,
                _ => Vec::new(),
            };
            if !extra.is_empty() {
                return Err(further(path.display()));
            }
            read_text(path, &format, options, Some(spill))?
        }
    };
    let rejects = rejects::settle(path, &read.rejects, options)?;
    let report = LoadReport {
        rejected: rejects.as_ref().map_or(0, |r| r.1),
        rejected_by: read.rejects.by_reason(),
        rejects: rejects.map(|r| r.0),
        files: read.files,
        remarks: read.remarks.into_iter().chain(left_out).collect(),
        ..LoadReport::default()
    };
    Ok(Spilled { columns: read.columns, report })
}

fn read_text(
    path: &Path,
    format: &Format,
    options: &ReadOptions,
    spill: Option<&mut dyn Spill>,
) -> Result<RawRead> {
    let limit = options.time_limit();
    let mut collector = Collector::new(options.skip_bad_rows, spill);
    let lines = Cutting { encoding: options.encoding, dialect: None };
    if matches!(format, Format::Netflix) {
        let rules = netflix::Rules { scale: options.scale, limit };
        let mut movie = netflix::CurrentMovie::default();
        blocks::parse_all(
            path,
            lines,
            netflix::is_member,
            |block: &Block| netflix::parse(block, &rules),
            |block, chunk| {
                let chunk = movie.settle(block, chunk);
                collector.add(block, chunk)
            },
        )?;
        return collector.finish(Vec::new(), Vec::new());
    }
    let wanted = |name: &str| layout::is_member(format, name);
    if matches!(format, Format::Mind) {
        let parse = |block: &Block| mind::parse(block, limit);
        blocks::parse_all(path, lines, wanted, parse, |block, chunk| collector.add(block, chunk))?;
        return collector.finish(Vec::new(), vec![format!("{}: {}", path.display(), mind::REMARK)]);
    }
    if matches!(format, Format::JsonLines) {
        let layout = json::Layout::settle(path, options)?;
        let parse = |block: &Block| json::parse(block, &layout, options, limit);
        blocks::parse_all(path, lines, wanted, parse, |block, chunk| collector.add(block, chunk))?;
        return collector.finish(layout.further, layout.remarks);
    }
    let layout = layout::Layout::settle(path, format, options)?;
    let rules = delimited::Rules {
        layout: &layout,
        scale: options.scale,
        unit: options.time_unit.per_second(),
        order: options.date_order,
        limit,
    };
    blocks::parse_all(
        path,
        Cutting { dialect: Some(&layout.dialect), ..lines },
        wanted,
        |block: &Block| delimited::parse(block, &rules),
        |block, chunk| collector.add(block, chunk),
    )?;
    collector.finish(layout.extra_names(), layout.remarks)
}
