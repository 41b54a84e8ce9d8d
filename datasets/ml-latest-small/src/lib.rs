#![doc = include_str!("../README.md")]

/// The ratings as an interactions Parquet file: user, item, time (seconds) and rating of 100,004 rows.
pub const RATINGS: &[u8] = include_bytes!("../interactions.parquet");
/// The films as CSV with a header: id, title, genres.
pub const ITEMS: &str = include_str!("../movies.csv");
/// The terms the data comes under.
pub const LICENCE: &str = include_str!("../LICENCE.txt");
