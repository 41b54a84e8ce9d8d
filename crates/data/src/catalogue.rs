//! Tables about items and users: titles, genres, years, ages and whatever else a data set provides.

use crate::read::open_text;
use crate::{DataError, Result};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
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
/// `movie_titles.txt`, `RecBole` `.item`/`.user`, or any CSV/TSV with a header.
///
/// All columns are text; the first is the id (`item_id` or `user_id`). Several genres share one
/// field with `|` between them. `MovieLens` 1M and 100K and the Netflix titles are Latin-1.
///
/// # Errors
/// [`DataError::Io`], and [`DataError::File`] for an unknown or malformed table, with the line.
pub fn read(path: &Path) -> Result<RecordBatch> {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().to_lowercase());
    let bare = name.trim_end_matches(".gz").trim_end_matches(".zst").to_owned();
    let mut bytes = Vec::new();
    open_text(path)?.read_to_end(&mut bytes).map_err(|e| DataError::io(path, "read", e))?;
    match bare.as_str() {
        "u.item" => flags(path, &latin1(&bytes)),
        "u.user" => {
            plain(path, &latin1(&bytes), "|", &["user_id", "age", "gender", "occupation", "zip_code"])
        }
        "movies.dat" => plain(path, &text_or_latin1(&bytes), "::", &["item_id", "title", "genres"]),
        "users.dat" => {
            plain(path, &latin1(&bytes), "::", &["user_id", "gender", "age", "occupation", "zip_code"])
        }
        // Titles hold unquoted commas, so only the first two divide.
        "movie_titles.txt" | "movie_titles.csv" => {
            plain(path, &latin1(&bytes), ",", &["item_id", "year", "title"])
        }
        _ if [".csv", ".tsv", ".item", ".user"].iter().any(|end| bare.ends_with(end)) => {
            headed(path, &bytes, &bare)
        }
        _ => Err(DataError::file(
            path.display(),
            "is no known item or user table",
            "name a u.item, movies.dat, users.dat, movies.csv, .item, .user, .csv or .tsv file",
        )),
    }
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

fn headed(path: &Path, bytes: &[u8], name: &str) -> Result<RecordBatch> {
    let tabs = !name.ends_with(".csv");
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(if tabs { b'\t' } else { b',' })
        .quoting(!tabs || name.ends_with(".tsv"))
        .from_reader(bytes);
    let fail = |e: csv::Error| DataError::file(path.display(), e.to_string(), "fix the line");
    let header: Vec<String> = reader
        .headers()
        .map_err(fail)?
        .iter()
        .map(|column| match column.split(':').next().unwrap_or(column) {
            "movieId" | "movie_id" | "ITEM_ID" => "item_id".to_owned(),
            "userId" | "USER_ID" => "user_id".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    let rows = reader
        .records()
        .map(|record| Ok(record.map_err(fail)?.iter().map(str::to_owned).collect::<Vec<_>>()));
    table(header, rows)
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
    }

    #[test]
    fn errors_name_the_line() {
        let error = read_as("movies.dat", b"1::A::B\n2:C\n").unwrap_err().to_string();
        assert!(error.contains("movies.dat:2") && error.contains("2:C"), "{error}");
        assert!(read_as("notes.md", b"").is_err());
    }
}
