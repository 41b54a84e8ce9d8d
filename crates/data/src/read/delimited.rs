//! Lines of delimited text into columns.

use super::blocks::{Block, Chunk, push_fraction};
use super::dialect::{BadQuotes, Dialect, Row};
use super::fields;
use super::layout::Layout;
use crate::time::{DateOrder, Moment, NoDate};
use crate::vocabulary::VocabularyBuilder;
use crate::{BadRow, DataError, EventTypes, RowCase};

/// Rules that a line must satisfy.
pub(super) struct Rules<'a> {
    pub layout: &'a Layout,
    pub scale: Option<(f32, f32)>,
    pub unit: i64,
    pub order: Option<DateOrder>,
    pub limit: i64,
}

type Refusal = (RowCase, String);

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
    // Lines of a header are the first that are not blank.
    let mut heading = if block.first && layout.header.is_some() { 1 + layout.header_rest } else { 0 };
    let cut = Cut { dialect: layout.dialect.within(&block.text), plain: is_plain(&block.text) };
    chunk.lines = cut.dialect.records(&block.text, |number, line| {
        if heading > 0 {
            let header = layout.header.as_ref().filter(|_| heading == 1 + layout.header_rest);
            heading -= 1;
            if let Some(header) = header.filter(|h| String::from_utf8_lossy(line).trim_end() != **h) {
                fatal = Some(other_header(&block.file, line, header));
            }
            return;
        }
        match row_of(line, rules, &cut, &mut row) {
            Ok((value, (time, nanoseconds))) => {
                let at = &layout.positions;
                push_fraction(&mut columns.fractions, columns.users.len(), nanoseconds);
                columns.users.push(columns.user_names.intern(fields::trim(row.field(line, at.user))));
                columns.items.push(columns.item_names.intern(fields::trim(row.field(line, at.item))));
                columns.timestamps.push(time);
                columns.values.push(value);
                if let Some(event) = at.event_type {
                    let event = fields::trim(row.field(line, event));
                    columns.event_codes.push(if fields::missing(event) {
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
            Err(refusal) => bad.push(BadRow::new(&block.file, number, refusal, line)),
        }
    });
    chunk.fatal = fatal;
    chunk
}

fn other_header(file: &str, line: &[u8], header: &str) -> DataError {
    let reason = format!(
        "begins with another header than the first file\n  text: {}\n  expected: {}",
        BadRow::show(line),
        BadRow::show(header.as_bytes())
    );
    DataError::file(file, reason, "read files with different columns one by one")
}

/// How a block's records are cut.
struct Cut {
    dialect: Dialect,
    /// Whether the whole block is plain.
    plain: bool,
}

/// Whether a text is ASCII without NUL bytes.
fn is_plain(text: &[u8]) -> bool {
    text.is_ascii() && memchr::memchr(0, text).is_none()
}

fn row_of(line: &[u8], rules: &Rules, cut: &Cut, row: &mut Row) -> Result<(f32, Moment), Refusal> {
    let layout = rules.layout;
    let fail = |case, what: &str| Err((case, what.to_owned()));
    if !cut.plain && !line.is_ascii() && std::str::from_utf8(line).is_err() {
        return fail(RowCase::NotUtf8, "UTF-8 text");
    }
    if !cut.plain && memchr::memchr(0, line).is_some() {
        return fail(RowCase::NulByte, &layout.expected);
    }
    match cut.dialect.split(line, row) {
        Ok(()) => {}
        // A quote that opens by mistake may swallow rows.
        Err(_) if memchr::memchr(b'\n', line).is_some() => {
            return fail(
                RowCase::SwallowsLines,
                "a closing quote, and behind it a delimiter or the line's end",
            );
        }
        Err(BadQuotes::Open) => return fail(RowCase::OpenQuote, "a closing quote"),
        Err(BadQuotes::Behind) => {
            return fail(RowCase::TextBehindQuote, "a delimiter or the line's end behind a closing quote");
        }
    }
    if row.ranges.len() < layout.fields {
        return fail(RowCase::MissingField, &layout.expected);
    }
    if row.ranges.len() > layout.fields {
        return fail(RowCase::ExtraField, &layout.expected);
    }
    let at = &layout.positions;
    for id in [at.user, at.item] {
        if fields::missing(fields::trim(row.field(line, id))) {
            return fail(RowCase::EmptyId, &layout.expected);
        }
    }
    let value = match at.value {
        None => f32::NAN,
        Some(at) => match fields::trim(row.field(line, at)) {
            text if fields::missing(text) && !layout.rated => f32::NAN,
            text => match fields::value(text) {
                Some(value) => value,
                None => return fail(RowCase::BadValue, "a finite number"),
            },
        },
    };
    on_scale(value, rules.scale)?;
    let Some(at) = at.timestamp else { return Ok((value, (0, 0))) };
    let moment = moment(fields::trim(row.field(line, at)), rules.unit, rules.order)?;
    in_time(moment.0, rules.limit)?;
    Ok((value, moment))
}

/// Rule: a time stamp is a number or a calendar date.
pub(super) fn moment(text: &[u8], unit: i64, order: Option<DateOrder>) -> Result<Moment, Refusal> {
    fields::time(text, unit, order).map_err(|reason| match reason {
        NoDate::Unknown => {
            (RowCase::BadTime, "Unix seconds, or a date such as 2014-03-04 or 2014-03-04T05:06:07Z".into())
        }
        NoDate::Ambiguous => (RowCase::AmbiguousDate, "a stated order of day and month".into()),
    })
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
