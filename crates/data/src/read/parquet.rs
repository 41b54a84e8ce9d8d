//! Interactions from a Parquet file: ours, or any with a user, an item and a time column.

use super::rejects::Rejects;
use super::{RawRead, ReadOptions, delimited};
use crate::interactions::RawColumns;
use crate::{BadRow, DataError, EventTypes, Result, RowCase, store};
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int64Array, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Int64Type, TimeUnit as ArrowUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::path::Path;

pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<RawRead> {
    let shown = path.display().to_string();
    if path.is_dir() {
        return Err(DataError::file(shown, "is a folder, not a Parquet file", "name the file"));
    }
    let file = std::fs::File::open(path).map_err(|e| DataError::io(path, "open", e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| DataError::parquet(path, e))?;
    store::check_version(path, builder.metadata())?;
    let schema = builder.schema().clone();
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let at = options.columns.find(&shown, &names)?;
    let used = [Some(at.user), Some(at.item), Some(at.timestamp), at.value, at.event_type];
    // Session columns follow from the interactions and are built again when they are needed.
    let further: Vec<usize> = (0..names.len()).filter(|i| !used.contains(&Some(*i)) && !is_session_column(&names[*i])).collect();
    if let Some(nested) = further.iter().find(|i| schema.field(**i).data_type().is_nested()) {
        let reason = format!("column {} is nested ({})", names[*nested], schema.field(*nested).data_type());
        return Err(DataError::file(&shown, reason, "leave the column out, or flatten it"));
    }
    let reader = builder.with_batch_size(1 << 16).build().map_err(|e| DataError::parquet(path, e))?;

    let mut raw = RawColumns::default();
    let mut rejects = Rejects::new(options.skip_bad_rows);
    let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); further.len()];
    let limit = options.time_limit();
    let mut first_row = 1;
    for batch in reader {
        let batch = batch.map_err(|e| DataError::parquet(path, e.into()))?;
        let column = |index: usize, to: &DataType| typed(&shown, &names[index], batch.column(index), to);
        let users = column(at.user, &DataType::Utf8)?;
        let items = column(at.item, &DataType::Utf8)?;
        let (users, items): (&StringArray, &StringArray) = (users.as_string(), items.as_string());
        let (times, unit) = times(&shown, &names[at.timestamp], batch.column(at.timestamp), options.time_unit.per_second())?;
        let times: &Int64Array = times.as_primitive::<Int64Type>();
        let values = at.value.map(|i| column(i, &DataType::Float32)).transpose()?;
        let values: Option<&Float32Array> = values.as_ref().map(AsArray::as_primitive::<Float32Type>);
        let events = at.event_type.map(|i| column(i, &DataType::Utf8)).transpose()?;
        let events: Option<&StringArray> = events.as_ref().map(AsArray::as_string);

        let mut kept = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let value = values.filter(|v| v.is_valid(row)).map_or(f32::NAN, |v| v.value(row));
            let time = times.is_valid(row).then(|| times.value(row).div_euclid(unit));
            let id = |ids: &StringArray| ids.is_valid(row) && !ids.value(row).trim().is_empty();
            let outcome = match time {
                _ if !id(users) || !id(items) => Err((RowCase::EmptyId, "a user id and an item id".to_owned())),
                _ if value.is_infinite() => Err((RowCase::BadValue, "a finite number".to_owned())),
                None => Err((RowCase::BadTime, "Unix seconds".to_owned())),
                Some(time) => delimited::on_scale(value, options.scale).and_then(|()| delimited::in_time(time, limit)).map(|()| time),
            };
            match outcome {
                Ok(time) => {
                    raw.users.push(raw.user_names.intern(users.value(row).trim().as_bytes()));
                    raw.items.push(raw.item_names.intern(items.value(row).trim().as_bytes()));
                    raw.timestamps.push(time);
                    raw.values.push(value);
                    if let Some(events) = events {
                        raw.event_codes.push(if events.is_valid(row) { raw.event_names.intern(events.value(row).as_bytes()) } else { EventTypes::NULL });
                    }
                    kept.push(row as u32);
                }
                Err((case, expected)) => {
                    let show = |ids: &StringArray| if ids.is_valid(row) { ids.value(row).to_owned() } else { "null".into() };
                    let text = format!("{}, {}, {value}, {}", show(users), show(items), time.map_or("null".into(), |t| t.to_string()));
                    rejects.push(BadRow { file: shown.clone(), line: first_row + row as u64, case, text, expected })?;
                }
            }
        }
        first_row += batch.num_rows() as u64;
        let kept = arrow::array::UInt32Array::from(kept);
        for (part, index) in parts.iter_mut().zip(&further) {
            let column = arrow::compute::take(batch.column(*index), &kept, None).map_err(|e| DataError::Setting(e.to_string()))?;
            part.push(column);
        }
    }
    for (part, index) in parts.into_iter().zip(further) {
        let part: Vec<&dyn Array> = part.iter().map(AsRef::as_ref).collect();
        if !part.is_empty() {
            let column = arrow::compute::concat(&part).map_err(|e| DataError::Setting(e.to_string()))?;
            raw.extra.push((names[index].clone(), column));
        }
    }
    Ok((raw, rejects, 1))
}

/// Whether a column is one that the session schema derives: `session_<level>` or `new_session_<level>`.
fn is_session_column(name: &str) -> bool {
    let name = name.strip_prefix("new_").unwrap_or(name);
    name.strip_prefix("session_").is_some_and(|level| !level.is_empty() && level.bytes().all(|b| b.is_ascii_digit()))
}

/// Casts a column strictly; a value that does not fit is an error.
fn typed(file: &str, name: &str, column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, to, &strict).map_err(|e| {
        DataError::file(
            file,
            format!("column {name} is {} and cannot be read as {to}: {e}", column.data_type()),
            "mend the column, or map another with --…-column",
        )
    })
}

/// A time column as integers, and how many of its units make a second.
fn times(file: &str, name: &str, column: &ArrayRef, unit: i64) -> Result<(ArrayRef, i64)> {
    let unit = match column.data_type() {
        DataType::Timestamp(ArrowUnit::Second, _) => 1,
        DataType::Timestamp(ArrowUnit::Millisecond, _) => 1_000,
        DataType::Timestamp(ArrowUnit::Microsecond, _) => 1_000_000,
        DataType::Timestamp(ArrowUnit::Nanosecond, _) => 1_000_000_000,
        DataType::Date32 | DataType::Date64 => {
            let seconds = typed(file, name, column, &DataType::Timestamp(ArrowUnit::Second, None))?;
            return Ok((typed(file, name, &seconds, &DataType::Int64)?, 1));
        }
        _ => unit,
    };
    Ok((typed(file, name, column, &DataType::Int64)?, unit))
}
