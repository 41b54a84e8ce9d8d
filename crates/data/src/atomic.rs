//! Files that are there whole or not at all: written beside their final name, then renamed.

use crate::{DataError, Result};
use std::io::{BufWriter, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Writes `path` through `fill`; the file appears under its name only when `fill` and the flush
/// succeeded. On any failure nothing is left behind and an older file stays as it was.
///
/// # Errors
/// Whatever `fill` returns; [`DataError::Io`] when the folder cannot be written or is full.
pub fn write_with<T>(path: &Path, fill: impl FnOnce(&mut BufWriter<&mut std::fs::File>) -> Result<T>) -> Result<T> {
    if path.is_dir() {
        return Err(DataError::file(path.display(), "is a folder, not a file", "name a file to write"));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(|e| DataError::io(folder, "create", e))?;
    let mut temporary = NamedTempFile::with_prefix_in(".writing-", folder).map_err(|e| DataError::io(path, "create", e))?;
    let value = {
        let mut writer = BufWriter::with_capacity(1 << 16, temporary.as_file_mut());
        let value = fill(&mut writer)?;
        writer.flush().map_err(|e| DataError::io(path, "write", e))?;
        value
    };
    // Temporary files are private; a result is for whoever may read the folder.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_or(0o644, |m| m.permissions().mode());
        temporary.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(|e| DataError::io(path, "write", e))?;
    }
    temporary.persist(path).map_err(|e| DataError::io(path, "rename into place", e.error))?;
    Ok(value)
}

/// Writes `bytes` as the file `path`, whole or not at all.
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
    fn failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.txt");
        write(&path, b"old").unwrap();
        let failed: Result<()> = write_with(&path, |file| {
            file.write_all(b"half").unwrap();
            Err(DataError::Setting("stopped".into()))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
