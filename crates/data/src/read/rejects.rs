//! Bad lines: an error, or up to N of them in a rejects file.

use super::ReadOptions;
use crate::{BadRow, DataError, Result, atomic};
use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The bad lines found so far.
pub(super) struct Rejects {
    allowed: usize,
    rows: Vec<BadRow>,
}

impl Rejects {
    pub fn new(allowed: usize) -> Self {
        Self { allowed, rows: Vec::new() }
    }

    /// Takes bad lines in file order; fails at the first one too many.
    pub fn extend(&mut self, mut rows: Vec<BadRow>) -> Result<()> {
        let room = self.allowed - self.rows.len();
        if rows.len() > room {
            let others = rows.len() - room - 1;
            let first = if self.allowed == 0 { rows.swap_remove(0) } else { rows.swap_remove(room) };
            return Err(DataError::Row(Box::new(first), others, self.allowed));
        }
        self.rows.append(&mut rows);
        Ok(())
    }

    /// How many bad lines there are of each kind.
    pub fn by_reason(&self) -> Vec<(String, usize)> {
        let mut counts: Vec<(String, usize)> = Vec::new();
        for row in &self.rows {
            let reason = row.case.to_string();
            match counts.iter_mut().find(|(other, _)| *other == reason) {
                Some((_, count)) => *count += 1,
                None => counts.push((reason, 1)),
            }
        }
        counts
    }

    /// Takes one bad row.
    pub fn push(&mut self, row: BadRow) -> Result<()> {
        self.extend(vec![row])
    }
}

/// Refuses a rejects file that is the input, or lies in the input's folder, also through links.
pub(super) fn apart(input: &Path, options: &ReadOptions) -> Result<()> {
    let (Some(rejects), Ok(input)) = (&options.rejects, std::fs::canonicalize(input)) else { return Ok(()) };
    let folder = match rejects.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = std::fs::canonicalize(rejects).ok();
    if file == Some(input.clone()) || std::fs::canonicalize(folder).is_ok_and(|folder| folder == input) {
        return Err(DataError::file(
            rejects.display(),
            "is the input, or a file of its folder: bad lines cannot go there",
            "name another file for bad lines",
        ));
    }
    // What is there and is no rejects file is somebody's.
    let mut first = Vec::new();
    if let Ok(there) = File::open(rejects) {
        let mut there = BufReader::new(there.take(1 << 16));
        there.read_until(b'\n', &mut first).map_err(|e| DataError::io(rejects, "read", e))?;
    }
    let first = String::from_utf8_lossy(&first);
    let line = first.split_once('\t').and_then(|(place, _)| place.rsplit(':').next());
    if !first.is_empty() && line.is_none_or(|line| line.parse::<u64>().is_err()) {
        return Err(DataError::file(
            rejects.display(),
            "is there already, and holds no rejects",
            "name another file for bad lines",
        ));
    }
    Ok(())
}

/// Writes the rejects file when there is anything to write; returns its path and the number of lines.
pub(super) fn settle(
    input: &Path,
    rejects: &Rejects,
    options: &ReadOptions,
) -> Result<Option<(PathBuf, usize)>> {
    if rejects.rows.is_empty() {
        return Ok(None);
    }
    let path = options.rejects.clone().unwrap_or_else(|| {
        let stem = input.file_name().map_or_else(|| "input".into(), |n| n.to_string_lossy().into_owned());
        PathBuf::from(format!("{stem}.rejects.txt"))
    });
    let mut text = String::new();
    for row in &rejects.rows {
        let _ = writeln!(text, "{}:{}\t{}\t{}", row.file, row.line, row.case, row.whole);
    }
    atomic::write(&path, text.as_bytes())?;
    Ok(Some((path, rejects.rows.len())))
}
