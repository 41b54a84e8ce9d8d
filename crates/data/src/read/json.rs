//! Interactions from JSON Lines: one object a line, its fields by name. A line may also be a session that
//! holds its events as a list of objects, as OTTO's do; the session's own fields belong to each of them.

use super::ReadOptions;
use super::blocks::{Block, Chunk, lines, push_fraction};
use super::columns::{Positions, shown};
use super::delimited::{in_time, moment, on_scale};
use super::fields::{self, missing};
use super::layout::{self, Format};
use crate::time::Moment;
use crate::vocabulary::VocabularyBuilder;
use crate::{BadRow, DataError, EventTypes, Result, RowCase};
use serde_json::{Map, Value};
use std::path::Path;

type Object = Map<String, Value>;

/// Names of the fields of the interaction schema, and of the list of events.
pub(super) struct Layout {
    names: Vec<String>,
    positions: Positions,
    events: Option<String>,
    /// Names of further fields, whose values are single.
    pub further: Vec<String>,
    pub remarks: Vec<String>,
}

impl Layout {
    /// From the first line.
    pub fn settle(path: &Path, options: &ReadOptions) -> Result<Self> {
        let (file, sample) = layout::sample(path, &Format::JsonLines, options)?;
        let mut first = None;
        lines(&sample, |_, line| {
            if first.is_none() {
                first = Some(line.to_vec());
            }
        });
        let Some(first) = first else {
            return Err(DataError::file(file, "is empty", "is this the right file?"));
        };
        let object: Object = serde_json::from_slice(&first).map_err(|error| {
            let reason = format!(
                "begins with no JSON object ({error})\n  text: {}",
                shown(&String::from_utf8_lossy(&first))
            );
            DataError::file(&file, reason, "write one object a line (JSON Lines)")
        })?;
        let events = object.iter().find_map(|(name, value)| {
            value
                .as_array()
                .and_then(|list| list.first())
                .filter(|first| first.is_object())
                .map(|_| name.clone())
        });
        let single = |object: &Object| -> Vec<String> {
            let single = |value: &Value| !value.is_object() && !value.is_array();
            object.iter().filter(|(_, value)| single(value)).map(|(name, _)| name.clone()).collect()
        };
        let mut names = single(&object);
        let find = |names: &[String]| options.columns.find(&file, names);
        // A list of objects is one of events only where the line itself is no event.
        let events = events.filter(|_| find(&names).is_err());
        if let Some(event) = events.as_ref().and_then(|name| object[name].as_array()?.first()?.as_object()) {
            names.extend(single(event).into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        }
        let positions = find(&names)?;
        let used = positions.used();
        let further: Vec<String> = names
            .iter()
            .enumerate()
            .filter(|(at, _)| !options.no_further && !used.contains(at))
            .map(|(_, name)| name.clone())
            .collect();
        let nested: Vec<&str> = object
            .keys()
            .filter(|name| !names.contains(name) && events.as_ref() != Some(name))
            .map(String::as_str)
            .collect();
        let mut remarks = Vec::new();
        if !nested.is_empty() {
            remarks.push(format!(
                "{file}: fields that hold lists or objects are left out: {}",
                nested.join(", ")
            ));
        }
        if positions.timestamp.is_none() {
            remarks.push(format!(
                "{file}: no field of times; rows keep no order, and what needs times is refused"
            ));
        }
        Ok(Self { names, positions, events, further, remarks })
    }
}

/// A single value as text; empty for null and for what is absent.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Parses a block.
pub(super) fn parse(block: &Block, layout: &Layout, options: &ReadOptions, limit: i64) -> Chunk {
    let mut chunk = Chunk { extra: vec![Vec::new(); layout.further.len()], ..Chunk::default() };
    let columns = &mut chunk.columns;
    (columns.user_names, columns.item_names) = (VocabularyBuilder::of_part(), VocabularyBuilder::of_part());
    let bad = &mut chunk.bad;
    chunk.lines = lines(&block.text, |number, line| {
        let mut reject = |(case, expected): (RowCase, String)| {
            bad.push(BadRow {
                file: block.file.to_string(),
                line: number,
                case,
                text: BadRow::show(line),
                expected,
            });
        };
        let Ok(object) = serde_json::from_slice::<Object>(line) else {
            return reject((RowCase::BadJson, "one JSON object".into()));
        };
        let none = Object::new();
        let events: Vec<&Object> = match &layout.events {
            None => vec![&none],
            Some(name) => match object.get(name).and_then(Value::as_array) {
                Some(list) => list.iter().filter_map(Value::as_object).collect(),
                None => return reject((RowCase::MissingField, format!("a list {name}"))),
            },
        };
        for event in events {
            let field = |name: &String| text(event.get(name).or_else(|| object.get(name)));
            let at = &layout.positions;
            let ids = [at.user, at.item].map(|at| field(&layout.names[at]));
            let [user, item] = [ids[0].trim(), ids[1].trim()];
            let (value, (time, nanoseconds)) = match row_of([user, item], &field, layout, options, limit) {
                Ok(row) => row,
                Err(refusal) => {
                    reject(refusal);
                    continue;
                }
            };
            push_fraction(&mut columns.fractions, columns.users.len(), nanoseconds);
            columns.users.push(columns.user_names.intern(user.as_bytes()));
            columns.items.push(columns.item_names.intern(item.as_bytes()));
            columns.timestamps.push(time);
            columns.values.push(value);
            if let Some(at) = at.event_type {
                let event = field(&layout.names[at]);
                let event = event.trim().as_bytes();
                let code = if missing(event) { EventTypes::NULL } else { columns.event_names.intern(event) };
                columns.event_codes.push(code);
            }
            for (name, texts) in layout.further.iter().zip(&mut chunk.extra) {
                texts.push(Some(field(name)).filter(|text| !text.is_empty()));
            }
        }
    });
    chunk
}

fn row_of(
    ids: [&str; 2],
    field: &dyn Fn(&String) -> String,
    layout: &Layout,
    options: &ReadOptions,
    limit: i64,
) -> Result<(f32, Moment), (RowCase, String)> {
    if ids.iter().any(|id| missing(id.as_bytes())) {
        return Err((RowCase::EmptyId, "a user id and an item id".into()));
    }
    let value = match layout.positions.value.map(|at| field(&layout.names[at])) {
        Some(text) if !missing(text.trim().as_bytes()) => match fields::value(text.trim().as_bytes()) {
            Some(value) => value,
            None => return Err((RowCase::BadValue, "a finite number".into())),
        },
        _ => f32::NAN,
    };
    on_scale(value, options.scale)?;
    let Some(at) = layout.positions.timestamp else { return Ok((value, (0, 0))) };
    let text = field(&layout.names[at]);
    let moment = moment(text.trim().as_bytes(), options.time_unit.per_second(), options.date_order)?;
    in_time(moment.0, limit)?;
    Ok((value, moment))
}
