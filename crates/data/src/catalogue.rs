//! Tables about items and users: titles, genres, years, ages and whatever else a data set provides.

use crate::read::catalogue::{Dialect, ITEM, Row, Text, USER, guess, plain_name};
use crate::read::{Encoding, Quoting, open_text};
use crate::{BadRow, DataError, Result};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The genres of `MovieLens` 100K, in the order of `u.item`'s flags.
const GENRES_100K: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// Reads an item or user table: `u.item`, `u.user`, `movies.dat`, `users.dat`, `movies.csv`,
/// `movie_titles.txt`, `RecBole` `.item`/`.user`, Parquet, or any delimited text with a header.
///
/// All columns are text; the first is the id (`item_id` or `user_id`). Several genres share one
/// field with `|` between them. `MovieLens` 1M and 100K and the Netflix titles are Latin-1.
///
/// # Errors
/// [`DataError::Io`], and [`DataError::File`] for an unknown or malformed table, with the line.
pub fn read(path: &Path) -> Result<RecordBatch> {
    read_in(path, None)
}

/// As [`read`], for a text file in `encoding`.
///
/// # Errors
/// As [`read`].
pub fn read_in(path: &Path, encoding: Option<Encoding>) -> Result<RecordBatch> {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().to_lowercase());
    let bare = name.trim_end_matches(".gz").trim_end_matches(".zst").to_owned();
    if bare.ends_with(".parquet") {
        return parquet(path);
    }
    let mut bytes = Vec::new();
    open_text(path)?.read_to_end(&mut bytes).map_err(|e| DataError::io(path, "read", e))?;
    match bare.as_str() {
        "u.item" => flags(path, &latin1(&bytes)),
        "u.user" => {
            plain(path, &latin1(&bytes), "|", &["user_id", "age", "gender", "occupation", "zip_code"])
        }
        "movies.dat" if first_line(&bytes).contains("::") => {
            plain(path, &text_or_latin1(&bytes), "::", &["item_id", "title", "genres"])
        }
        "users.dat" if first_line(&bytes).contains("::") => {
            plain(path, &latin1(&bytes), "::", &["user_id", "gender", "age", "occupation", "zip_code"])
        }
        // Titles hold unquoted commas, so only the first two divide.
        "movie_titles.txt" | "movie_titles.csv" => {
            plain(path, &latin1(&bytes), ",", &["item_id", "year", "title"])
        }
        _ if [".csv", ".tsv", ".item", ".user", ".txt", ".dat", ".tab"]
            .iter()
            .any(|end| bare.ends_with(end)) =>
        {
            headed(path, &bytes, &bare, encoding)
        }
        _ => Err(DataError::file(
            path.display(),
            "is no known item or user table",
            "name a u.item, movies.dat, users.dat, movies.csv, .item, .user, .csv, .tsv or .parquet file",
        )),
    }
}

fn first_line(bytes: &[u8]) -> String {
    latin1(&bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())])
}

/// Latin-1 maps byte for byte to the first 256 code points.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// `movies.dat` is Latin-1 in the 1M release and UTF-8 in the 10M release.
fn text_or_latin1(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| latin1(bytes), str::to_owned)
}

fn plain(path: &Path, text: &str, delimiter: &str, columns: &[&str]) -> Result<RecordBatch> {
    let rows = numbered(text).map(|(number, line)| {
        let fields: Vec<&str> = line.splitn(columns.len(), delimiter).collect();
        if fields.len() == columns.len() {
            return Ok(fields);
        }
        Err(malformed(path, number, line, &columns.join(delimiter)))
    });
    table(columns.iter().map(|c| (*c).to_owned()).collect(), rows)
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim().is_empty())
}

fn malformed(path: &Path, number: usize, line: &str, expected: &str) -> DataError {
    DataError::file(
        format!("{}:{number}", path.display()),
        format!("too few fields\n  text: {}", line.escape_debug()),
        format!("a line is {expected}"),
    )
}

fn flags(path: &Path, text: &str) -> Result<RecordBatch> {
    let rows = numbered(text).map(|(number, line)| {
        let fields: Vec<&str> = line.split('|').collect();
        if fields.len() != 5 + GENRES_100K.len() {
            return Err(malformed(path, number, line, "id|title|date|video date|url and 19 genre flags"));
        }
        let genres: Vec<&str> = GENRES_100K
            .iter()
            .zip(&fields[5..])
            .filter(|(_, flag)| **flag == "1")
            .map(|(genre, _)| *genre)
            .collect();
        Ok(vec![fields[0].to_owned(), fields[1].to_owned(), genres.join("|"), fields[2].to_owned()])
    });
    table(["item_id", "title", "genres", "release_date"].map(str::to_owned).to_vec(), rows)
}

/// Names of the columns with the id first, under its usual name; the place of the id.
fn id_first(names: &[String]) -> (usize, Vec<String>) {
    let of =
        |usual: &[&str]| usual.iter().find_map(|u| names.iter().position(|name| plain_name(name) == **u));
    let (at, id) = match (of(&ITEM), of(&USER)) {
        (Some(at), _) => (at, "item_id".to_owned()),
        (None, Some(at)) => (at, "user_id".to_owned()),
        (None, None) => (0, names.first().cloned().unwrap_or_default()),
    };
    let mut ordered = vec![id];
    ordered.extend(names.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, name)| name.clone()));
    (at, ordered)
}

fn headed(path: &Path, bytes: &[u8], name: &str, encoding: Option<Encoding>) -> Result<RecordBatch> {
    let (mut reader, mut text) = (bytes, Vec::new());
    Text::new(&mut reader, encoding)
        .and_then(|mut decoded| decoded.read_to_end(&mut text))
        .map_err(|e| DataError::file(path.display(), e.to_string(), "set <encoding>"))?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let recbole = name.ends_with(".item") || name.ends_with(".user");
    let dialect = if recbole {
        Dialect::new("\t", Quoting::None)
    } else {
        let sample = &text[..text.len().min(1 << 16)];
        let whole = memchr::memrchr(b'\n', sample).map_or(sample.len(), |end| end + 1);
        guess(&sample[..whole], None, None, name.ends_with(".tsv"))
    };
    let (mut row, mut records, mut failed) = (Row::default(), Vec::new(), None);
    dialect.records(text, |number, record| {
        let well = std::str::from_utf8(record).is_ok() && dialect.split(record, &mut row).is_ok();
        if !well
            || records.first().is_some_and(|(_, first): &(u64, Vec<String>)| first.len() != row.ranges.len())
        {
            failed.get_or_insert_with(|| (number + 1, BadRow::show(record)));
            return;
        }
        records.push((number, row.texts(record)));
    });
    if let Some((line, shown)) = failed {
        let reason = format!("is no row like the first, or no UTF-8 text\n  text: {shown}");
        return Err(DataError::file(
            format!("{}:{line}", path.display()),
            reason,
            "fix the line; text in another encoding needs <encoding>",
        ));
    }
    let mut records = records.into_iter().map(|(_, fields)| fields);
    let Some(header) = records.next() else {
        return Err(DataError::file(path.display(), "is empty", "is this the right file?"));
    };
    // RecBole's header carries types; a `token_seq` is a list with blanks, unless it is a title.
    let typed: Vec<(&str, &str)> =
        header.iter().map(|name| name.split_once(':').unwrap_or((name, ""))).collect();
    let names: Vec<String> = typed.iter().map(|(name, _)| (*name).to_owned()).collect();
    let title = |name: &str| ["title", "name"].iter().any(|word| plain_name(name).contains(word));
    let lists: Vec<bool> =
        typed.iter().map(|(name, kind)| recbole && *kind == "token_seq" && !title(name)).collect();
    let (id, ordered) = id_first(&names);
    let rows = records.map(|mut fields| {
        for (field, _) in fields.iter_mut().zip(&lists).filter(|(_, list)| **list) {
            *field = field.split_whitespace().collect::<Vec<_>>().join("|");
        }
        let first = fields.remove(id);
        fields.insert(0, first);
        Ok(fields)
    });
    table(ordered, rows)
}

/// A table of Parquet: single values as text, lists of texts with bars between them, other columns left out.
fn parquet(path: &Path) -> Result<RecordBatch> {
    let file = std::fs::File::open(path).map_err(|e| DataError::io(path, "open", e))?;
    let fail = |e: parquet::errors::ParquetError| DataError::parquet(path, e);
    let batches = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(fail)?;
    let (mut names, mut columns): (Vec<String>, Vec<Vec<String>>) = (Vec::new(), Vec::new());
    for batch in batches {
        let batch = batch.map_err(|e| fail(e.into()))?;
        let mut texts = Vec::new();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let told = match column.data_type() {
                DataType::List(_) | DataType::LargeList(_) => lists(column),
                kind if kind.is_nested() => None,
                _ => arrow_cast::cast(column, &DataType::Utf8).ok().map(|text| {
                    let text: &StringArray = text.as_string();
                    text.iter().map(|text| text.unwrap_or_default().to_owned()).collect()
                }),
            };
            texts.extend(told.map(|texts| (field.name().clone(), texts)));
        }
        if columns.is_empty() {
            names = texts.iter().map(|(name, _)| name.clone()).collect();
            columns = vec![Vec::new(); names.len()];
        }
        columns.iter_mut().zip(texts).for_each(|(column, (_, texts))| column.extend(texts));
    }
    let (id, ordered) = id_first(&names);
    if columns.is_empty() {
        return Err(DataError::file(
            path.display(),
            "holds no column of single values",
            "is this the right file?",
        ));
    }
    let ids = columns.remove(id);
    columns.insert(0, ids);
    let rows =
        (0..columns[0].len()).map(|row| Ok(columns.iter().map(|column| column[row].clone()).collect()));
    table(ordered, rows)
}

/// A column of lists of single values as texts with bars.
fn lists(column: &ArrayRef) -> Option<Vec<String>> {
    let list = |row: usize| -> Option<String> {
        let values = match column.data_type() {
            DataType::List(_) if column.is_valid(row) => column.as_list::<i32>().value(row),
            DataType::LargeList(_) if column.is_valid(row) => column.as_list::<i64>().value(row),
            _ => return Some(String::new()),
        };
        let values = arrow_cast::cast(&values, &DataType::Utf8).ok()?;
        let texts: &StringArray = values.as_string();
        Some(texts.iter().flatten().collect::<Vec<_>>().join("|"))
    };
    (0..column.len()).map(list).collect()
}

fn table<S: AsRef<str>>(
    names: Vec<String>,
    rows: impl Iterator<Item = Result<Vec<S>>>,
) -> Result<RecordBatch> {
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for row in rows {
        for (column, field) in columns.iter_mut().zip(row?) {
            column.push(field.as_ref().trim().to_owned());
        }
    }
    let fields: Vec<Field> = names.into_iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let arrays: Vec<ArrayRef> =
        columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as ArrayRef).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|e| DataError::columns("attributes", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;

    fn read_as(name: &str, bytes: &[u8]) -> Result<RecordBatch> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    fn cell(table: &RecordBatch, column: &str, row: usize) -> String {
        table.column_by_name(column).unwrap().as_string::<i32>().value(row).to_owned()
    }

    #[test]
    fn every_known_table() {
        let movies = read_as("movies.dat", b"1::Caf\xe9 (1995)::Drama|War\n").unwrap();
        assert_eq!(cell(&movies, "title", 0), "Café (1995)");
        let movies =
            read_as("movies.csv", b"movieId,title,genres\n1,\"Net, The (1995)\",Action|Crime\n").unwrap();
        assert_eq!(cell(&movies, "title", 0), "Net, The (1995)");
        let titles = read_as("movie_titles.txt", b"72,1996,At Home, Among Strangers\n").unwrap();
        assert_eq!(cell(&titles, "title", 0), "At Home, Among Strangers");
        let item = format!(
            "267|unknown||||{}\n",
            ["1"].iter().chain(["0"; 18].iter()).copied().collect::<Vec<_>>().join("|")
        );
        assert_eq!(cell(&read_as("u.item", item.as_bytes()).unwrap(), "genres", 0), "unknown");
        let users = read_as("users.dat", b"1::F::1::10::48067\n").unwrap();
        assert_eq!(cell(&users, "occupation", 0), "10");
        let recbole = read_as("x.item", b"item_id:token\tname:token_seq\n5\tA \"B\n").unwrap();
        assert_eq!(cell(&recbole, "name", 0), "A \"B");
        let recbole = read_as("x.item", b"item_id:token\tclass:token_seq\n5\tWar Drama\n").unwrap();
        assert_eq!(cell(&recbole, "class", 0), "War|Drama");
        let books = read_as(
            "BX-Books.csv",
            b"\"ISBN\";\"Book-Title\"\r\n\"1\";\"A, \\\"B\\\"; and C\"\r\n\"2\";\"D\"\r\n",
        );
        assert_eq!(cell(&books.unwrap(), "Book-Title", 0), "A, \"B\"; and C");
        let later = read_as("articles.csv", b"name,article_id,kind\nhat,7,a\n").unwrap();
        assert_eq!((cell(&later, "item_id", 0), cell(&later, "name", 0)), ("7".into(), "hat".into()));
        assert_eq!(later.schema().field(0).name(), "item_id");
    }

    #[test]
    fn parquet_tables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items.parquet");
        let genres = arrow_array::ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            None,
        ]);
        let batch = RecordBatch::try_from_iter([
            ("price", Arc::new(arrow_array::Float64Array::from(vec![1.5, 2.0])) as ArrayRef),
            ("item_id", Arc::new(arrow_array::Int64Array::from(vec![7, 8]))),
            ("genres", Arc::new(genres)),
        ])
        .unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let table = read(&path).unwrap();
        assert_eq!((cell(&table, "item_id", 1), cell(&table, "genres", 0)), ("8".into(), "1|2".into()));
    }

    #[test]
    fn errors_name_the_line() {
        let error = read_as("movies.dat", b"1::A::B\n2:C\n").unwrap_err().to_string();
        assert!(error.contains("movies.dat:2") && error.contains("2:C"), "{error}");
        assert!(read_as("notes.md", b"").is_err());
    }
}
