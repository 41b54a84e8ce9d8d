//! Input sources: files, folders, compressed files and archives, as named streams.

use super::blocks::truncated;
use crate::{DataError, Result};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

type Visitor<'a> = dyn FnMut(&str, &mut dyn Read) -> Result<()> + 'a;

/// Calls `visit` with every text stream of `path` whose bare name `wanted` accepts, in name order
/// within a folder and in stored order within an archive. A plain file is always wanted.
pub(super) fn visit(path: &Path, wanted: &dyn Fn(&str) -> bool, visit: &mut Visitor) -> Result<()> {
    let mut count = 0;
    let mut counted = |name: &str, reader: &mut dyn Read| {
        count += 1;
        visit(name, reader)
    };
    if path.is_dir() {
        for file in members(path, wanted)? {
            let mut reader = open(&file)?;
            counted(&file.display().to_string(), &mut reader)?;
        }
    } else {
        let shown = path.display().to_string();
        match archive_kind(path) {
            Some(Archive::Zip) => visit_zip(path, wanted, &mut counted)?,
            Some(Archive::Tar) => visit_tar(&shown, &mut open(path)?, wanted, &mut counted)?,
            None => counted(&shown, &mut open(path)?)?,
        }
    }
    if count == 0 {
        let what = if path.is_dir() { "is a folder without" } else { "is an archive without" };
        return Err(DataError::file(
            path.display(),
            format!("{what} any file of the expected name"),
            "name the file itself, or a folder of mv_*.txt, combined_data_*.txt, ratings.dat, ratings.csv, \
             u.data or *.inter",
        ));
    }
    Ok(())
}

/// Opens one file (decompressing `.gz` and `.zst`) as a stream of bytes.
///
/// # Errors
/// [`DataError::Io`] when it cannot be opened; [`DataError::File`] for a folder.
pub fn open_text(path: &Path) -> Result<Box<dyn Read + Send>> {
    open(path)
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    if path.is_dir() {
        return Err(DataError::file(path.display(), "is a folder, not a file", "name a file"));
    }
    let file = File::open(path).map_err(|e| DataError::io(path, "open", e))?;
    let left = file.metadata().map_err(|e| DataError::io(path, "open", e))?.len();
    let file = Whole { file, left };
    // What is compressed says so in its first bytes, whatever its name says.
    let packed = if begins_with(path, b"\x1f\x8b") {
        "gz".to_owned()
    } else if begins_with(path, b"\x28\xb5\x2f\xfd") {
        "zst".to_owned()
    } else {
        suffix(path)
    };
    Ok(match packed.as_str() {
        "gz" | "tgz" => {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)))
        }
        "zst" => Box::new(zstd::Decoder::new(file).map_err(|e| DataError::io(path, "read", e))?),
        _ => Box::new(file),
    })
}

/// Whether a file begins with these bytes.
pub(super) fn begins_with(path: &Path, bytes: &[u8]) -> bool {
    let mut head = vec![0; bytes.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == bytes
}

/// Whether an archive's member is one that a system adds by itself (macOS's `__MACOSX/._name`).
pub(super) fn is_left_by_a_system(name: &str) -> bool {
    name.contains("__MACOSX/") || last_part(name).starts_with('.')
}

/// A file that must not end before the length it had when it was opened.
struct Whole {
    file: File,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(into)?;
        self.left = self.left.saturating_sub(read as u64);
        if read == 0 && self.left > 0 && !into.is_empty() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                format!("it grew {} bytes shorter while it was read", self.left),
            ));
        }
        Ok(read)
    }
}

enum Archive {
    Zip,
    Tar,
}

fn archive_kind(path: &Path) -> Option<Archive> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    if name.ends_with(".zip") {
        Some(Archive::Zip)
    } else if [".tar", ".tar.gz", ".tgz", ".tar.zst"].iter().any(|end| name.ends_with(end)) {
        Some(Archive::Tar)
    } else {
        None
    }
}

fn suffix(path: &Path) -> String {
    path.extension().map_or_else(String::new, |e| e.to_string_lossy().to_lowercase())
}

/// Files of a folder (and of its `training_set` folder) that are wanted, in name order.
fn members(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in [folder.to_path_buf(), folder.join("training_set")] {
        if !folder.is_dir() {
            continue;
        }
        let entries = std::fs::read_dir(&folder).map_err(|e| DataError::io(&folder, "list", e))?;
        for entry in entries {
            let path = entry.map_err(|e| DataError::io(&folder, "list", e))?.path();
            if path.is_file()
                && wanted(last_part(&path.to_string_lossy()).trim_end_matches(".gz").trim_end_matches(".zst"))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A name without folders. Members of archives are read as they are, compressed ones are not wanted.
fn last_part(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

fn visit_zip(path: &Path, wanted: &dyn Fn(&str) -> bool, visit: &mut Visitor) -> Result<()> {
    let file = File::open(path).map_err(|e| DataError::io(path, "open", e))?;
    let broken = |e: zip::result::ZipError| {
        DataError::file(
            path.display(),
            format!("is not a readable zip archive ({e})"),
            "fetch the file again",
        )
    };
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    // An archive with a single file is that file, whatever its name.
    let only = archive.file_names().flatten().filter(|name| !is_left_by_a_system(name)).count() == 1;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(broken)?;
        let name = member.name().map_err(broken)?.into_owned();
        if member.is_file() && !is_left_by_a_system(&name) && (only || wanted(last_part(&name))) {
            visit(&format!("{}:{name}", path.display()), &mut member)?;
        }
    }
    Ok(())
}

/// Members of a tar, and of a tar within it (the Netflix Prize's `training_set.tar`).
fn visit_tar(
    shown: &str,
    reader: &mut dyn Read,
    wanted: &dyn Fn(&str) -> bool,
    visit: &mut Visitor,
) -> Result<()> {
    let mut archive = tar::Archive::new(reader);
    let entries = archive.entries().map_err(|e| truncated(shown, e))?;
    for entry in entries {
        let mut entry = entry.map_err(|e| truncated(shown, e))?;
        let name = entry.path().map_err(|e| truncated(shown, e))?.to_string_lossy().into_owned();
        let member = format!("{shown}:{name}");
        if name.ends_with(".tar") {
            visit_tar(&member, &mut entry, wanted, visit)?;
        } else if entry.header().entry_type().is_file() && wanted(last_part(&name)) {
            visit(&member, &mut entry)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_while_it_is_read_is_no_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ratings.csv");
        std::fs::write(&path, "user,item,rating,timestamp\n".repeat(1000)).unwrap();
        let told = visit(&path, &|_| true, &mut |name, reader| {
            let mut some = [0; 300];
            reader.read_exact(&mut some).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(540).unwrap();
            std::io::copy(reader, &mut std::io::sink()).map(|_| ()).map_err(|e| truncated(name, e))
        });
        let told = told.unwrap_err().to_string();
        assert!(
            told.contains("ratings.csv: is damaged or ends early (it grew 26460 bytes shorter"),
            "{told}"
        );
    }
}
