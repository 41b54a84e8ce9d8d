//! Data errors, each with the file, the line and a hint for a fix.

use crate::hint::{Hint, fill};
use std::fmt;
use std::io;
use std::path::Path;

/// Result of this crate.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// An error about data.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// Returned when the operating system refuses to open, read, write or rename a file.
    Io {
        /// The file or folder.
        path: String,
        /// What was tried: `open`, `read`, `write`, `create`, `list`.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Returned when a file as a whole is not what it should be.
    File {
        /// The file or folder.
        path: String,
        /// What is wrong with it.
        reason: String,
        /// How to fix it.
        help: String,
    },
    /// Returned when a line breaks the format or a rule and there are more such lines than are allowed.
    Row(Box<BadRow>, usize, usize),
    /// Returned when a Parquet file cannot be decoded or encoded.
    Parquet {
        /// The file.
        path: String,
        /// The decoder's reason.
        source: parquet::errors::ParquetError,
    },
    /// Returned when a setting of a reader, a split or a batch is invalid.
    Setting(String),
    /// Returned when the observer of progress requested a stop; nothing is left of what was begun.
    Stopped,
    /// Returned when columns cannot be put together: too many values, or lengths that differ.
    Columns {
        /// Which.
        column: String,
        /// Why.
        reason: String,
    },
}

fn more_rows(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!("\n  and {n} more such lines in this part of the file"),
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spoken(&|hint| hint.name().to_owned()))
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Parquet { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl DataError {
    /// The error in a program's words: `name` says what it calls the option or action that helps.
    #[must_use]
    pub fn spoken(&self, name: &dyn Fn(Hint) -> String) -> String {
        match self {
            Self::Io { path, action, source } => format!("{path}: cannot {action}: {source}"),
            Self::File { path, reason, help } => format!("{path}: {reason}\n  help: {}", fill(help, name)),
            Self::Row(row, others, allowed) => {
                format!("{row}{}\n  help: {}", more_rows(*others), fill(&row.help(*allowed), name))
            }
            Self::Parquet { path, source } => {
                let help = "if the file came from elsewhere, fetch or write it again; if it is no Parquet \
                    file, name \
                            its format with <format>";
                let help = fill(help, name);
                format!("{path}: cannot be read or written as Parquet ({source})\n  help: {help}")
            }
            Self::Setting(reason) => fill(reason, name),
            Self::Stopped => "stopped; nothing is left of it".into(),
            Self::Columns { column, reason } => format!("{column}: {reason}"),
        }
    }

    pub(crate) fn columns(column: &str, reason: impl fmt::Display) -> Self {
        Self::Columns { column: column.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), action, source }
    }

    /// An error of a file or folder as a whole, with a hint for a fix.
    #[must_use]
    pub fn file(path: impl fmt::Display, reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self::File { path: path.to_string(), reason: reason.into(), help: help.into() }
    }

    pub(crate) fn parquet(path: &Path, source: parquet::errors::ParquetError) -> Self {
        use std::error::Error;
        // A full disk arrives as a wrapped error; report it as what it is.
        let mut cause: Option<&(dyn Error + 'static)> = source.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                let copy = error.raw_os_error().map_or_else(
                    || io::Error::new(error.kind(), error.to_string()),
                    io::Error::from_raw_os_error,
                );
                return Self::io(path, "read or write", copy);
            }
            cause = error.source();
        }
        Self::Parquet { path: path.display().to_string(), source }
    }
}

/// Why a line was rejected. Each case states one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowCase {
    /// The line has fewer fields than the format has columns.
    MissingField,
    /// The line has more fields than the format has columns (a decimal comma makes one).
    ExtraField,
    /// A user or item id is empty or only blanks.
    EmptyId,
    /// A rating is not a finite number.
    BadValue,
    /// A rating lies outside the data set's scale.
    OffScale,
    /// A time stamp is neither a number nor a calendar date.
    BadTime,
    /// A time stamp lies before 1970-01-01.
    TimeBefore1970,
    /// A time stamp lies after tomorrow.
    TimeInFuture,
    /// The line holds a NUL byte.
    NulByte,
    /// The line is not UTF-8.
    NotUtf8,
    /// Day and month of a date could be either way round.
    AmbiguousDate,
    /// A quoted field does not end.
    OpenQuote,
    /// Text stands behind a quoted field's closing quote.
    TextBehindQuote,
    /// A quote that does not close, or closes within text, so that several lines may be one row. Such a row
    /// is never skipped.
    SwallowsLines,
    /// A line is no JSON object.
    BadJson,
    /// A field holds a list where a single value is needed.
    Nested,
    /// A Netflix movie or user id is not a whole number.
    BadId,
    /// A Netflix rating line comes before the first `movie:` line.
    NoMovie,
}

impl fmt::Display for RowCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingField => "too few fields",
            Self::ExtraField => "too many fields",
            Self::EmptyId => "empty id",
            Self::BadValue => "rating is not a finite number",
            Self::OffScale => "rating off the scale",
            Self::BadTime => "time stamp not understood",
            Self::TimeBefore1970 => "time stamp before 1970",
            Self::TimeInFuture => "time stamp after tomorrow",
            Self::NulByte => "NUL byte in the line",
            Self::NotUtf8 => "line is not UTF-8 text",
            Self::AmbiguousDate => "day or month may come first",
            Self::OpenQuote => "quoted field does not end",
            Self::TextBehindQuote => "text behind a closing quote",
            Self::SwallowsLines => "a quote that may swallow rows",
            Self::BadJson => "line is no JSON object",
            Self::Nested => "a list where a single value is needed",
            Self::BadId => "id is not a whole number",
            Self::NoMovie => "rating before the first movie line",
        })
    }
}

/// One rejected line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// File, and member of an archive.
    pub file: String,
    /// Line number, from 1; row number for Parquet.
    pub line: u64,
    /// Why.
    pub case: RowCase,
    /// The line, shortened and with control characters escaped.
    pub text: String,
    /// What was expected.
    pub expected: String,
    /// The whole line, as it goes into the rejects file.
    pub whole: String,
}

impl BadRow {
    /// A bad line.
    pub(crate) fn new(file: &str, line: u64, (case, expected): (RowCase, String), text: &[u8]) -> Self {
        let whole = String::from_utf8_lossy(text).replace('\n', "\\n").replace('\r', "\\r");
        Self { file: file.to_owned(), line, case, text: Self::show(text), expected, whole }
    }

    /// Escapes and shortens `line` to what a terminal can show.
    pub(crate) fn show(line: &[u8]) -> String {
        let escaped = |c: char| match c {
            '"' | '\'' | '\\' => c.to_string(),
            c => c.escape_debug().to_string(),
        };
        let shown: String =
            String::from_utf8_lossy(&line[..line.len().min(120)]).chars().map(escaped).collect();
        if line.len() > 120 { format!("{shown}…") } else { shown }
    }

    fn help(&self, allowed: usize) -> String {
        if self.case == RowCase::SwallowsLines {
            return "fix the quotes, or set <quoting> to none if they are part of the text; a row that may be \
                    several is never skipped"
                .into();
        }
        let hint = match self.case {
            RowCase::TimeInFuture => {
                "of today, time stamps of 13 digits are in milliseconds, of 16 in microseconds, of 19 in \
                 nanoseconds: set <time_unit> to ms, us or ns; otherwise "
            }
            RowCase::AmbiguousDate => "set <date_order> to dmy or mdy; otherwise ",
            RowCase::NotUtf8 => "set <encoding>, for example to latin1; otherwise ",
            RowCase::OpenQuote | RowCase::TextBehindQuote => {
                "if quotes are part of the text, set <quoting> to none; if backslashes stand before them, to \
                 backslash; otherwise "
            }
            RowCase::MissingField | RowCase::ExtraField => {
                "if the file has other columns or another delimiter, set <format> to csv, and <delimiter>; \
                 otherwise "
            }
            _ => "",
        };
        if allowed == 0 {
            format!(
                "{hint}fix the line, or set <skip_bad_rows> to N to move up to N such lines into a rejects \
                 file"
            )
        } else {
            format!(
                "{hint}more than the {allowed} lines allowed by <skip_bad_rows> are bad; nothing was written"
            )
        }
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}\n  text: {}\n  expected: {}",
            self.file, self.line, self.case, self.text, self.expected
        )
    }
}
