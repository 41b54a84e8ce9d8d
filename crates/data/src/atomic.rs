//! Atomic file writes: a file is written under a temporary name in its folder, then renamed.

use crate::{DataError, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Writes `path` through `fill`; the file appears under its name only when `fill` succeeded and its bytes are
/// on the disk, so that neither a kill nor a power cut leaves half of it. On any failure nothing is left
/// behind and an older file stays as it was. A new file has the permissions that the process's umask allows,
/// an older one keeps its own.
///
/// # Errors
/// Whatever `fill` returns; [`DataError::Io`] when the folder cannot be written or is full.
pub fn write_with<T>(path: &Path, fill: impl FnOnce(&mut BufWriter<&mut File>) -> Result<T>) -> Result<T> {
    let mut draft = Draft::new(path)?;
    let value = {
        let mut writer = BufWriter::with_capacity(1 << 16, draft.file());
        let value = fill(&mut writer)?;
        writer.flush().map_err(|e| DataError::io(path, "write", e))?;
        value
    };
    draft.keep()?;
    Ok(value)
}

/// A file in writing, under a temporary name in its folder. Dropped before it is [kept](Self::keep), it
/// leaves nothing behind.
pub struct Draft {
    path: PathBuf,
    temporary: NamedTempFile,
}

impl Draft {
    /// A draft of the file `path`.
    ///
    /// # Errors
    /// [`DataError::File`] when `path` is a folder; [`DataError::Io`] when its folder cannot be written.
    pub fn new(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(DataError::file(path.display(), "is a folder, not a file", "name a file to write"));
        }
        let folder = folder_of(path);
        std::fs::create_dir_all(folder).map_err(|e| DataError::io(folder, "create", e))?;
        let prefix = format!(".writing-{}-", path.file_name().unwrap_or_default().to_string_lossy());
        clear(folder, &prefix);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        // As any new file: temporary files are private otherwise.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder.tempfile_in(folder).map_err(|e| DataError::io(path, "create", e))?;
        // Locked while it is written, so that nobody takes it for a leftover. Where files cannot be locked,
        // no leftover is removed.
        let _ = temporary.as_file().lock();
        Ok(Self { path: path.to_owned(), temporary })
    }

    /// Where it is written.
    pub fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Puts it under its name, its bytes on the disk.
    ///
    /// # Errors
    /// [`DataError::Io`] when the disk is full.
    pub fn keep(self) -> Result<()> {
        let Self { path, temporary } = self;
        #[cfg(unix)]
        if let Ok(older) = std::fs::metadata(&path) {
            temporary
                .as_file()
                .set_permissions(older.permissions())
                .map_err(|e| DataError::io(&path, "write", e))?;
        }
        temporary.as_file().sync_all().map_err(|e| DataError::io(&path, "write", e))?;
        temporary.persist(&path).map_err(|e| DataError::io(&path, "rename into place", e.error))?;
        sync_folder(folder_of(&path));
        Ok(())
    }
}

/// The folder of a file.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts a folder's names on the disk, where the system can.
pub fn sync_folder(folder: &Path) {
    // Systems that cannot open a folder keep its names by themselves.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Removes leftovers of killed writers: files and folders in `folder` whose names begin with `prefix`, that
/// no process has locked and that are older than a minute.
pub fn clear(folder: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        let old = entry
            .metadata()
            .and_then(|m| m.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() >= 60));
        if old && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let path = entry.path();
            let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
    }
}

/// Writes `bytes` to the file `path` atomically.
///
/// # Errors
/// [`DataError::Io`] when the folder cannot be written or is full.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes).map_err(|e| DataError::io(path, "write", e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_writers_left_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.txt");
        let left = |name: &str, age: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
            file
        };
        let (old, held, fresh, other) = (
            left(".writing-result.txt-a", 600),
            left(".writing-result.txt-b", 600),
            left(".writing-result.txt-c", 1),
            left(".writing-other-d", 600),
        );
        held.lock().unwrap();
        write(&path, b"whole").unwrap();
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [".writing-other-d", ".writing-result.txt-b", ".writing-result.txt-c", "result.txt"]
        );
        drop((old, held, fresh, other));
    }

    #[test]
    fn failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.txt");
        write(&path, b"old").unwrap();
        let failed: Result<()> = write_with(&path, |file| {
            file.write_all(b"half").unwrap();
            Err(DataError::Stopped)
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
