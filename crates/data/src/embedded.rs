//! The embedded data set, compiled in with the feature `ml-latest-small`: `MovieLens` latest-small
//! (2016), so that everything works without a network. It is a crate of its own, under its owner's terms and
//! not this crate's licence.

use crate::{DataError, Interactions, Manifest, Result, catalogue};
use arrow_array::RecordBatch;

/// Name of the embedded data set.
pub const NAME: &str = "ml-latest-small";

#[cfg(feature = "ml-latest-small")]
#[allow(clippy::unnecessary_wraps)] // Without the feature there is nothing to return.
fn files() -> Result<(&'static [u8], &'static str)> {
    Ok((foretaste_ml_latest_small::RATINGS, foretaste_ml_latest_small::ITEMS))
}

#[cfg(not(feature = "ml-latest-small"))]
fn files() -> Result<(&'static [u8], &'static str)> {
    Err(DataError::Setting(format!(
        "the ratings of {NAME} are not compiled in: their terms exclude commercial use\n  help: build \
         with the feature {NAME} of foretaste-data, or name a log of your own"
    )))
}

/// Loads the embedded data set.
///
/// # Errors
/// [`DataError::Setting`] where it is not compiled in; [`DataError::Io`] when no temporary file can be
/// written.
pub fn load() -> Result<Interactions> {
    let (ratings, _) = files()?;
    let folder = scratch()?;
    let path = folder.path().join("interactions.parquet");
    crate::atomic::write(&path, ratings)?;
    let options = crate::ReadOptions {
        format: Some(crate::Format::Parquet),
        scale: Manifest::find(NAME)?.read_options()?.scale,
        ..crate::ReadOptions::default()
    };
    Ok(crate::read(&path, &options)?.0)
}

/// Loads its table of movies.
///
/// # Errors
/// [`DataError::Setting`] where it is not compiled in; [`DataError::Io`] when no temporary file can be
/// written.
pub fn items() -> Result<RecordBatch> {
    let (_, items) = files()?;
    let folder = scratch()?;
    let path = folder.path().join("movies.csv");
    crate::atomic::write(&path, items.as_bytes())?;
    catalogue::read(&path)
}

fn scratch() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|e| DataError::io(&std::env::temp_dir(), "create", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "ml-latest-small")]
    #[test]
    fn has_its_official_counts() {
        let table = load().unwrap();
        assert_eq!(Manifest::find(NAME).unwrap().differences(&table), Vec::<String>::new());
        table.require_values().unwrap();
        let genres = crate::Attributes::from_table(&items().unwrap(), &table.item_ids).unwrap();
        let told = (0..table.n_items() as u32).filter(|item| !genres.of(*item).is_empty()).count();
        assert!(told * 100 > table.n_items() * 99, "{told} of {} films have genres", table.n_items());
    }

    #[cfg(not(feature = "ml-latest-small"))]
    #[test]
    fn says_where_it_is_when_it_is_not_compiled_in() {
        assert!(load().unwrap_err().to_string().contains("feature ml-latest-small"));
        assert!(items().is_err());
    }
}
