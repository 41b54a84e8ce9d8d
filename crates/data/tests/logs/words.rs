//! Options and rows in words, for tables of tests.

use foretaste_data::{ColumnMapping, EventTypes, Interactions, ReadOptions, TimeUnit};

/// 2026-01-01.
const NOW: i64 = 1_767_225_600;

/// Options from their words.
pub(crate) fn options(words: &str) -> ReadOptions {
    let mut options = ReadOptions { now: Some(NOW), ..ReadOptions::default() };
    let columns = &mut options.columns;
    let mut mapping = ColumnMapping::default();
    std::mem::swap(columns, &mut mapping);
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let text = || Some(value.to_owned());
        match name {
            "user" => mapping.user = text(),
            "item" => mapping.item = text(),
            "time" => mapping.timestamp = text(),
            "value" => mapping.value = text(),
            "event" => mapping.event_type = text(),
            "columns" => options.names = Some(value.split(',').map(str::to_owned).collect()),
            "no-header" => options.no_header = true,
            "delimiter" => options.delimiter = text(),
            "quote" => options.quoting = Some(value.parse().unwrap()),
            "encoding" => options.encoding = Some(value.parse().unwrap()),
            "dates" => options.date_order = Some(value.parse().unwrap()),
            "format" => options.format = Some(value.parse().unwrap()),
            "events" => options.events = Some(value.split(',').map(str::to_owned).collect()),
            "min-value" => options.min_value = Some(value.parse().unwrap()),
            "no-further" => options.no_further = true,
            "skip" => options.skip_bad_rows = value.parse().unwrap(),
            "unit" => {
                options.time_unit = match value {
                    "ms" => TimeUnit::Ms,
                    "us" => TimeUnit::Us,
                    _ => TimeUnit::Ns,
                }
            }
            _ => panic!("no such option: {word}"),
        }
    }
    options.columns = mapping;
    options
}

/// A log's rows in the notation of the tables.
#[allow(dead_code)] // Not all tests write a whole log.
pub(crate) fn rows(table: &Interactions) -> String {
    (0..table.len()).map(|at| row(table, at)).collect::<Vec<_>>().join("; ")
}

/// A row: user, item, value and time, with `-` for what it lacks, and the event type behind a slash.
pub(crate) fn row(table: &Interactions, row: usize) -> String {
    let value = table.values[row];
    let value = if value.is_nan() { "-".to_owned() } else { value.to_string() };
    let time = table.timestamps.at(row);
    let fraction = table.nanoseconds.get(row).copied().unwrap_or(0);
    let time = match (table.is_timed(), fraction) {
        (false, _) => "-".to_owned(),
        (true, 0) => time.to_string(),
        (true, _) => format!("{time}.{}", format!("{fraction:09}").trim_end_matches('0')),
    };
    let event = table.event_types.as_ref().map_or(String::new(), |types| match types.codes[row] {
        EventTypes::NULL => "/-".into(),
        code => format!("/{}", types.names.name(code)),
    });
    let (user, item) = (table.user_ids.name(table.users[row]), table.item_ids.name(table.items[row]));
    format!("{user} {item} {value} {time}{event}")
}
