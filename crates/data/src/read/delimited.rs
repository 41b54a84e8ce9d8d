//! Lines of delimited text into columns.

use super::blocks::{Block, Chunk, lines};
use super::fields;
use super::layout::Layout;
use crate::vocabulary::VocabularyBuilder;
use crate::{BadRow, DataError, EventTypes, RowCase};

/// Rules that a line must satisfy.
pub(super) struct Rules<'a> {
    pub layout: &'a Layout,
    pub scale: Option<(f32, f32)>,
    pub unit: i64,
    pub limit: i64,
}

type Refusal = (RowCase, String);

/// The fields of one line as ranges; the buffers are reused from line to line.
#[derive(Default)]
struct Row {
    ranges: Vec<(usize, usize)>,
    /// The unquoted fields' text, where the line had quotes.
    unquoted: Vec<u8>,
    quoted: bool,
}

impl Row {
    fn field<'a>(&'a self, line: &'a [u8], index: usize) -> &'a [u8] {
        let (start, end) = self.ranges[index];
        if self.quoted { &self.unquoted[start..end] } else { &line[start..end] }
    }
}

/// Parses a block.
pub(super) fn parse(block: &Block, rules: &Rules) -> Chunk {
    let layout = rules.layout;
    let mut chunk = Chunk { extra: vec![Vec::new(); layout.extra.len()], ..Chunk::default() };
    let columns = &mut chunk.columns;
    (columns.user_names, columns.item_names) = (VocabularyBuilder::of_part(), VocabularyBuilder::of_part());
    let rows = block.text.len() / 20;
    columns.users.reserve(rows);
    columns.items.reserve(rows);
    columns.timestamps.reserve(rows);
    columns.values.reserve(rows);
    let mut row = Row::default();
    let mut fatal = None;
    let (bad, extra) = (&mut chunk.bad, &mut chunk.extra);
    chunk.lines = lines(&block.text, |number, line| {
        if let (0, true, Some(header)) = (number, block.first, &layout.header) {
            if String::from_utf8_lossy(line).trim_end() != header {
                let reason = format!(
                    "begins with another header than the first file\n  text: {}\n  expected: {}",
                    BadRow::show(line),
                    header.escape_debug()
                );
                fatal = Some(DataError::file(
                    &block.file,
                    reason,
                    "read files with different columns one by one",
                ));
            }
            return;
        }
        match row_of(line, rules, &mut row) {
            Ok((value, time)) => {
                let at = &layout.positions;
                columns.users.push(columns.user_names.intern(fields::trim(row.field(line, at.user))));
                columns.items.push(columns.item_names.intern(fields::trim(row.field(line, at.item))));
                columns.timestamps.push(time);
                columns.values.push(value);
                if let Some(event) = at.event_type {
                    let event = fields::trim(row.field(line, event));
                    columns.event_codes.push(if event.is_empty() {
                        EventTypes::NULL
                    } else {
                        columns.event_names.intern(event)
                    });
                }
                for ((position, _), texts) in layout.extra.iter().zip(extra.iter_mut()) {
                    let text = row.field(line, *position);
                    texts.push((!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned()));
                }
            }
            Err((case, expected)) => bad.push(BadRow {
                file: block.file.to_string(),
                line: number,
                case,
                text: BadRow::show(line),
                expected,
            }),
        }
    });
    chunk.fatal = fatal;
    chunk
}

fn row_of(line: &[u8], rules: &Rules, row: &mut Row) -> Result<(f32, i64), Refusal> {
    let layout = rules.layout;
    let fail = |case, what: &str| Err((case, what.to_owned()));
    if !line.is_ascii() && std::str::from_utf8(line).is_err() {
        return fail(RowCase::NotUtf8, "UTF-8 text; convert the file first");
    }
    if memchr::memchr(0, line).is_some() {
        return fail(RowCase::NulByte, &layout.expected);
    }
    row.quoted = layout.quotes && memchr::memchr(b'"', line).is_some();
    if !row.quoted {
        split(line, &layout.delimiter, row);
    } else if !split_quoted(line, &layout.delimiter, row) {
        return fail(RowCase::OpenQuote, "a closing quote on the same line");
    }
    if row.ranges.len() < layout.fields {
        return fail(RowCase::MissingField, &layout.expected);
    }
    if row.ranges.len() > layout.fields {
        return fail(RowCase::ExtraField, &layout.expected);
    }
    let at = &layout.positions;
    for id in [at.user, at.item] {
        if fields::trim(row.field(line, id)).is_empty() {
            return fail(RowCase::EmptyId, &layout.expected);
        }
    }
    let value = match at.value {
        None => f32::NAN,
        Some(at) => match fields::trim(row.field(line, at)) {
            b"" if layout.header.is_some() => f32::NAN,
            text => match fields::value(text) {
                Some(value) => value,
                None => return fail(RowCase::BadValue, "a finite number"),
            },
        },
    };
    on_scale(value, rules.scale)?;
    let Some(time) = fields::time(fields::trim(row.field(line, at.timestamp)), rules.unit) else {
        return fail(RowCase::BadTime, "Unix seconds, or a date YYYY-MM-DD");
    };
    in_time(time, rules.limit)?;
    Ok((value, time))
}

/// Rule: a rating lies on the data set's scale.
pub(super) fn on_scale(value: f32, scale: Option<(f32, f32)>) -> Result<(), Refusal> {
    match scale {
        Some((low, high)) if value < low || value > high => {
            Err((RowCase::OffScale, format!("a rating from {low} to {high}")))
        }
        _ => Ok(()),
    }
}

/// Rule: a time stamp lies between 1970 and the end of tomorrow.
pub(super) fn in_time(time: i64, limit: i64) -> Result<(), Refusal> {
    if time < 0 {
        return Err((RowCase::TimeBefore1970, "a time stamp not before 1970-01-01".into()));
    }
    if time >= limit {
        return Err((RowCase::TimeInFuture, "Unix seconds, not after tomorrow".into()));
    }
    Ok(())
}

fn split(line: &[u8], delimiter: &[u8], row: &mut Row) {
    row.ranges.clear();
    let (mut start, mut from) = (0, 0);
    while let Some(at) = memchr::memchr(delimiter[0], &line[from..]) {
        let at = from + at;
        if line[at..].starts_with(delimiter) {
            row.ranges.push((start, at));
            start = at + delimiter.len();
            from = start;
        } else {
            from = at + 1;
        }
    }
    row.ranges.push((start, line.len()));
}

/// Splits a line with quoted fields (RFC 4180; `""` is a quote); `false` when a quote stays open.
fn split_quoted(line: &[u8], delimiter: &[u8], row: &mut Row) -> bool {
    row.ranges.clear();
    row.unquoted.clear();
    let mut rest = line;
    loop {
        let start = row.unquoted.len();
        if rest.first() == Some(&b'"') {
            let mut at = 1;
            loop {
                match (rest.get(at), rest.get(at + 1)) {
                    (Some(b'"'), Some(b'"')) => {
                        row.unquoted.push(b'"');
                        at += 2;
                    }
                    (Some(b'"'), _) => break,
                    (Some(&byte), _) => {
                        row.unquoted.push(byte);
                        at += 1;
                    }
                    (None, _) => return false,
                }
            }
            rest = &rest[at + 1..];
        } else {
            let end = memchr::memmem::find(rest, delimiter).unwrap_or(rest.len());
            row.unquoted.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        row.ranges.push((start, row.unquoted.len()));
        match rest.strip_prefix(delimiter) {
            Some(next) => rest = next,
            None => return rest.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(line: &str, delimiter: &str) -> Vec<String> {
        let mut row = Row { quoted: line.contains('"'), ..Row::default() };
        if row.quoted {
            assert!(split_quoted(line.as_bytes(), delimiter.as_bytes(), &mut row));
        } else {
            split(line.as_bytes(), delimiter.as_bytes(), &mut row);
        }
        (0..row.ranges.len())
            .map(|i| String::from_utf8_lossy(row.field(line.as_bytes(), i)).into_owned())
            .collect()
    }

    #[test]
    fn splits() {
        assert_eq!(fields("1::a:b::c", "::"), ["1", "a:b", "c"]);
        assert_eq!(fields("1,\"a, \"\"b\"\"\",", ","), ["1", "a, \"b\"", ""]);
        assert_eq!(fields(",,", ","), ["", "", ""]);
    }

    proptest! {
        /// What the `csv` crate writes, we read.
        #[test]
        fn agrees_with_the_csv_crate(row in proptest::collection::vec("[a-z,\" ]{0,6}", 2..6)) {
            let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
            writer.write_record(&row).unwrap();
            let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(fields(line.trim_end_matches('\n'), ","), row);
        }
    }
}
