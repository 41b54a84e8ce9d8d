//! File formats, and the positions of their columns.

use super::{ReadOptions, netflix, source};
use crate::{DataError, Hint, Result};
use std::io::{BufRead, BufReader};
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
    /// CSV or TSV with a header; columns by name.
    Delimited,
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
            "parquet" => Self::Parquet,
            _ => {
                return Err(format!(
                    "unknown format {name:?}; known are netflix, movielens-dat, movielens-csv, \
                     movielens-tab, recbole, csv, tsv, parquet"
                ));
            }
        })
    }
}

/// Names of the columns that carry the interaction fields; `None` tries the usual names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnMapping {
    /// User id.
    pub user: Option<String>,
    /// Item id.
    pub item: Option<String>,
    /// Time stamp.
    pub timestamp: Option<String>,
    /// Rating or event value.
    pub value: Option<String>,
    /// Event type.
    pub event_type: Option<String>,
}

/// The usual names of each field, case-insensitive: ours, Personalize's, `MovieLens`', `RecBole`'s.
const USER: [&str; 4] = ["user_id", "userid", "user", "customer_id"];
const ITEM: [&str; 6] = ["item_id", "itemid", "movieid", "movie_id", "item", "product_id"];
const TIME: [&str; 5] = ["timestamp", "time", "unix_timestamp", "date", "event_time"];
const VALUE: [&str; 4] = ["event_value", "rating", "value", "score"];
const EVENT: [&str; 2] = ["event_type", "event"];

/// Positions of the interaction fields among a file's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// User id.
    pub user: usize,
    /// Item id.
    pub item: usize,
    /// Time stamp.
    pub timestamp: usize,
    /// Rating or event value.
    pub value: Option<usize>,
    /// Event type.
    pub event_type: Option<usize>,
}

impl ColumnMapping {
    /// Finds the fields among the columns `names` of a file.
    ///
    /// # Errors
    /// [`DataError::File`] naming `file` for a column that is missing.
    pub fn find(&self, file: &str, names: &[String]) -> Result<Positions> {
        let locate = |wanted: Option<&String>, usual: &[&str], hint: Hint| -> Result<Option<usize>> {
            if let Some(wanted) = wanted {
                return match names.iter().position(|n| n == wanted) {
                    Some(at) => Ok(Some(at)),
                    None => Err(DataError::file(
                        file,
                        format!("has no column {wanted:?}; it has {}", names.join(", ")),
                        format!("fix {}", hint.token()),
                    )),
                };
            }
            Ok(usual.iter().find_map(|u| names.iter().position(|n| n.eq_ignore_ascii_case(u))))
        };
        let need = |found: Option<usize>, what: &str, hint: Hint| {
            found.ok_or_else(|| {
                DataError::file(
                    file,
                    format!("has no column known as {what}; it has {}", names.join(", ")),
                    format!("name it with {}", hint.token()),
                )
            })
        };
        Ok(Positions {
            user: need(locate(self.user.as_ref(), &USER, Hint::User)?, "user id", Hint::User)?,
            item: need(locate(self.item.as_ref(), &ITEM, Hint::Item)?, "item id", Hint::Item)?,
            timestamp: need(
                locate(self.timestamp.as_ref(), &TIME, Hint::Timestamp)?,
                "time stamp",
                Hint::Timestamp,
            )?,
            value: locate(self.value.as_ref(), &VALUE, Hint::Value)?,
            event_type: locate(self.event_type.as_ref(), &EVENT, Hint::EventType)?,
        })
    }
}

impl Format {
    /// Detects a format from the file's name, or from the files of a folder.
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
                .map(|n| n.rsplit('/').next().unwrap_or(&n).to_owned())
                .collect();
            names.sort();
        }
        // A format of its own goes before any CSV: ml-25m holds genome-scores.csv beside ratings.csv.
        let mut formats: Vec<Self> = names.iter().filter_map(|name| Self::by_name(name)).collect();
        formats.sort_by_key(|format| *format == Self::Delimited);
        formats.into_iter().next().ok_or_else(|| {
            let reason = if path.is_dir() {
                "is a folder without a known file of ratings"
            } else {
                "is of no known format"
            };
            DataError::file(
                path.display(),
                reason,
                "set <format> (netflix, movielens-dat, movielens-csv, movielens-tab, recbole, csv, tsv, \
                 parquet) with the file itself",
            )
        })
    }

    fn by_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
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
        } else if ends(&[".parquet"]) {
            Some(Self::Parquet)
        } else if ends(&[".csv", ".tsv"])
            && !["movies.csv", "tags.csv", "links.csv", "genome-scores.csv", "genome-tags.csv"]
                .contains(&bare)
        {
            Some(Self::Delimited)
        } else {
            None
        }
    }
}

/// Whether a folder's or archive's member is the one that holds the ratings.
pub(super) fn is_member(format: &Format, name: &str) -> bool {
    Format::by_name(name).as_ref() == Some(format)
        && !name.ends_with(".test")
        && !name.ends_with(".base")
        && !name.ends_with(".train")
}

/// A delimited text file: delimiter, header, positions of the columns.
pub(super) struct Layout {
    pub delimiter: Vec<u8>,
    /// The header line, which every file must have, for formats with one.
    pub header: Option<String>,
    pub quotes: bool,
    pub positions: Positions,
    /// Further columns: position and name.
    pub extra: Vec<(usize, String)>,
    /// What a line should look like, for messages.
    pub expected: String,
    /// Fields a line must have.
    pub fields: usize,
}

impl Layout {
    pub fn settle(path: &Path, format: &Format, options: &ReadOptions) -> Result<Self> {
        let fixed = |delimiter: &str| Self {
            delimiter: delimiter.as_bytes().to_vec(),
            header: None,
            quotes: false,
            positions: Positions { user: 0, item: 1, timestamp: 3, value: Some(2), event_type: None },
            extra: Vec::new(),
            expected: ["user", "item", "rating", "timestamp"].join(&delimiter.replace('\t', "<TAB>")),
            fields: 4,
        };
        match format {
            Format::MovieLensDat => Ok(fixed("::")),
            Format::MovieLensTab => Ok(fixed("\t")),
            Format::MovieLensCsv | Format::RecBole | Format::Delimited => {
                Self::from_header(path, format, options)
            }
            Format::Netflix | Format::Parquet => {
                Err(DataError::Setting("this format has no delimited layout".into()))
            }
        }
    }

    fn from_header(path: &Path, format: &Format, options: &ReadOptions) -> Result<Self> {
        let mut header = String::new();
        let mut file = path.display().to_string();
        source::visit(path, &|name| is_member(format, name), &mut |name, reader| {
            if header.is_empty() {
                name.clone_into(&mut file);
                let mut bytes = Vec::new();
                BufReader::new(std::io::Read::take(reader, 1 << 20))
                    .read_until(b'\n', &mut bytes)
                    .map_err(|e| super::blocks::truncated(name, e))?;
                if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
                    return Err(super::blocks::utf16(name));
                }
                String::from_utf8_lossy(&bytes)
                    .trim_start_matches('\u{feff}')
                    .trim_end()
                    .clone_into(&mut header);
            }
            Ok(())
        })?;
        if header.is_empty() {
            return Err(DataError::file(file, "is empty", "is this the right file?"));
        }
        let delimiter = match (&options.delimiter, format) {
            (Some(delimiter), _) if !delimiter.is_empty() => delimiter.replace("\\t", "\t"),
            (_, Format::RecBole) => "\t".into(),
            _ if header.contains('\t') => "\t".into(),
            _ if !header.contains(',') && header.contains(';') => ";".into(),
            _ => ",".into(),
        };
        // RecBole's header carries types: `user_id:token`.
        let names: Vec<String> = header
            .split(&delimiter)
            .map(|n| n.trim().trim_matches('"'))
            .map(|n| if *format == Format::RecBole { n.split(':').next().unwrap_or(n) } else { n }.to_owned())
            .collect();
        let positions = options.columns.find(&file, &names)?;
        let used = [
            Some(positions.user),
            Some(positions.item),
            Some(positions.timestamp),
            positions.value,
            positions.event_type,
        ];
        let extra = names.iter().cloned().enumerate().filter(|(i, _)| !used.contains(&Some(*i))).collect();
        Ok(Self {
            expected: names.join(&delimiter.replace('\t', "<TAB>")),
            fields: names.len(),
            delimiter: delimiter.into_bytes(),
            header: Some(header),
            quotes: *format != Format::RecBole,
            positions,
            extra,
        })
    }

    pub fn extra_names(&self) -> Vec<String> {
        self.extra.iter().map(|(_, name)| name.clone()).collect()
    }
}
