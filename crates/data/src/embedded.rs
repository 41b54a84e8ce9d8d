//! The data set compiled in: `MovieLens` latest-small (2016), so that everything works without a
//! network. Its licence lies beside it (`datasets/ml-latest-small/LICENCE.txt`).

use crate::{Interactions, Manifest, Result, catalogue};
use arrow::array::RecordBatch;

/// The ratings as an interactions Parquet file.
pub const RATINGS: &[u8] = include_bytes!("../../../datasets/ml-latest-small/interactions.parquet");
/// Its films: id, title, genres.
pub const ITEMS: &str = include_str!("../../../datasets/ml-latest-small/movies.csv");
/// The licence the data came under.
pub const LICENCE: &str = include_str!("../../../datasets/ml-latest-small/LICENCE.txt");
/// Name of the embedded data set.
pub const NAME: &str = "ml-latest-small";

/// Loads the embedded data set.
///
/// # Errors
/// [`crate::DataError::Io`] when no temporary file can be written.
pub fn load() -> Result<Interactions> {
    let folder = tempfile::tempdir().map_err(|e| crate::DataError::io(&std::env::temp_dir(), "create", e))?;
    let path = folder.path().join("interactions.parquet");
    crate::atomic::write(&path, RATINGS)?;
    let options =
        crate::ReadOptions { format: Some(crate::Format::Parquet), scale: Manifest::find(NAME)?.read_options()?.scale, ..crate::ReadOptions::default() };
    Ok(crate::read(&path, &options)?.0)
}

/// Loads the table of its films.
///
/// # Errors
/// [`crate::DataError::Io`] when no temporary file can be written.
pub fn items() -> Result<RecordBatch> {
    let folder = tempfile::tempdir().map_err(|e| crate::DataError::io(&std::env::temp_dir(), "create", e))?;
    let path = folder.path().join("movies.csv");
    crate::atomic::write(&path, ITEMS.as_bytes())?;
    catalogue::read(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_its_official_counts() {
        let table = load().unwrap();
        assert_eq!(Manifest::find(NAME).unwrap().differences(&table), Vec::<String>::new());
        table.require_values().unwrap();
        let genres = crate::Attributes::from_table(&items().unwrap(), &table.item_ids).unwrap();
        let told = (0..table.n_items() as u32).filter(|item| !genres.of(*item).is_empty()).count();
        assert!(told * 100 > table.n_items() * 99, "{told} of {} films have genres", table.n_items());
    }
}
