//! Interactions from JSON Lines: one object a line, its fields by name, or by number in the order in which
//! names first appear. A line may also be a session that holds its events as a list of objects, as OTTO's do;
//! the session's own fields belong to each of them. The fields of an object within a line carry its name:
//! `user.id`.
//!
//! A file is read twice: a line may be the first to have a field, and which there are must be known before.

use super::ReadOptions;
use super::blocks::{Block, Chunk, Cutting, lines, parse_all, push_fraction};
use super::columns::{ITEM, Positions, plain_name, shown};
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

/// Names in the order in which they first appear, and how many lines have them.
#[derive(Default)]
struct Names(Vec<(String, usize)>);

impl Names {
    fn add(&mut self, name: &str, lines: usize) {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, count)) => *count += lines,
            None => self.0.push((name.to_owned(), lines)),
        }
    }

    fn join(&mut self, others: &Self) {
        others.0.iter().for_each(|(name, lines)| self.add(name, *lines));
    }

    fn list(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// A list of objects, and the fields of these.
struct List {
    name: String,
    lines: usize,
    fields: Names,
}

/// What fields lines have.
#[derive(Default)]
struct Seen {
    single: Names,
    lists: Names,
    of_objects: Vec<List>,
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
                    let mut fields = Names::default();
                    let of_all = events.iter().flat_map(|event| &event.0);
                    of_all.filter(|(_, value)| !value.is_array()).for_each(|(name, _)| fields.add(name, 1));
                    self.objects(name, 1, &fields);
                }
                None if value.is_array() => self.lists.add(name, 1),
                None => self.single.add(name, 1),
            }
        }
    }

    fn join(&mut self, other: &Self) {
        self.any |= other.any;
        self.no_object = self.no_object.take().or_else(|| other.no_object.clone());
        self.single.join(&other.single);
        self.lists.join(&other.lists);
        other.of_objects.iter().for_each(|list| self.objects(&list.name, list.lines, &list.fields));
    }

    fn objects(&mut self, name: &str, lines: usize, fields: &Names) {
        if let Some(list) = self.of_objects.iter_mut().find(|list| list.name == name) {
            list.lines += lines;
            list.fields.join(fields);
            return;
        }
        let mut own = Names::default();
        own.join(fields);
        self.of_objects.push(List { name: name.to_owned(), lines, fields: own });
    }

    /// The list whose objects are the events: the one whose fields name items, if more lines have it than
    /// name an item themselves. A line that does is an event, whatever it lists.
    fn events(&self, options: &ReadOptions) -> Option<&List> {
        let wanted = options.columns.item.as_deref();
        let is_item = |name: &str| {
            wanted.map_or_else(|| ITEM.contains(&plain_name(name).as_str()), |wanted| wanted == name)
        };
        let item =
            |names: &Names| names.0.iter().filter(|(name, _)| is_item(name)).map(|(_, lines)| *lines).max();
        let named = self.of_objects.iter().filter(|list| item(&list.fields).is_some());
        let most = named.max_by_key(|list| list.lines)?;
        (most.lines > item(&self.single).unwrap_or(0)).then_some(most)
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
        let events = seen.events(options);
        let mut names = seen.single.list();
        if let Some(events) = events {
            names.retain(|name| *name != events.name);
            let new: Vec<String> =
                events.fields.list().into_iter().filter(|name| !names.contains(name)).collect();
            names.extend(new);
        }
        let events = events.map(|list| list.name.clone());
        let positions = options.columns.find(&file, &names)?;
        let used = positions.used();
        let further: Vec<String> = names
            .iter()
            .enumerate()
            .filter(|(at, _)| !options.no_further && !used.contains(at))
            .map(|(_, name)| name.clone())
            .collect();
        let mut lists = seen.lists.list();
        lists.extend(seen.of_objects.iter().map(|list| list.name.clone()));
        lists.retain(|name| events.as_ref() != Some(name) && !names.contains(name));
        lists.sort();
        lists.dedup();
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
            Some(name) => match object.get(name) {
                Some(Value::Null) => Vec::new(),
                Some(list) => match events_of(list) {
                    Some(events) => events,
                    None => return reject((RowCase::Nested, format!("a list of objects as {name}"))),
                },
                // A line may be an event itself.
                None => vec![Fields::default()],
            },
        };
        for event in events {
            let cell = |name: &String| event.get(name).or_else(|| object.get(name));
            let at = &layout.positions;
            let used = at.used();
            // A number that floating point cannot hold would be another's.
            let inexact = |at: usize| matches!(cell(&layout.names[at]), Some(Value::Number(n)) if n.is_f64());
            if [at.user, at.item].into_iter().any(inexact) {
                reject((RowCase::BadId, "ids as texts, or as whole numbers below 2^64".into()));
                continue;
            }
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
