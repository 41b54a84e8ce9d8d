//! Logs larger than memory: rows are spilled as they are read, partitioned by user range, then sorted and
//! written by range. The file is, byte for byte, what [`store`](crate::store) writes from a table in memory.
//!
//! The input is read once. What stays in memory is the vocabulary, a count per user and one range of users; a
//! range is as large as the limit allows.

use crate::interactions::RawColumns;
use crate::interactions::untimed;
use crate::order::{Columns, offsets};
use crate::read::{Spill, Spilled, read_spilling};
use crate::store::{NANOSECOND, ROW_GROUP, RowGroups, Rows};
use crate::{DataError, EventTypes, IdleGaps, LoadReport, ReadOptions, Result, atomic};
use arrow_array::{ArrayRef, UInt32Array};
use arrow_schema::{DataType, Field};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The smallest limit, in bytes.
pub const LEAST: u64 = 64 << 20;
/// Bytes of a spilled row: user, item, time, value, event type, nanoseconds.
const RECORD: usize = 28;
/// Bytes a row takes at most while its range is sorted and written: read, sorted, marked, encoded.
const WORKING: u64 = 104;

/// Largest number of files of rows written at once: far below the limit of a process.
const FILES: usize = 100;

/// Temporary files, removed when done or on failure.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Reads a log and writes it as sessions of `gaps` (as interactions without) to `out`, within about `limit`
/// bytes of memory. `go_on` is given a status text and returns whether to go on. Temporary files lie beside
/// `out` during the conversion; leftovers of killed runs are removed.
///
/// # Errors
/// Those of [`read`](crate::read()) and of writing; [`DataError::Setting`] for a limit below [`LEAST`],
/// [`DataError::Stopped`] when `go_on` is false; [`DataError::File`] for an input with further columns, which
/// are not carried.
pub fn convert(
    path: &Path,
    options: &ReadOptions,
    gaps: Option<&IdleGaps>,
    out: &Path,
    limit: u64,
    go_on: &mut dyn FnMut(&str) -> bool,
) -> Result<LoadReport> {
    if limit < LEAST {
        return Err(DataError::Setting(format!(
            "a memory limit of {} MB is too small; at least {} MB are needed",
            limit >> 20,
            LEAST >> 20
        )));
    }
    let sizes = Sizes {
        waiting: (limit / 8 / RECORD as u64) as usize,
        in_range: limit / 2 / WORKING,
        buffer: (limit / 16) as usize / FILES,
    };
    by_ranges(path, options, gaps, out, sizes, go_on)
}

/// Limits on what is in memory at once.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Rows buffered while reading.
    waiting: usize,
    /// Rows of a range of users.
    in_range: u64,
    /// Bytes of a file's buffer.
    buffer: usize,
}

/// [`convert`] with these sizes.
fn by_ranges(
    path: &Path,
    options: &ReadOptions,
    gaps: Option<&IdleGaps>,
    out: &Path,
    sizes: Sizes,
    go_on: &mut dyn FnMut(&str) -> bool,
) -> Result<LoadReport> {
    let name = out.file_name().map_or_else(|| "rows".into(), |name| name.to_string_lossy().into_owned());
    let folder = Folder(out.with_file_name(format!(".spilled-{name}")));
    drop(Folder(folder.0.clone()));
    std::fs::create_dir_all(&folder.0).map_err(|e| DataError::io(&folder.0, "create", e))?;

    let mut arrived = Arrived::new(&folder.0, sizes.waiting)?;
    let Spilled { columns: mut raw, mut report } = read_spilling(path, options, &mut arrived)?;
    arrived.take(&mut raw)?;
    if arrived.rows == 0 {
        return Err(DataError::file(path.display(), "holds no interactions", "is this the right file?"));
    }
    let RawColumns { user_names, item_names, event_names, .. } = raw;
    let (user_ids, user_rank) = user_names.finish_sorted();
    let (item_ids, item_rank) = item_names.finish_sorted();
    let event_ids = (event_names.len() > 0).then(|| event_names.finish());

    let ranges = Ranges::new(&arrived.counts, &user_rank, sizes.in_range);
    tell(go_on, &format!("{} rows read; users in {} range(s)", arrived.rows, ranges.len()))?;
    let dealer = Dealer { folder: &folder.0, ranges: &ranges, buffer: sizes.buffer };
    let (timed, fine) = (arrived.timed, arrived.fine);
    if gaps.is_some() && !timed {
        return Err(untimed("a session"));
    }
    let first = dealer.first(arrived, &user_rank, &item_rank, go_on)?;
    drop((user_rank, item_rank));

    (report.users, report.items) = (user_ids.len(), item_ids.len());
    atomic::write_with(out, |file| {
        let writer = RowGroups::new(
            file,
            out,
            if fine { vec![Field::new(NANOSECOND, DataType::UInt32, true)] } else { Vec::new() },
            gaps,
            [Some(&user_ids), Some(&item_ids), event_ids.as_ref()],
        )?;
        let mut waiting = Waiting { writer, rows: Columns::default(), marks: Vec::new(), fine };
        let n = ranges.len();
        dealer.each(first, go_on, &mut |range, file, go_on| {
            tell(go_on, &format!("range {} of {n}", range + 1))?;
            let (first, last) = (ranges.first_users[range], ranges.first_users[range + 1]);
            let columns = load(file, first, event_ids.is_some(), fine)?;
            std::fs::remove_file(file).map_err(|e| DataError::io(file, "remove", e))?;
            let users = (last - first) as usize;
            let (mut rows, _, dropped, conflicts) = columns.sorted(users);
            report.rows += rows.users.len();
            report.duplicates += dropped;
            report.conflicting_duplicates += conflicts;
            let offsets = offsets(&rows.users, users);
            let marks = gaps.map(|gaps| gaps.marks(rows.timestamps.all(), &offsets)).unwrap_or_default();
            rows.users.iter_mut().for_each(|user| *user += first);
            waiting.add(rows, marks)
        })?;
        waiting.close()
    })?;
    Ok(report)
}

fn tell(go_on: &mut dyn FnMut(&str) -> bool, text: &str) -> Result<()> {
    if go_on(text) { Ok(()) } else { Err(DataError::Stopped) }
}

/// Rows in order of arrival, in a file.
struct Arrived {
    path: PathBuf,
    file: BufWriter<File>,
    /// Rows that may be buffered in memory.
    room: usize,
    rows: u64,
    /// Rows of each user, by order of first arrival.
    counts: Vec<u64>,
    /// Whether a row has a time, and whether one has a fraction of a second.
    timed: bool,
    fine: bool,
}

impl Arrived {
    fn new(folder: &Path, room: usize) -> Result<Self> {
        let path = folder.join("arrived");
        let file = BufWriter::with_capacity(
            1 << 20,
            File::create(&path).map_err(|e| DataError::io(&path, "create", e))?,
        );
        Ok(Self { path, file, room, rows: 0, counts: Vec::new(), timed: false, fine: false })
    }

    fn take(&mut self, columns: &mut RawColumns) -> Result<()> {
        self.counts.resize(columns.user_names.len(), 0);
        let mut record = [0; RECORD];
        for row in 0..columns.users.len() {
            self.counts[columns.users[row] as usize] += 1;
            // A log without event types has no codes.
            let code = columns.event_codes.get(row).copied().unwrap_or(EventTypes::NULL);
            let (time, fraction) =
                (columns.timestamps.at(row), columns.fractions.get(row).copied().unwrap_or(0));
            self.timed |= time != 0;
            self.fine |= fraction != 0;
            put(
                &mut record,
                [columns.users[row], columns.items[row], code, fraction],
                time,
                columns.values[row],
            );
            self.file.write_all(&record).map_err(|e| DataError::io(&self.path, "write", e))?;
        }
        self.rows += columns.users.len() as u64;
        columns.users.clear();
        columns.items.clear();
        columns.timestamps.truncate(0);
        columns.values.truncate(0);
        columns.event_codes.clear();
        columns.fractions.clear();
        Ok(())
    }
}

/// Takes a range and its file; hears of progress as `go_on` does.
type Take<'a> = dyn FnMut(usize, &Path, &mut dyn FnMut(&str) -> bool) -> Result<()> + 'a;

/// Rows of consecutive ranges, in a file.
struct Dealt {
    path: PathBuf,
    ranges: Range<usize>,
}

/// Partitions rows into files of their ranges, in several rounds if there are more ranges than files allowed.
struct Dealer<'a> {
    folder: &'a Path,
    ranges: &'a Ranges,
    /// Bytes of a file's buffer.
    buffer: usize,
}

impl Dealer<'_> {
    /// Partitions the arrived rows, with final indices.
    fn first(
        &self,
        mut arrived: Arrived,
        user_rank: &[u32],
        item_rank: &[u32],
        go_on: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Vec<Dealt>> {
        arrived.file.flush().map_err(|e| DataError::io(&arrived.path, "write", e))?;
        let all = Dealt { path: arrived.path.clone(), ranges: 0..self.ranges.len() };
        drop(arrived.file);
        self.deal(&all, go_on, |record| {
            let user = user_rank[number(record, 0) as usize];
            let item = item_rank[number(record, 4) as usize];
            record[..4].copy_from_slice(&user.to_le_bytes());
            record[4..8].copy_from_slice(&item.to_le_bytes());
        })
    }

    /// Calls `take` with each range and its file, in order; files of several ranges are partitioned further.
    fn each(&self, first: Vec<Dealt>, go_on: &mut dyn FnMut(&str) -> bool, take: &mut Take) -> Result<()> {
        let mut waiting: Vec<Dealt> = first.into_iter().rev().collect();
        while let Some(dealt) = waiting.pop() {
            if dealt.ranges.len() == 1 {
                take(dealt.ranges.start, &dealt.path, go_on)?;
            } else {
                waiting.extend(self.deal(&dealt, go_on, |_| {})?.into_iter().rev());
            }
        }
        Ok(())
    }

    /// Splits a file's rows, each changed by `change`, into at most [`FILES`] files of consecutive ranges,
    /// and removes it.
    fn deal(
        &self,
        from: &Dealt,
        go_on: &mut dyn FnMut(&str) -> bool,
        change: impl Fn(&mut [u8; RECORD]),
    ) -> Result<Vec<Dealt>> {
        let together = from.ranges.len().div_ceil(FILES);
        let parts: Vec<Dealt> = from
            .ranges
            .clone()
            .step_by(together)
            .map(|start| {
                let ranges = start..(start + together).min(from.ranges.end);
                Dealt { path: self.folder.join(format!("ranges-{}-{}", ranges.start, ranges.end)), ranges }
            })
            .collect();
        let create = |part: &Dealt| {
            let file = File::create(&part.path).map_err(|e| DataError::io(&part.path, "create", e))?;
            Ok(BufWriter::with_capacity(self.buffer, file))
        };
        let mut files: Vec<BufWriter<File>> = parts.iter().map(create).collect::<Result<_>>()?;
        let fail = |e| DataError::io(&from.path, "read", e);
        let rows = std::fs::metadata(&from.path).map_err(fail)?.len() / RECORD as u64;
        let mut reader = BufReader::with_capacity(1 << 20, File::open(&from.path).map_err(fail)?);
        let mut record = [0; RECORD];
        for row in 0..rows {
            if row % (1 << 24) == 0 {
                tell(go_on, &format!("{row} of {rows} rows partitioned by user range"))?;
            }
            reader.read_exact(&mut record).map_err(fail)?;
            change(&mut record);
            let range = self.ranges.of_user[number(&record, 0) as usize] as usize;
            let part = (range - from.ranges.start) / together;
            files[part].write_all(&record).map_err(|e| DataError::io(&parts[part].path, "write", e))?;
        }
        for (file, part) in files.iter_mut().zip(&parts) {
            file.flush().map_err(|e| DataError::io(&part.path, "write", e))?;
        }
        std::fs::remove_file(&from.path).map_err(|e| DataError::io(&from.path, "remove", e))?;
        Ok(parts)
    }
}

impl Spill for Arrived {
    fn offer(&mut self, columns: &mut RawColumns) -> Result<()> {
        if columns.users.len() < self.room { Ok(()) } else { self.take(columns) }
    }
}

fn put(record: &mut [u8; RECORD], [user, item, code, fraction]: [u32; 4], timestamp: i64, value: f32) {
    record[..4].copy_from_slice(&user.to_le_bytes());
    record[4..8].copy_from_slice(&item.to_le_bytes());
    record[8..16].copy_from_slice(&timestamp.to_le_bytes());
    record[16..20].copy_from_slice(&value.to_bits().to_le_bytes());
    record[20..24].copy_from_slice(&code.to_le_bytes());
    record[24..].copy_from_slice(&fraction.to_le_bytes());
}

fn number(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

/// Users in final order, cut into ranges of about equally many rows.
struct Ranges {
    /// First user of each range, and the total.
    first_users: Vec<u32>,
    /// The range of each user.
    of_user: Vec<u32>,
}

impl Ranges {
    fn new(counts: &[u64], rank: &[u32], rows: u64) -> Self {
        let mut by_rank = vec![0; counts.len()];
        counts.iter().zip(rank).for_each(|(count, rank)| by_rank[*rank as usize] = *count);
        let (mut first_users, mut of_user, mut held) = (vec![0], Vec::with_capacity(counts.len()), 0);
        for (user, count) in by_rank.iter().enumerate() {
            if held > 0 && held + count > rows {
                first_users.push(user as u32);
                held = 0;
            }
            held += count;
            of_user.push((first_users.len() - 1) as u32);
        }
        first_users.push(counts.len() as u32);
        Self { first_users, of_user }
    }

    fn len(&self) -> usize {
        self.first_users.len() - 1
    }
}

/// The rows of a range; user indices are relative to its first user.
fn load(path: &Path, first: u32, events: bool, fine: bool) -> Result<Columns> {
    let fail = |e| DataError::io(path, "read", e);
    let rows = (std::fs::metadata(path).map_err(fail)?.len() / RECORD as u64) as usize;
    let mut columns = Columns {
        users: Vec::with_capacity(rows),
        items: Vec::with_capacity(rows),
        codes: Vec::with_capacity(if events { rows } else { 0 }),
        fractions: Vec::with_capacity(if fine { rows } else { 0 }),
        ..Columns::default()
    };
    columns.timestamps.reserve(rows);
    columns.values.reserve(rows);
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(fail)?);
    let mut record = [0; RECORD];
    for _ in 0..rows {
        file.read_exact(&mut record).map_err(fail)?;
        columns.users.push(number(&record, 0) - first);
        columns.items.push(number(&record, 4));
        columns
            .timestamps
            .push((u64::from(number(&record, 12)) << 32 | u64::from(number(&record, 8))) as i64);
        columns.values.push(f32::from_bits(number(&record, 16)));
        if events {
            columns.codes.push(number(&record, 20));
        }
        if fine {
            columns.fractions.push(number(&record, 24));
        }
    }
    Ok(columns)
}

/// Sorted rows, buffered until a row group is full.
struct Waiting<'a, W: Write + Send> {
    writer: RowGroups<'a, W>,
    rows: Columns,
    marks: Vec<u8>,
    /// Whether the file has a column of nanoseconds.
    fine: bool,
}

impl<W: Write + Send> Waiting<'_, W> {
    fn add(&mut self, rows: Columns, marks: Vec<u8>) -> Result<()> {
        self.rows.users.extend(rows.users);
        self.rows.items.extend(rows.items);
        self.rows.timestamps.extend(rows.timestamps.all());
        self.rows.values.extend(rows.values.all());
        self.rows.codes.extend(rows.codes);
        self.rows.fractions.extend(rows.fractions);
        self.marks.extend(marks);
        let whole = self.rows.users.len() / ROW_GROUP;
        (0..whole).try_for_each(|group| self.write(group * ROW_GROUP..(group + 1) * ROW_GROUP))?;
        let written = whole * ROW_GROUP;
        self.rows.users.drain(..written);
        self.rows.items.drain(..written);
        self.rows.timestamps.cut(written);
        self.rows.values.cut(written);
        self.rows.codes.drain(..written.min(self.rows.codes.len()));
        self.rows.fractions.drain(..written.min(self.rows.fractions.len()));
        self.marks.drain(..written.min(self.marks.len()));
        Ok(())
    }

    fn write(&mut self, at: Range<usize>) -> Result<()> {
        let Columns { users, items, timestamps, fractions, values, codes } = &self.rows;
        let nanoseconds: Vec<ArrayRef> = if self.fine {
            vec![Arc::new(UInt32Array::from(fractions[at.clone()].to_vec()))]
        } else {
            Vec::new()
        };
        self.writer.write(&Rows {
            users: &users[at.clone()],
            items: &items[at.clone()],
            timestamps: timestamps.slice(at.clone()),
            values: values.slice(at.clone()),
            codes: codes.get(at.clone()).unwrap_or_default(),
            extra: &nanoseconds,
            marks: self.marks.get(at.clone()).unwrap_or_default(),
        })
    }

    fn close(mut self) -> Result<()> {
        let rest = self.rows.users.len();
        if rest > 0 {
            self.write(0..rest)?;
        }
        self.writer.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read, store};

    /// Rows of many users, out of order, with duplicates; event types on request.
    fn log(folder: &Path, rows: u32, events: bool) -> PathBuf {
        let mut text = String::from(if events {
            "USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP\n"
        } else {
            "user,item,rating,timestamp\n"
        });
        for row in 0..rows {
            let (user, item, time) = (
                row.wrapping_mul(7919) % 5000,
                row.wrapping_mul(104_729) % 300,
                1_000_000_000 + row.wrapping_mul(31_337) % 90_000 * 40,
            );
            let middle = if events {
                ["click", "watch", ""][row as usize % 3].to_owned()
            } else {
                format!("{}", 1 + row % 5)
            };
            text.push_str(&format!("u{user},{item},{middle},{time}\n"));
            if row % 50 == 0 {
                text.push_str(&format!("u{user},{item},{middle},{time}\n"));
            }
        }
        let path = folder.join("log.csv");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Files in the folder of rows that this process has open, where the system lists them.
    fn open_files() -> usize {
        let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return 0 };
        let links = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().contains(".spilled-bounded")).count()
    }

    #[test]
    fn files_are_those_of_memory() {
        let folder = tempfile::tempdir().unwrap();
        for events in [false, true] {
            let input = log(folder.path(), 60_000, events);
            let options = ReadOptions::default();
            for gaps in [None, Some(IdleGaps::new(vec![60, 86_400]).unwrap())] {
                let (table, expected) = read(&input, &options).unwrap();
                let (whole, bounded) =
                    (folder.path().join("whole.parquet"), folder.path().join("bounded.parquet"));
                match &gaps {
                    None => store::write_interactions(&table, &whole).unwrap(),
                    Some(gaps) => store::write_sessions(&table, gaps, &whole).unwrap(),
                }
                let mut told = 0;
                // The text as it came, and Parquet that is sorted already.
                let sizes = |waiting, in_range| Sizes { waiting, in_range, buffer: 4096 };
                for (input, sizes) in [
                    (&input, sizes(100_000, 100_000)),
                    (&input, sizes(700, 4_000)),
                    // More ranges than files may be open: two rounds are needed.
                    (&input, sizes(700, 20)),
                    (&whole, sizes(100_000, 100_000)),
                    (&whole, sizes(700, 4_000)),
                ] {
                    let report = by_ranges(input, &options, gaps.as_ref(), &bounded, sizes, &mut |_| {
                        told += 1;
                        assert!(open_files() <= FILES + 8, "{} files are open", open_files());
                        true
                    });
                    // What was written has its duplicates behind it.
                    let dropped = if input == &whole {
                        (0, 0)
                    } else {
                        (expected.duplicates, expected.conflicting_duplicates)
                    };
                    assert_eq!(
                        report.unwrap(),
                        LoadReport {
                            duplicates: dropped.0,
                            conflicting_duplicates: dropped.1,
                            ..expected.clone()
                        }
                    );
                    assert_eq!(
                        std::fs::read(&bounded).unwrap(),
                        std::fs::read(&whole).unwrap(),
                        "events {events}, {gaps:?}, {sizes:?}"
                    );
                }
                assert!(told > 15, "several ranges");
            }
        }
        assert!(
            std::fs::read_dir(folder.path()).unwrap().all(|e| !e
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with('.'))
        );
    }

    #[test]
    fn ranges_cover_all_users() {
        let ranges = Ranges::new(&[5, 1, 900, 3, 2], &[4, 3, 2, 1, 0], 6);
        assert_eq!(ranges.first_users, [0, 2, 3, 5]);
        assert_eq!(ranges.of_user, [0, 0, 1, 2, 2]);
    }

    #[test]
    fn what_stops_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let input = log(folder.path(), 2_000, false);
        let out = folder.path().join("out.parquet");
        let run = |limit, go_on: &mut dyn FnMut(&str) -> bool| {
            convert(&input, &ReadOptions::default(), None, &out, limit, go_on).unwrap_err().to_string()
        };
        assert!(run(1 << 20, &mut |_| true).contains("at least 64 MB"));
        assert!(run(LEAST, &mut |_| false).contains("nothing is left"));
        std::fs::write(&input, "user,item,rating,timestamp\n1,2,3,x\n").unwrap();
        assert!(run(LEAST, &mut |_| true).contains("log.csv"));
        std::fs::write(&input, "user,item,rating,timestamp,colour\n1,2,3,5,red\n").unwrap();
        assert!(run(LEAST, &mut |_| true).contains("further columns"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
