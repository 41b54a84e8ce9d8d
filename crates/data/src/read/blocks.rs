//! Blocks of whole lines from a reading thread, parsed by the rayon pool, joined in file order.

use super::dialect::Dialect;
use super::encoding::{Encoding, Text};
use super::rejects::Rejects;
use super::{RawRead, source};
use crate::interactions::RawColumns;
use crate::{BadRow, DataError, Result, RowCase};
use arrow_array::{Array, ArrayRef, StringArray};
use rayon::prelude::*;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// Target size of a block, in bytes of text.
const BLOCK: usize = 1 << 20;
/// A longer line is not accepted as a line of a log.
const LONGEST_LINE: usize = 1 << 24;

/// Whole lines of one file.
pub(super) struct Block {
    /// The file's name, as messages show it.
    pub file: Arc<str>,
    /// The block's bytes.
    pub text: Vec<u8>,
    /// Whether the block begins its file.
    pub first: bool,
}

/// A parsed block: columns with indices of its own vocabularies.
#[derive(Default)]
pub(super) struct Chunk {
    pub lines: u64,
    pub columns: RawColumns,
    /// One text column for each further column of the layout.
    pub extra: Vec<Vec<Option<String>>>,
    /// Netflix: the movie of the block's last movie line.
    pub last_movie: Option<Vec<u8>>,
    /// An error that is never skipped as a bad line: everything after it would be misread.
    pub fatal: Option<DataError>,
    /// Bad lines; their numbers count from the block's start until the collector moves them.
    pub bad: Vec<BadRow>,
}

/// How a stream is read and cut.
#[derive(Clone, Copy)]
pub(super) struct Cutting<'a> {
    /// The text's encoding, where it is known.
    pub encoding: Option<Encoding>,
    /// Quotes and delimiters, where line ends may stand within fields.
    pub dialect: Option<&'a Dialect>,
}

/// Reads every member of `path` that `wanted` names, parses blocks in parallel, passes chunks to
/// `take` in file order; while some are taken the next are parsed.
pub(super) fn parse_all<C: Send>(
    path: &Path,
    cutting: Cutting,
    wanted: impl Fn(&str) -> bool + Send,
    parse: impl Fn(&Block) -> C + Sync,
    mut take: impl FnMut(&Block, C) -> Result<()> + Send,
) -> Result<()> {
    // Twice as many blocks as threads keep all threads busy when lines differ in cost.
    let batch = rayon::current_num_threads() * 2;
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Vec<Block>>(1);
        let reading = scope.spawn(move || {
            let mut blocks = Vec::with_capacity(batch);
            let mut stopped = false;
            source::visit(path, &wanted, &mut |name, reader| {
                let mut text = Text::new(reader, cutting.encoding).map_err(|e| truncated(name, e))?;
                cut(name, &mut text, cutting.dialect, &mut |block| {
                    blocks.push(block);
                    if blocks.len() == batch {
                        // A send fails only when the parsing side stopped at an error of its own.
                        stopped |= sender.send(std::mem::take(&mut blocks)).is_err();
                    }
                    !stopped
                })
            })?;
            if !blocks.is_empty() && !stopped {
                let _ = sender.send(blocks);
            }
            Ok(())
        });
        let mut outcome = Ok(());
        let mut parsed: Vec<(Block, C)> = Vec::new();
        // An empty list follows the last blocks, so that the blocks before it are taken too.
        for blocks in receiver.iter().chain([Vec::new()]) {
            let one = |mut block: Block| {
                let chunk = parse(&block);
                block.text = Vec::new();
                (block, chunk)
            };
            let next = || blocks.into_par_iter().map(one).collect();
            let taken = || parsed.drain(..).try_for_each(|(block, chunk)| take(&block, chunk));
            let (chunks, result) = rayon::join(next, taken);
            (parsed, outcome) = (chunks, result);
            if outcome.is_err() {
                break;
            }
        }
        // The reading thread finds the channel closed.
        drop(receiver);
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        outcome.and(read)
    })
}

/// Cuts one stream into blocks of whole records; `give` returns whether to continue.
fn cut(
    name: &str,
    reader: &mut dyn Read,
    dialect: Option<&Dialect>,
    give: &mut dyn FnMut(Block) -> bool,
) -> Result<()> {
    let file: Arc<str> = name.into();
    let mut rest: Vec<u8> = Vec::new();
    let mut first = true;
    loop {
        let mut text = std::mem::take(&mut rest);
        // Small files (the Netflix Prize has 17,770) should not cost a megabyte each.
        let read =
            Read::take(&mut *reader, BLOCK as u64).read_to_end(&mut text).map_err(|e| truncated(name, e))?;
        let end = read < BLOCK;
        if !end {
            let whole = match dialect {
                Some(dialect) => dialect.whole_records(&text),
                None => memchr::memrchr(b'\n', &text).map(|at| at + 1),
            };
            match whole {
                Some(at) => rest = text.split_off(at),
                None if text.len() > LONGEST_LINE => return Err(endless(name, &text)),
                None => {
                    rest = text;
                    continue;
                }
            }
        }
        if first && text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
        }
        if !give(Block { file: file.clone(), text, first }) {
            // Ends the visit of further files; the parsing side has the reason.
            return Err(DataError::Stopped);
        }
        if end {
            return Ok(());
        }
        first = false;
    }
}

/// The way on where quotes do not close.
pub(super) const UNCLOSED: &str = "if quotes are part of the text, set <quoting> to none; if backslashes \
    stand before them, to backslash";

/// A record that does not end.
fn endless(name: &str, text: &[u8]) -> DataError {
    if memchr::memchr(b'\n', text).is_some() {
        let reason = format!(
            "has a quote that is not closed within 16 MiB\n  text: {}",
            BadRow::show(&text[..memchr::memchr(b'\n', text).unwrap_or(text.len())])
        );
        return DataError::file(name, reason, UNCLOSED);
    }
    let help = "is this a text file? name its format with <format>";
    DataError::file(name, "has a line of more than 16 MiB", help)
}

/// A read error of a compressed or archived stream, with a hint for a fix.
pub(super) fn truncated(name: &str, error: std::io::Error) -> DataError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    // The decoder's own words.
    let told = error.to_string();
    if error.kind() == InvalidData
        && (told.contains("the mark of") || told.starts_with("it holds bytes that"))
    {
        return DataError::file(name, told, "leave <encoding> out, or set the one that the file has");
    }
    if matches!(error.kind(), UnexpectedEof | InvalidData | InvalidInput | Other) {
        return DataError::file(name, format!("is damaged or ends early ({error})"), "fetch the file again");
    }
    DataError::Io { path: name.to_owned(), action: "read", source: error }
}

/// Visits the lines of `text` with their number from 0, without line ends; blank lines are skipped.
pub(super) fn lines<'a>(text: &'a [u8], mut visit: impl FnMut(u64, &'a [u8])) -> u64 {
    let mut number = 0;
    let mut start = 0;
    while start < text.len() {
        let end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |at| start + at);
        let line = &text[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() && !line.iter().all(u8::is_ascii_whitespace) {
            visit(number, line);
        }
        number += 1;
        start = end + 1;
    }
    number
}

/// Sets the nanoseconds of the row `row`, the next one; a column without any stays empty, and one that is
/// shorter than the others ends in zeros.
pub(crate) fn push_fraction(fractions: &mut Vec<u32>, row: usize, nanoseconds: u32) {
    if nanoseconds > 0 {
        fractions.resize(row, 0);
        fractions.push(nanoseconds);
    }
}

/// Appends the nanoseconds of further rows behind the first `rows`.
pub(crate) fn extend_fractions(fractions: &mut Vec<u32>, rows: usize, more: &[u32]) {
    if !more.is_empty() {
        fractions.resize(rows, 0);
        fractions.extend_from_slice(more);
    }
}

/// Joins chunks in file order.
pub(super) struct Collector<'a> {
    columns: RawColumns,
    /// Where rows go when they exceed memory.
    spill: Option<&'a mut dyn Spill>,
    extra: Vec<Vec<ArrayRef>>,
    rejects: Rejects,
    line: u64,
    files: usize,
}

/// Takes rows out of memory while a log is read.
pub(crate) trait Spill: Send {
    /// Is given the rows collected so far, and may take them; names stay.
    fn offer(&mut self, columns: &mut RawColumns) -> Result<()>;
}

impl<'a> Collector<'a> {
    pub fn new(skip: usize, spill: Option<&'a mut dyn Spill>) -> Self {
        Self {
            columns: RawColumns::of_all(),
            spill,
            extra: Vec::new(),
            rejects: Rejects::new(skip),
            line: 1,
            files: 0,
        }
    }

    pub fn add(&mut self, block: &Block, mut chunk: Chunk) -> Result<()> {
        if let Some(fatal) = chunk.fatal {
            return Err(fatal);
        }
        if block.first {
            self.line = 1;
            self.files += 1;
        }
        for bad in &mut chunk.bad {
            bad.line += self.line;
        }
        if let Some(at) = chunk.bad.iter().position(|bad| bad.case == RowCase::SwallowsLines) {
            return Err(DataError::Row(Box::new(chunk.bad.swap_remove(at)), 0, 0));
        }
        self.line += chunk.lines;
        self.rejects.extend(chunk.bad)?;

        let columns = chunk.columns;
        let events: Vec<u32> =
            columns.event_names.names().map(|name| self.columns.event_names.intern(name)).collect();
        self.columns.users.extend(self.columns.user_names.take(&columns.user_names, &columns.users));
        self.columns.items.extend(self.columns.item_names.take(&columns.item_names, &columns.items));
        extend_fractions(&mut self.columns.fractions, self.columns.timestamps.len(), &columns.fractions);
        self.columns.timestamps.extend(columns.timestamps.all());
        self.columns.values.extend(columns.values.all());
        self.columns.event_codes.extend(
            columns
                .event_codes
                .iter()
                .map(|&e| events.get(e as usize).copied().unwrap_or(crate::EventTypes::NULL)),
        );
        self.extra.resize_with(chunk.extra.len(), Vec::new);
        for (parts, texts) in self.extra.iter_mut().zip(chunk.extra) {
            parts.push(Arc::new(StringArray::from(texts)));
        }
        match &mut self.spill {
            Some(spill) => spill.offer(&mut self.columns),
            None => Ok(()),
        }
    }

    pub fn finish(mut self, names: Vec<String>, remarks: Vec<String>) -> Result<RawRead> {
        for (name, parts) in names.into_iter().zip(self.extra) {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            if !parts.is_empty() {
                let column =
                    arrow_select::concat::concat(&parts).map_err(|e| DataError::columns(&name, e))?;
                self.columns.extra.push((name, column));
            }
        }
        Ok(RawRead { columns: self.columns, rejects: self.rejects, files: self.files, remarks })
    }
}
