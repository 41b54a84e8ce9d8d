//! The data set compiled in: `MovieLens` latest-small (2016), so that everything works without a
//! network. Its licence lies beside it (`datasets/ml-latest-small/LICENCE.txt`).

use crate::{Interactions, Manifest, Result};

/// The ratings as an interactions Parquet file.
pub const RATINGS: &[u8] = include_bytes!("../../../datasets/ml-latest-small/interactions.parquet");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_its_official_counts() {
        let table = load().unwrap();
        assert_eq!(Manifest::find(NAME).unwrap().differences(&table), Vec::<String>::new());
        table.require_values().unwrap();
    }
}
