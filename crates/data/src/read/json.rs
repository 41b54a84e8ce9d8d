//! Interactions from JSON Lines: one object a line, its fields by name, or by number in the order in which
//! names first appear. A line may also be a session that holds its events as a list of objects, as OTTO's do;
//! the session's own fields belong to each of them. The fields of an object within a line carry its name:
//! `user.id`.
//!
//! A file is read twice: a line may be the first to have a field, and which there are must be known before.

use super::ReadOptions;
use super::blocks::{Block, Chunk, Cutting, lines, parse_all, push_fraction};
use super::columns::{Positions, shown};
use super::delimited::{in_time, moment, on_scale};
use super::fields::{self, missing};
use super::layout::{Format, is_member};
use crate::time::Moment;
use crate::vocabulary::VocabularyBuilder;
use crate::{BadRow, DataError, EventTypes, Result, RowCase};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::path::Path;

/// An object's fields in their order, those of objects within it under joined names.
#[derive(Default)]
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    fields.put(name, value);
                }
                Ok(fields)
            }
        }
        from.deserialize_map(Object)
    }
}

impl Fields {
    fn put(&mut self, name: String, value: Value) {
        match value {
            Value::Object(inner) => {
                inner.into_iter().for_each(|(part, value)| self.put(format!("{name}.{part}"), value));
            }
            value => self.0.push((name, value)),
        }
    }

    /// The value of a name; of several the last.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value)
    }
}

/// The events of a list of objects.
fn events_of(value: &Value) -> Option<Vec<Fields>> {
    let event = |value: &Value| match value {
        Value::Object(object) => {
            let mut fields = Fields::default();
            object.iter().for_each(|(name, value)| fields.put(name.clone(), value.clone()));
            Some(fields)
        }
        _ => None,
    };
    value.as_array()?.iter().map(event).collect()
}

/// Names in the order in which they first appear.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn add(&mut self, name: &str) {
        if !self.0.iter().any(|other| other == name) {
            self.0.push(name.to_owned());
        }
    }
}

/// What fields lines have.
#[derive(Default)]
struct Seen {
    single: Names,
    lists: Names,
    /// Lists of objects, and the fields of these.
    events: Names,
    in_events: Names,
    /// A first line, if no line is an object.
    no_object: Option<String>,
    any: bool,
}

impl Seen {
    fn of(block: &Block) -> Self {
        let mut seen = Self::default();
        lines(&block.text, |_, line| match serde_json::from_slice::<Fields>(line) {
            Ok(fields) => seen.line(&fields),
            Err(error) => {
                let first = || format!("({error})\n  text: {}", shown(&String::from_utf8_lossy(line)));
                seen.no_object.get_or_insert_with(first);
            }
        });
        seen
    }

    fn line(&mut self, fields: &Fields) {
        self.any = true;
        for (name, value) in &fields.0 {
            match events_of(value).filter(|events| !events.is_empty()) {
                Some(events) => {
                    self.events.add(name);
                    let of_all = events.iter().flat_map(|event| &event.0);
                    of_all
                        .filter(|(_, value)| !value.is_array())
                        .for_each(|(name, _)| self.in_events.add(name));
                }
                None if value.is_array() => self.lists.add(name),
                None => self.single.add(name),
            }
        }
    }

    fn join(&mut self, other: &Self) {
        self.any |= other.any;
        self.no_object = self.no_object.take().or_else(|| other.no_object.clone());
        let pairs = [
            (&mut self.single, &other.single),
            (&mut self.lists, &other.lists),
            (&mut self.events, &other.events),
            (&mut self.in_events, &other.in_events),
        ];
        pairs.into_iter().for_each(|(own, others)| others.0.iter().for_each(|name| own.add(name)));
    }
}

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
    /// From all lines.
    pub fn settle(path: &Path, options: &ReadOptions) -> Result<Self> {
        let (mut seen, mut first) = (Seen::default(), None);
        let cutting = Cutting { encoding: options.encoding, dialect: None };
        parse_all(
            path,
            cutting,
            |name| is_member(&Format::JsonLines, name),
            Seen::of,
            |block, other| {
                first.get_or_insert_with(|| block.file.clone());
                seen.join(&other);
                Ok(())
            },
        )?;
        let file = first.map_or_else(|| path.display().to_string(), |file| file.to_string());
        if !seen.any {
            let Some(text) = seen.no_object else {
                return Err(DataError::file(file, "is empty", "is this the right file?"));
            };
            let reason = format!("begins with no JSON object {text}");
            return Err(DataError::file(file, reason, "write one object a line (JSON Lines)"));
        }
        let find = |names: &[String]| options.columns.find(&file, names);
        let mut names = seen.single.0;
        // A list of objects is one of events only where the line itself is no event.
        let events = seen.events.0.first().cloned().filter(|_| find(&names).is_err());
        if events.is_some() {
            names.extend(
                seen.in_events.0.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>(),
            );
        }
        let positions = find(&names)?;
        let used = positions.used();
        let further: Vec<String> = names
            .iter()
            .enumerate()
            .filter(|(at, _)| !options.no_further && !used.contains(at))
            .map(|(_, name)| name.clone())
            .collect();
        let lists =
            seen.lists.0.into_iter().chain(seen.events.0).filter(|name| events.as_ref() != Some(name));
        let lists: Vec<String> = lists.filter(|name| !names.contains(name)).collect();
        let mut remarks = Vec::new();
        if !lists.is_empty() {
            remarks.push(format!("{file}: fields that hold lists are left out: {}", lists.join(", ")));
        }
        if positions.timestamp.is_none() {
            remarks.push(format!(
                "{file}: no field of times; rows have the order of their lines, and what needs times is \
                 refused"
            ));
        }
        Ok(Self { names, positions, events, further, remarks })
    }
}

/// A single value as text; empty for null and for what is absent; `None` for a list.
fn text(value: Option<&Value>) -> Option<String> {
    match value {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(_) | Value::Object(_)) => None,
        Some(other) => Some(other.to_string()),
    }
}

/// Parses a block.
pub(super) fn parse(block: &Block, layout: &Layout, options: &ReadOptions, limit: i64) -> Chunk {
    let mut chunk = Chunk { extra: vec![Vec::new(); layout.further.len()], ..Chunk::default() };
    let columns = &mut chunk.columns;
    (columns.user_names, columns.item_names) = (VocabularyBuilder::of_part(), VocabularyBuilder::of_part());
    let bad = &mut chunk.bad;
    chunk.lines = lines(&block.text, |number, line| {
        let mut reject = |refusal| bad.push(BadRow::new(&block.file, number, refusal, line));
        let Ok(object) = serde_json::from_slice::<Fields>(line) else {
            return reject((RowCase::BadJson, "one JSON object".into()));
        };
        let events = match &layout.events {
            None => vec![Fields::default()],
            Some(name) => match object.get(name).and_then(events_of) {
                Some(events) => events,
                None => return reject((RowCase::MissingField, format!("a list of objects {name}"))),
            },
        };
        for event in events {
            let cell = |name: &String| event.get(name).or_else(|| object.get(name));
            let at = &layout.positions;
            let used = at.used();
            if let Some(at) = used.iter().find(|at| text(cell(&layout.names[**at])).is_none()) {
                reject((RowCase::Nested, format!("a single value as {}", layout.names[*at])));
                continue;
            }
            let field = |name: &String| text(cell(name)).unwrap_or_default();
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
                let list = || cell(name).map(Value::to_string).unwrap_or_default();
                let text = text(cell(name)).unwrap_or_else(list);
                texts.push(Some(text).filter(|text| !text.is_empty()));
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
