//! Loads data sets by name or path.

use crate::{BenchError, Result};
use arrow_array::{Array, RecordBatch, StringArray};
use foretaste_data::{
    Attributes, EventTypes, Interactions, LoadReport, Manifest, ReadOptions, Vocabulary, embedded, simulate,
};
use foretaste_models::SavedModel;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A data set, read and checked.
pub struct Dataset {
    /// Name in tables and folders.
    pub name: String,
    /// The interactions.
    pub table: Interactions,
    /// Statistics of reading.
    pub report: LoadReport,
    /// Smallest and largest rating: the manifest's scale or the requested one; `None` without either.
    pub scale: Option<(f32, f32)>,
    /// Its manifest, for a known data set.
    pub manifest: Option<Manifest>,
    /// Whether it is a known data set with its official counts, so that published figures apply to it.
    pub official: bool,
    /// SHA-256 of its content.
    pub hash: String,
    /// Attributes of users, if there is a table of them beside the ratings.
    pub user_attributes: Option<Attributes>,
    /// Attributes of items, likewise.
    pub item_attributes: Option<Attributes>,
    /// The tables themselves.
    pub tables: Tables,
    /// For a simulated log, each row's expected rating, and the file it was read from.
    pub truth: Option<(PathBuf, Vec<f32>)>,
    /// Notes for the user: differences from official counts, skipped lines, duplicates.
    pub remarks: Vec<String>,
}

/// Tables of users and items beside a log; all columns are text, the first is the id.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Users.
    pub users: Option<RecordBatch>,
    /// Items.
    pub items: Option<RecordBatch>,
    /// The files they were read from.
    pub files: Vec<PathBuf>,
}

/// Files of users and items that are named rather than found.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Users.
    pub users: Option<PathBuf>,
    /// Items.
    pub items: Option<PathBuf>,
}

impl Tables {
    /// The attributes of the users and items of a log.
    fn attributes(&self, table: &Interactions) -> (Option<Attributes>, Option<Attributes>) {
        let of = |rows: &Option<RecordBatch>, ids: &Vocabulary| {
            rows.as_ref().and_then(|rows| Attributes::from_table(rows, ids))
        };
        (of(&self.users, &table.user_ids), of(&self.items, &table.item_ids))
    }

    /// What a filter may ask of the log's users and items.
    #[must_use]
    pub fn facts(&self, table: &Interactions) -> (Option<Attributes>, Option<Attributes>) {
        let of = |rows: &Option<RecordBatch>, ids: &Vocabulary| {
            rows.as_ref().and_then(|rows| Attributes::of_all_columns(rows, ids))
        };
        (of(&self.users, &table.user_ids), of(&self.items, &table.item_ids))
    }

    /// An item's title, if the table of items has one.
    #[must_use]
    pub fn titles(&self) -> Option<HashMap<&str, &str>> {
        let items = self.items.as_ref()?;
        let title = TITLES.iter().find_map(|name| {
            let plain = |field: &str| field.to_lowercase().replace(['_', '-', ' '], "");
            items.schema().fields().iter().position(|field| plain(field.name()) == *name)
        })?;
        let text = |column: usize| items.column(column).as_any().downcast_ref::<StringArray>();
        let (ids, titles) = (text(0)?, text(title)?);
        Some(ids.iter().zip(titles).filter_map(|(id, title)| Some((id?, title?))).collect())
    }
}

/// Usual names of a column of titles.
const TITLES: [&str; 8] =
    ["title", "name", "itemname", "producttitle", "prodname", "booktitle", "movietitle", "artistname"];

/// The folder of fetched data sets: `FORETASTE_DATA`, or `foretaste` in the user's data folder.
#[must_use]
pub fn home() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("FORETASTE_DATA")
        .or_else(|| var("XDG_DATA_HOME").map(|p| p.join("foretaste")))
        .or_else(|| var("HOME").map(|p| p.join(".local/share/foretaste")))
        .unwrap_or_else(|| PathBuf::from("foretaste-data"))
}

/// What the options do to the embedded data set: rows are chosen, and there is no file to read.
fn of_embedded(options: &ReadOptions, table: &mut Interactions) -> Result<Option<String>> {
    let none = ReadOptions {
        events: options.events.clone(),
        min_value: options.min_value,
        scale: options.scale,
        ..ReadOptions::default()
    };
    if *options != none {
        return Err(BenchError::Request(format!(
            "{} is part of the program: options on how a file is read do nothing; leave them out, or name \
             a file with --data",
            embedded::NAME
        )));
    }
    Ok(options.keep(table)?)
}

/// Loads `name`: a known data set (from `data` when given, else from [`home`], else compiled in), or
/// the path of a file or folder.
///
/// # Errors
/// [`BenchError::Data`] for errors of reading, [`BenchError::Absent`] when a known data set is nowhere,
/// [`BenchError::Request`] for arguments that contradict each other.
pub fn load(name: &str, data: Option<&Path>, options: &ReadOptions, beside: &Beside) -> Result<Dataset> {
    // A known name means the data set, even if the working folder has a file of that name.
    let known =
        !name.contains(['/', '\\', '.']) && (Manifest::find(name).is_ok() || !Path::new(name).exists());
    let manifest = if known { Some(Manifest::find(name)?) } else { None };
    if manifest.is_none() && data.is_some() {
        return Err(BenchError::Request(format!(
            "{name} is a path itself: only a known data set has its place named beside it"
        )));
    }
    let found = beside.or_found(manifest.as_ref(), data, (!known).then(|| Path::new(name)));
    if let Some(rejects) = options.rejects.as_ref().filter(|rejects| found.holds(rejects)) {
        return Err(BenchError::Request(format!(
            "{} is a table that is read; name another file for bad lines",
            rejects.display()
        )));
    }
    let mut remarks = Vec::new();
    let (table, report) = match &manifest {
        None => foretaste_data::read(Path::new(name), options)?,
        Some(manifest) => of_known(manifest, data, options, &mut remarks)?,
    };
    if let Some(manifest) = &manifest {
        remarks.extend(manifest.differences(&table));
    }
    let manifest_counts = remarks.is_empty();
    if report.duplicates > 0 {
        let (key, were) = if table.is_timed() {
            ("user, item, event type and time stamp", "")
        } else {
            ("user, item and event type", " (the log has no times to tell them apart)")
        };
        remarks.push(format!(
            "{} rows were dropped: a later row has the same {key}{were}; {} of them had another value",
            report.duplicates, report.conflicting_duplicates
        ));
    }
    if let Some(rejects) = &report.rejects {
        remarks.push(format!("{}; they are in {}", report.left_out(), rejects.display()));
    }
    let scale = options.scale.or_else(|| manifest.as_ref().map(|m| (m.scale.min, m.scale.max)));
    let stem =
        Path::new(name).file_stem().map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned());
    let place = data.map(Path::to_path_buf).or_else(|| (!known).then(|| PathBuf::from(name)));
    let hash = table.content_hash();
    let truth = truth(place.as_deref(), &table)?;
    let embedded = manifest.as_ref().is_some_and(|m| m.name == embedded::NAME) && data.is_none();
    let tables = found.tables(&table, options, embedded && beside.items.is_none())?;
    let (user_attributes, item_attributes) = tables.attributes(&table);
    // Another release of a known data set goes by its size: it is not what the name promises.
    let name = match (&manifest, &truth) {
        (Some(_), None) if !manifest_counts => format!("{name}-{}", table.len()),
        _ if known => name.to_owned(),
        _ => stem,
    };
    // A simulated log may have the counts of its original.
    let official = manifest.is_some() && remarks.is_empty() && truth.is_none();
    remarks.extend(report.remarks.iter().cloned());
    Ok(Dataset {
        name,
        table,
        report,
        scale,
        manifest,
        official,
        hash,
        user_attributes,
        item_attributes,
        tables,
        truth,
        remarks,
    })
}

/// The rows of a known data set, from `data` or from where it is kept.
fn of_known(
    manifest: &Manifest,
    data: Option<&Path>,
    options: &ReadOptions,
    remarks: &mut Vec<String>,
) -> Result<(Interactions, LoadReport)> {
    let place = home().join(&manifest.name);
    let official = manifest.read_options()?;
    let own =
        ReadOptions { format: official.format, scale: options.scale.or(official.scale), ..options.clone() };
    Ok(match data {
        // A file may have another format than its owner's.
        Some(path) if path.is_file() => {
            let zip = path.extension().is_some_and(|e| e == "zip");
            let format = options.format.clone().or(if zip { own.format.clone() } else { None });
            foretaste_data::read(path, &ReadOptions { format, ..own })?
        }
        Some(path) => foretaste_data::read(&manifest.locate(path)?, &own)?,
        None if manifest.name == embedded::NAME => {
            let mut table = embedded::load()?;
            remarks.extend(of_embedded(options, &mut table)?);
            let report = LoadReport {
                rows: table.len(),
                users: table.n_users(),
                items: table.n_items(),
                files: 1,
                ..LoadReport::default()
            };
            (table, report)
        }
        None if place.join(FETCHED).is_file() => foretaste_data::read(&place.join(FETCHED), options)?,
        None if place.is_dir() => foretaste_data::read(&manifest.locate(&place)?, &own)?,
        None => return Err(BenchError::Absent { name: manifest.name.clone(), place }),
    })
}

/// The expectations of a simulated log's ratings, if its folder has them.
fn truth(place: Option<&Path>, table: &Interactions) -> Result<Option<(PathBuf, Vec<f32>)>> {
    let beside = |place: &Path| {
        [Some(place), place.parent()]
            .into_iter()
            .flatten()
            .map(|folder| folder.join(simulate::TRUTH))
            .find(|file| file.is_file())
    };
    let Some(file) = place.and_then(beside) else { return Ok(None) };
    let values = simulate::truth(&file, table)?;
    Ok(Some((file, values)))
}

/// Name of the chart that uses the largest available `MovieLens`.
pub const MOVIELENS: &str = "movielens";

/// The largest `MovieLens` at `data` (or in [`home`]); the embedded one if there is none.
///
/// # Errors
/// [`BenchError::Request`] when `data` holds none.
pub fn largest_movielens(data: Option<&Path>) -> Result<String> {
    const LARGEST_FIRST: [&str; 6] = ["ml-32m", "ml-25m", "ml-20m", "ml-10m", "ml-1m", "ml-100k"];
    // The talk's is ml-20m; some of its siblings' files have the same names.
    for name in std::iter::once("ml-20m").chain(LARGEST_FIRST) {
        let manifest = Manifest::find(name)?;
        let place = data.map_or_else(|| home().join(name), Path::to_path_buf);
        let named = data.is_none()
            || place.to_string_lossy().contains(name)
            || !LARGEST_FIRST.iter().any(|n| place.to_string_lossy().contains(n));
        if named && (manifest.locate(&place).is_ok() || place.join(FETCHED).is_file()) {
            return Ok(name.to_owned());
        }
    }
    match data {
        Some(data) => Err(BenchError::Request(format!(
            "{}: no MovieLens is here; name the folder of its ratings file",
            data.display()
        ))),
        None => Ok(embedded::NAME.to_owned()),
    }
}

/// Keeps the users whose id is a number in `range` (`FROM-TO`).
///
/// # Errors
/// [`BenchError::Users`] for a malformed range or one that holds no user.
pub fn restrict(data: Dataset, range: &str) -> Result<Dataset> {
    let refused = |reason: String| BenchError::Users { range: range.to_owned(), reason };
    let wrong = || refused("write FROM-TO, for example 1-2999".into());
    let (low, high) = range.split_once('-').ok_or_else(wrong)?;
    let (low, high): (u64, u64) =
        (low.trim().parse().map_err(|_| wrong())?, high.trim().parse().map_err(|_| wrong())?);
    let table = data.table.of_users(|name| name.parse::<u64>().is_ok_and(|id| (low..=high).contains(&id)))?;
    if table.is_empty() {
        return Err(refused(format!("{} has no such user", data.name)));
    }
    let hash = table.content_hash();
    // The indices changed, and attributes go by them.
    let (user_attributes, item_attributes) = data.tables.attributes(&table);
    let truth = match data.truth {
        Some((file, _)) => Some((file.clone(), simulate::truth(&file, &table)?)),
        None => None,
    };
    Ok(Dataset {
        name: format!("{}-users-{low}-{high}", data.name),
        table,
        hash,
        official: false,
        user_attributes,
        item_attributes,
        truth,
        ..data
    })
}

/// The data with a saved model's indices: its users and items keep theirs, further users follow, and rows of
/// further items are left out, because the model does not know them.
///
/// # Errors
/// [`BenchError::Request`] where no row is left.
pub fn in_terms_of(data: Dataset, saved: &SavedModel) -> Result<Dataset> {
    let table = &data.table;
    let strangers: Vec<&str> =
        table.user_ids.iter().filter(|name| saved.user_ids.index(name).is_none()).collect();
    let user_ids: Vocabulary = saved.user_ids.iter().chain(strangers).collect();
    let users: Vec<Option<u32>> = table.user_ids.iter().map(|name| user_ids.index(name)).collect();
    let items: Vec<Option<u32>> = table.item_ids.iter().map(|name| saved.item_ids.index(name)).collect();
    let place_of = |row: usize| Some((users[table.users[row] as usize]?, items[table.items[row] as usize]?));
    let mut rows: Vec<(u32, u32, usize)> =
        (0..table.len()).filter_map(|row| place_of(row).map(|(user, item)| (user, item, row))).collect();
    if rows.is_empty() {
        return Err(BenchError::Request(format!(
            "{} has no item that the saved model knows; is it the data set it was trained on?",
            data.name
        )));
    }
    // Rows of a user keep their order.
    rows.sort_by_key(|(user, _, _)| *user);
    let pick = |codes: &[u32]| rows.iter().map(|(_, _, row)| codes[*row]).collect();
    let known = Interactions {
        users: rows.iter().map(|(user, _, _)| *user).collect(),
        items: rows.iter().map(|(_, item, _)| *item).collect(),
        timestamps: rows.iter().map(|(_, _, row)| table.timestamps.at(*row)).collect(),
        nanoseconds: if table.nanoseconds.is_empty() { Vec::new() } else { pick(&table.nanoseconds) },
        values: rows.iter().map(|(_, _, row)| table.values[*row]).collect(),
        event_types: table
            .event_types
            .as_ref()
            .map(|types| EventTypes { codes: pick(&types.codes), names: types.names.clone() }),
        extra: Vec::new(),
        user_ids,
        item_ids: saved.item_ids.clone(),
    };
    let mut remarks = data.remarks;
    if known.len() < table.len() {
        remarks.push(format!(
            "{} rows are of items that the saved model does not know",
            table.len() - known.len()
        ));
    }
    let (user_attributes, item_attributes) = data.tables.attributes(&known);
    Ok(Dataset {
        table: known,
        official: false,
        user_attributes,
        item_attributes,
        truth: None,
        remarks,
        ..data
    })
}

/// Logs with the tables that their owners deliver beside them: of users, of items.
const DELIVERED: [(&str, Option<&str>, &str); 4] = [
    ("ratings.csv", None, "movies.csv"),
    ("ratings.dat", Some("users.dat"), "movies.dat"),
    ("u.data", Some("u.user"), "u.item"),
    ("training_set", None, "movie_titles.txt"),
];

/// The tables that belong to the log at `path`, a file or the folder that holds it.
fn delivered(path: &Path) -> Beside {
    let of = |(log, users, items): &(&str, Option<&str>, &str)| {
        let folder = if path.file_name()? == *log {
            path.parent()?
        } else {
            Some(path).filter(|path| path.join(log).exists())?
        };
        let table = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        Some(Beside { users: users.and_then(table), items: table(items) })
    };
    DELIVERED.iter().find_map(of).unwrap_or_default()
}

impl Beside {
    /// These files, or those that lie beside the log: a known data set's own, or a folder's `items` and
    /// `users` (Amazon Personalize), `.item` and `.user` files of the log's name (`RecBole`), or what
    /// `MovieLens` and Netflix deliver.
    fn or_found(&self, manifest: Option<&Manifest>, data: Option<&Path>, path: Option<&Path>) -> Self {
        let found = |own: &Option<PathBuf>, known: Option<&String>, names: [&str; 3], ending: &str| {
            let of_known = || {
                let manifest = manifest?;
                let place = data.map_or_else(|| home().join(&manifest.name), Path::to_path_buf);
                Some(manifest.locate(&place).ok()?.with_file_name(known?)).filter(|path| path.is_file())
            };
            let of_path = || {
                let path = path?;
                let (folder, stem) = if path.is_dir() {
                    (path, path.file_name()?.to_string_lossy().into_owned())
                } else {
                    let stem = path.file_stem()?.to_string_lossy().into_owned();
                    let log = stem == "interactions" || path.extension().is_some_and(|e| e == "inter");
                    (path.parent().filter(|_| log)?, stem)
                };
                let named = names.iter().map(|name| folder.join(name));
                named.chain([folder.join(format!("{stem}.{ending}"))]).find(|path| path.is_file())
            };
            own.clone().or_else(of_known).or_else(of_path)
        };
        let (users, items) =
            (manifest.and_then(|m| m.users.as_ref()), manifest.and_then(|m| m.items.as_ref()));
        let own = path.map(delivered).unwrap_or_default();
        Self {
            users: found(&self.users, users, ["users.csv", "users.tsv", "users.parquet"], "user")
                .or(own.users),
            items: found(&self.items, items, ["items.csv", "items.tsv", "items.parquet"], "item")
                .or(own.items),
        }
    }

    /// The files.
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.users.iter().chain(&self.items)
    }

    /// Whether a path is one of the files, also through links.
    fn holds(&self, path: &Path) -> bool {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        real(path).is_some_and(|path| self.files().any(|file| real(file).as_ref() == Some(&path)))
    }

    /// The tables, read; `embedded` for the compiled-in table of items.
    fn tables(&self, log: &Interactions, options: &ReadOptions, embedded: bool) -> Result<Tables> {
        let read = |path: &Option<PathBuf>, ids: &Vocabulary, what: &str| -> Result<Option<RecordBatch>> {
            let Some(path) = path else { return Ok(None) };
            let rows = foretaste_data::catalogue::read_in(path, options.encoding)?;
            let first = rows.column(0).as_any().downcast_ref::<StringArray>();
            let known = |first: &StringArray| first.iter().flatten().any(|id| ids.index(id).is_some());
            if !first.is_some_and(known) {
                return Err(foretaste_data::DataError::file(
                    path.display(),
                    format!(
                        "no {what} of the log is among its ids (column {})",
                        rows.schema().field(0).name()
                    ),
                    format!("its ids must be those of the log, for example {}", ids.name(0)),
                )
                .into());
            }
            Ok(Some(rows))
        };
        Ok(Tables {
            files: self.files().cloned().collect(),
            users: read(&self.users, &log.user_ids, "user")?,
            items: if embedded {
                Some(embedded::items()?)
            } else {
                read(&self.items, &log.item_ids, "item")?
            },
        })
    }
}

/// The name under which `fetch` stores a data set that comes from a registry package.
pub const FETCHED: &str = "interactions.parquet";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivered_tables_are_found_beside_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("movies.csv"), "movieId,title,genres\n7,A,Drama\n").unwrap();
        let found = |path: &Path| Beside::default().or_found(None, None, Some(path));
        assert_eq!(found(folder.path()).items, None, "no log, no tables");
        std::fs::write(path("ratings.csv"), "userId,movieId,rating,timestamp\n1,7,4,1\n").unwrap();
        for log in [folder.path().to_path_buf(), path("ratings.csv")] {
            assert_eq!(found(&log).items, Some(path("movies.csv")));
            let read = load(&log.display().to_string(), None, &ReadOptions::default(), &Beside::default());
            assert!(read.unwrap().tables.items.is_some());
        }
        assert_eq!(found(&path("movies.csv")).items, None, "a table is no log");
        std::fs::write(path("items.csv"), "ITEM_ID,GENRES\n7,Drama\n").unwrap();
        assert_eq!(found(folder.path()).items, Some(path("items.csv")), "a table of ours goes first");
    }
}
