//! File formats, and the positions of their columns.

use super::columns::{Heading, Positions, shown};
use super::dialect::{self, Dialect, Quoting, Row};
use super::encoding::Text;
use super::{ReadOptions, netflix, source};
use crate::{DataError, Result};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// A file format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Netflix Prize: `mv_*.txt`, `combined_data_*.txt`, or the archive of them.
    Netflix,
    /// `MovieLens` 1M and 10M: `user::item::rating::timestamp`, no header.
    MovieLensDat,
    /// `MovieLens` 20M and later: CSV with header `userId,movieId,rating,timestamp`.
    MovieLensCsv,
    /// `MovieLens` 100K: `user<TAB>item<TAB>rating<TAB>timestamp`, no header.
    MovieLensTab,
    /// `RecBole` atomic file: TSV with a typed header (`user_id:token`, …).
    RecBole,
    /// CSV, TSV or other delimited text; columns by name, or by number where there is no header.
    Delimited,
    /// A JSON object a line; columns by name.
    JsonLines,
    /// MIND's `behaviors.tsv`: lines of items shown, clicked or not.
    Mind,
    /// Parquet; columns by name.
    Parquet,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "netflix" => Self::Netflix,
            "movielens-dat" => Self::MovieLensDat,
            "movielens-csv" => Self::MovieLensCsv,
            "movielens-tab" => Self::MovieLensTab,
            "recbole" => Self::RecBole,
            "csv" | "tsv" | "delimited" => Self::Delimited,
            "jsonl" | "ndjson" | "json" => Self::JsonLines,
            "mind" => Self::Mind,
            "parquet" => Self::Parquet,
            _ => {
                return Err(format!(
                    "unknown format {name:?}; known are netflix, movielens-dat, movielens-csv, \
                     movielens-tab, recbole, csv, tsv, jsonl, mind, parquet"
                ));
            }
        })
    }
}

impl Format {
    /// Detects a format from the file's name, or from the files of a folder. A file that is named itself is
    /// delimited text where its name says nothing else.
    pub(super) fn detect(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(DataError::file(
                path.display(),
                "does not exist",
                "check the path; <data_sets> lists known data sets",
            ));
        }
        let mut names = vec![path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())];
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|e| DataError::io(path, "list", e))?;
            names = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            if names.iter().any(|n| n == "training_set") {
                return Ok(Self::Netflix);
            }
        }
        if names.len() == 1 && names[0].to_lowercase().ends_with(".zip") {
            let file = std::fs::File::open(path).map_err(|e| DataError::io(path, "open", e))?;
            let archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| {
                DataError::file(
                    path.display(),
                    format!("is not a readable zip archive ({e})"),
                    "fetch the file again",
                )
            })?;
            names = archive
                .file_names()
                .flatten()
                .filter(|name| !source::is_left_by_a_system(name))
                .map(|n| n.rsplit('/').next().unwrap_or(&n).to_owned())
                .collect();
            names.sort();
        }
        if path.is_file() && source::begins_with(path, b"PAR1") {
            return Ok(Self::Parquet);
        }
        if path.is_file() && names.len() == 1 && Self::by_name(&names[0]).is_none() {
            let name = names[0].to_lowercase();
            let bare = name.trim_end_matches(".gz").trim_end_matches(".zst");
            if [".csv", ".tsv", ".txt", ".tab", ".dat", ".data", ".ratings", ".log"]
                .iter()
                .any(|end| bare.ends_with(end))
            {
                return Ok(Self::Delimited);
            }
        }
        Self::of_names(path, &names)
    }

    /// The format of a folder's or archive's files. A format of its own goes before any table: ml-25m holds
    /// genome-scores.csv beside ratings.csv; tables of several formats are of no one log.
    fn of_names(path: &Path, names: &[String]) -> Result<Self> {
        let known: Vec<(&String, Self)> =
            names.iter().filter_map(|name| Some((name, Self::by_name(name)?))).collect();
        let weak = |name: &str| name.to_lowercase().ends_with(".json");
        let strong = known.iter().any(|(name, _)| !weak(name));
        let table = |format: &Self| matches!(format, Self::Delimited | Self::JsonLines | Self::Parquet);
        let own = known.iter().any(|(_, format)| !table(format));
        let mut found: Vec<&(&String, Self)> =
            known.iter().filter(|(name, format)| !(strong && weak(name) || own && table(format))).collect();
        found.dedup_by(|a, b| a.1 == b.1);
        match found.as_slice() {
            [(_, format)] => Ok(format.clone()),
            [(one, _), .., (other, _)] => Err(DataError::file(
                path.display(),
                format!("holds files of several formats, {one} and {other} among them"),
                "name one file, or set <format> to read those of one format",
            )),
            [] => {
                let reason = if path.is_dir() {
                    "is a folder without a known file of ratings"
                } else {
                    "is of no known format"
                };
                Err(DataError::file(
                    path.display(),
                    reason,
                    "set <format> (netflix, movielens-dat, movielens-csv, movielens-tab, recbole, csv, tsv, \
                     jsonl, mind, parquet) with the file itself",
                ))
            }
        }
    }

    /// Files of a folder that could be a log and are none of this format.
    pub(super) fn others(&self, path: &Path) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let table = matches!(self, Self::Delimited | Self::JsonLines | Self::Parquet);
        let text = |name: &str| {
            let name = name.to_lowercase();
            [".txt", ".dat", ".data", ".log", ".tab"].iter().any(|end| name.ends_with(end))
                && !name.starts_with("readme")
                && !name.starts_with("licen")
        };
        let folder = |name: &str| !name.starts_with(['.', '_']) && path.join(name).is_dir();
        let other = |name: &String| match Self::by_name(name) {
            Some(format) => format != *self,
            None => table && (text(name) || folder(name)),
        };
        let mut others: Vec<String> = names.filter(other).collect();
        others.sort();
        others
    }

    fn by_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        // What systems leave beside files is not theirs.
        if name.starts_with('.') {
            return None;
        }
        let bare = name.trim_end_matches(".gz").trim_end_matches(".zst");
        let ends = |ends: &[&str]| ends.iter().any(|end| bare.ends_with(end));
        if netflix::is_member(bare) || ends(&[".tar"]) || bare.ends_with(".tgz") {
            Some(Self::Netflix)
        } else if ends(&["ratings.dat"]) || (bare.starts_with('r') && ends(&[".train", ".test"])) {
            Some(Self::MovieLensDat)
        } else if bare == "ratings.csv" {
            Some(Self::MovieLensCsv)
        } else if bare == "u.data" || ends(&[".base", ".test"]) {
            Some(Self::MovieLensTab)
        } else if ends(&[".inter"]) {
            Some(Self::RecBole)
        } else if ends(&[".parquet"]) && !BESIDE.contains(&bare) {
            Some(Self::Parquet)
        } else if ends(&[".jsonl", ".ndjson", ".json"]) {
            Some(Self::JsonLines)
        } else if bare == "behaviors.tsv" {
            Some(Self::Mind)
        } else if ends(&[".csv", ".tsv"]) && !BESIDE.contains(&bare) {
            Some(Self::Delimited)
        } else {
            None
        }
    }
}

/// Tables that lie beside a log in its folder.
pub(super) const BESIDE: [&str; 15] = [
    "movies.csv",
    "tags.csv",
    "links.csv",
    "genome-scores.csv",
    "genome-tags.csv",
    "items.csv",
    "users.csv",
    "items.tsv",
    "users.tsv",
    "books.csv",
    "articles.csv",
    "news.tsv",
    "items.parquet",
    "users.parquet",
    "truth.parquet",
];

/// Whether a folder's or archive's member is the one that holds the ratings.
pub(super) fn is_member(format: &Format, name: &str) -> bool {
    Format::by_name(name).as_ref() == Some(format)
        && !name.ends_with(".test")
        && !name.ends_with(".base")
        && !name.ends_with(".train")
}

/// A delimited text file: its dialect, header, and positions of the columns.
pub(super) struct Layout {
    pub dialect: Dialect,
    /// The header, which every file must have, for formats with one.
    pub header: Option<String>,
    /// Lines of a header behind its first (Orange's types and roles).
    pub header_rest: u64,
    pub positions: Positions,
    /// Further columns: position and name.
    pub extra: Vec<(usize, String)>,
    /// What a line should look like, for messages.
    pub expected: String,
    /// Fields a line must have.
    pub fields: usize,
    /// Whether a row must have a rating.
    pub rated: bool,
    /// What was guessed, for the reader's report.
    pub remarks: Vec<String>,
}

/// Bytes of a file's beginning that its dialect is guessed from.
const SAMPLE: usize = 1 << 16;

impl Layout {
    pub fn settle(path: &Path, format: &Format, options: &ReadOptions) -> Result<Self> {
        let fixed = |delimiter: &str| Self {
            dialect: Dialect::new(delimiter, Quoting::None),
            header: None,
            header_rest: 0,
            positions: Positions { user: 0, item: 1, timestamp: Some(3), value: Some(2), event_type: None },
            extra: Vec::new(),
            expected: ["user", "item", "rating", "timestamp"].join(&delimiter.replace('\t', "<TAB>")),
            fields: 4,
            rated: true,
            remarks: Vec::new(),
        };
        match format {
            Format::MovieLensDat => Ok(fixed("::")),
            Format::MovieLensTab => Ok(fixed("\t")),
            Format::MovieLensCsv | Format::RecBole | Format::Delimited => {
                Self::from_sample(path, format, options)
            }
            Format::Netflix | Format::Parquet | Format::JsonLines | Format::Mind => {
                Err(DataError::Setting("this format has no delimited layout".into()))
            }
        }
    }

    fn from_sample(path: &Path, format: &Format, options: &ReadOptions) -> Result<Self> {
        let (file, sample) = sample(path, format, options)?;
        let (nuls, ends) = (memchr::memchr_iter(0, &sample).count(), memchr::memchr2(b'\n', b'\r', &sample));
        if 4 * nuls > sample.len() {
            let help = "set <encoding> to utf-16le or utf-16be";
            return Err(DataError::file(file, "is full of NUL bytes: it seems to be UTF-16", help));
        }
        if ends.is_some_and(|at| sample[at] == b'\r') && memchr::memchr(b'\n', &sample).is_none() {
            let help = "write line feeds (as `tr '\\r' '\\n'` does)";
            return Err(DataError::file(file, "has lines that end in a carriage return alone", help));
        }
        let tabs = file.to_lowercase().contains(".tsv") || file.to_lowercase().contains(".tab");
        let given =
            options.delimiter.as_ref().map(|text| text.replace("\\t", "\t")).filter(|d| !d.is_empty());
        let dialect = if *format == Format::RecBole {
            Dialect::new(given.as_deref().unwrap_or("\t"), options.quoting.unwrap_or(Quoting::None))
        } else {
            dialect::guess(&sample, given.as_deref(), options.quoting, tabs)
        };
        let (mut row, mut first) = (Row::default(), Vec::new());
        dialect.records(&sample, |_, record| {
            if first.len() < 3 {
                let whole = dialect.split(record, &mut row).is_ok();
                first.push((String::from_utf8_lossy(record).trim_end().to_owned(), row.texts(record), whole));
            }
        });
        let Some((header, texts, whole)) = first.first().cloned() else {
            return Err(DataError::file(file, "is empty", "is this the right file?"));
        };
        if !whole {
            let reason = format!("has a first line whose quotes do not close\n  text: {}", shown(&header));
            return Err(DataError::file(file, reason, super::blocks::UNCLOSED));
        }
        let heading = Heading::settle(&file, format, &texts, options)?;
        let orange = |line: usize, belongs: &dyn Fn(&str) -> bool| {
            heading.named
                && first.get(line).is_some_and(|(_, texts, _)| texts.iter().all(|text| belongs(text)))
        };
        // A blank line of roles is skipped like any.
        let header_rest = match (orange(1, &orange_type), orange(2, &orange_role)) {
            (false, _) => 0,
            (true, roles) => 1 + u64::from(roles),
        };
        let names = heading.names;
        let used = heading.positions.used();
        let further = |(at, _): &(usize, String)| !options.no_further && !used.contains(at);
        let extra = names.iter().cloned().enumerate().filter(further).collect();
        let mut remarks = Vec::new();
        if *format == Format::Delimited {
            let plain = if tabs { b"\t" } else { b"," };
            if dialect.delimiter != plain || dialect.quoting != Quoting::Double || !heading.named {
                let first =
                    if heading.named { "the first line names columns" } else { "the first line is a row" };
                remarks.push(format!("{file}: {}, {first}", dialect.told()));
            }
        }
        remarks.extend(heading.positions.timestamp.is_none().then(|| {
            format!(
                "{file}: no column of times; rows have the order of their lines, and what needs times is \
                refused"
            )
        }));
        Ok(Self {
            expected: names.join(&String::from_utf8_lossy(&dialect.delimiter).replace('\t', "<TAB>")),
            fields: names.len(),
            dialect,
            header: heading.named.then_some(header),
            header_rest,
            positions: heading.positions,
            extra,
            rated: false,
            remarks,
        })
    }

    pub fn extra_names(&self) -> Vec<String> {
        self.extra.iter().map(|(_, name)| name.clone()).collect()
    }
}

/// Types of Orange's columns, which stand in the second line of its tables.
fn orange_type(kind: &str) -> bool {
    matches!(
        kind.to_lowercase().as_str(),
        "c" | "d" | "s" | "t" | "continuous" | "discrete" | "string" | "time" | "basket"
    ) || kind.split_whitespace().count() > 1
}

/// Roles of Orange's columns, in the third line.
fn orange_role(role: &str) -> bool {
    let role = role.to_lowercase();
    matches!(role.as_str(), "" | "class" | "c" | "meta" | "m" | "ignore" | "i" | "weight" | "w")
        || role.contains('=')
}

/// The name of the first file that is read, and its first whole lines as text.
pub(super) fn sample(path: &Path, format: &Format, options: &ReadOptions) -> Result<(String, Vec<u8>)> {
    let (mut file, mut sample, mut found) = (path.display().to_string(), Vec::new(), false);
    source::visit(path, &|name| is_member(format, name), &mut |name, reader| {
        if found {
            return Ok(());
        }
        found = true;
        name.clone_into(&mut file);
        let damaged = |e| super::blocks::truncated(name, e);
        let mut text = Text::new(reader, options.encoding).map_err(damaged)?;
        Read::take(&mut text, SAMPLE as u64).read_to_end(&mut sample).map_err(damaged)?;
        // A first line may be longer than a sample.
        if memchr::memchr(b'\n', &sample).is_none() {
            let mut line = Vec::new();
            BufReader::new(Read::take(text, 1 << 20)).read_until(b'\n', &mut line).map_err(damaged)?;
            sample.extend(line);
        } else if sample.len() == SAMPLE
            && let Some(end) = memchr::memrchr(b'\n', &sample)
        {
            sample.truncate(end + 1);
        }
        Ok(())
    })?;
    if sample.starts_with(b"\xef\xbb\xbf") {
        sample.drain(..3);
    }
    Ok((file, sample))
}
