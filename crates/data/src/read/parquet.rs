//! Interactions from Parquet: ours, or any with a user, an item and a time column; one file, or a folder of
//! parts.

use super::blocks::{Spill, push_fraction};
use super::columns::Positions;
use super::rejects::Rejects;
use super::{RawRead, ReadOptions, delimited, fields};
use crate::interactions::RawColumns;
use crate::time::{DateOrder, Moment};
use crate::{BadRow, DataError, EventTypes, Result, RowCase, store};
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, Float32Array, Int64Array, PrimitiveArray, StringArray, UInt32Array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, SchemaRef, TimeUnit as ArrowUnit};
use arrow_select::concat::concat;
use arrow_select::take::take;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads a file, or a folder of part files as engines write them; rows go to `spill` where there is one.
pub(super) fn read(path: &Path, options: &ReadOptions, spill: Option<&mut dyn Spill>) -> Result<RawRead> {
    // The decoder panics on some damaged files.
    catch_unwind(AssertUnwindSafe(|| read_files(path, options, spill))).unwrap_or_else(|_| {
        let help = "write the file again";
        Err(DataError::file(path.display(), "is damaged: its pages cannot be decoded", help))
    })
}

fn read_files(path: &Path, options: &ReadOptions, mut spill: Option<&mut dyn Spill>) -> Result<RawRead> {
    let files = parts(path)?;
    let mut raw = RawColumns::of_all();
    let mut rejects = Rejects::new(options.skip_bad_rows);
    let mut first: Option<(SchemaRef, Vec<String>)> = None;
    let (mut pieces, mut remarks): (Vec<Vec<ArrayRef>>, Vec<String>) = (Vec::new(), Vec::new());
    for file in &files {
        let mut part = Part::open(file, options)?;
        match &first {
            None => {
                let names: Vec<String> = part.further.iter().map(|i| part.names[*i].clone()).collect();
                if spill.is_some() && !names.is_empty() {
                    return Err(super::further(file.display()));
                }
                pieces = vec![Vec::new(); names.len()];
                remarks.append(&mut part.remarks);
                first = Some((part.schema.clone(), names));
            }
            Some((schema, _)) if schema.fields() != part.schema.fields() => {
                let show = |schema: &SchemaRef| {
                    schema
                        .fields()
                        .iter()
                        .map(|f| format!("{} {}", f.name(), f.data_type()))
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                let reason = format!(
                    "has the columns ({}) where {} has ({})",
                    show(&part.schema),
                    files[0].display(),
                    show(schema)
                );
                return Err(DataError::file(file.display(), reason, "give all parts the same columns"));
            }
            Some(_) => {}
        }
        while let Some(columns) = part.next(options, &mut raw, &mut rejects)? {
            pieces.iter_mut().zip(columns).for_each(|(pieces, column)| pieces.push(column));
            if let Some(spill) = &mut spill {
                spill.offer(&mut raw)?;
            }
        }
    }
    for (pieces, name) in pieces.into_iter().zip(first.map_or_else(Vec::new, |(_, names)| names)) {
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        if !pieces.is_empty() {
            let column = concat(&pieces).map_err(|e| DataError::columns("rows", e))?;
            raw.extra.push((name, column));
        }
    }
    Ok(RawRead { columns: raw, rejects, files: files.len(), remarks })
}

/// The file itself, or a folder's parts by name.
fn parts(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| DataError::io(path, "list", e))?;
    let mut names: Vec<PathBuf> = entries
        .map(|e| e.map(|e| e.path()).map_err(|e| DataError::io(path, "list", e)))
        .collect::<Result<_>>()?;
    if names.iter().any(|name| name.ends_with("_temporary")) {
        return Err(DataError::file(
            path.display(),
            "holds _temporary: the job that writes it has not ended, or failed",
            "wait for it, or run it again",
        ));
    }
    let wanted = |name: &Path| {
        name.file_name().is_some_and(|n| {
            let n = n.to_string_lossy();
            !n.starts_with(['.', '_'])
                && name.extension().is_some_and(|e| e == "parquet")
                && !super::layout::BESIDE.contains(&n.to_lowercase().as_str())
        })
    };
    names.retain(|name| wanted(name));
    names.sort();
    if names.is_empty() {
        return Err(DataError::file(
            path.display(),
            "is a folder without a part that ends in .parquet",
            "name the file",
        ));
    }
    Ok(names)
}

/// One file, a batch of rows at a time.
struct Part {
    shown: String,
    path: PathBuf,
    names: Vec<String>,
    at: Positions,
    /// Places of further columns.
    further: Vec<usize>,
    /// The place of fractions of a second, in a file of ours.
    nanoseconds: Option<usize>,
    /// What was left out.
    remarks: Vec<String>,
    schema: SchemaRef,
    batches: ParquetRecordBatchReader,
    /// Number of the next row, from 1.
    row: u64,
}

impl Part {
    fn open(path: &Path, options: &ReadOptions) -> Result<Self> {
        let shown = path.display().to_string();
        let file = std::fs::File::open(path).map_err(|e| DataError::io(path, "open", e))?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| DataError::parquet(path, e))?;
        store::check_version(path, builder.metadata())?;
        let schema = builder.schema().clone();
        let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let at = options.columns.find(&shown, &names)?;
        let ours = store::is_ours(builder.metadata());
        let nanoseconds = names.iter().position(|name| ours && name == store::NANOSECOND);
        let used: Vec<usize> = at.used().into_iter().chain(nanoseconds).collect();
        // Session columns follow from the interactions and are built again when they are needed.
        let (nested, further): (Vec<usize>, Vec<usize>) = (0..names.len())
            .filter(|i| !options.no_further && !used.contains(i) && !store::is_session_column(&names[*i]))
            .partition(|i| schema.field(*i).data_type().is_nested());
        let mut remarks = Vec::new();
        if !nested.is_empty() {
            let list: Vec<&str> = nested.iter().map(|i| names[*i].as_str()).collect();
            remarks
                .push(format!("{shown}: columns of lists or structures are left out: {}", list.join(", ")));
        }
        if at.timestamp.is_none() {
            remarks.push(format!(
                "{shown}: no column of times; rows have the order of their lines, and what needs times is \
                 refused"
            ));
        }
        let batches = builder.with_batch_size(1 << 16).build().map_err(|e| DataError::parquet(path, e))?;
        Ok(Self {
            shown,
            path: path.to_owned(),
            names,
            at,
            further,
            nanoseconds,
            remarks,
            schema,
            batches,
            row: 1,
        })
    }

    /// Appends the next batch's good rows to `raw`; returns their further columns, or that the file is at its
    /// end.
    fn next(
        &mut self,
        options: &ReadOptions,
        raw: &mut RawColumns,
        rejects: &mut Rejects,
    ) -> Result<Option<Vec<ArrayRef>>> {
        let Some(batch) = self.batches.next() else { return Ok(None) };
        let batch = batch.map_err(|e| DataError::parquet(&self.path, e.into()))?;
        let (shown, at, limit) = (&self.shown, &self.at, options.time_limit());
        let column = |index: usize, to: &DataType| typed(shown, &self.names[index], batch.column(index), to);
        let users = column(at.user, &DataType::Utf8)?;
        let items = column(at.item, &DataType::Utf8)?;
        let (users, items): (&StringArray, &StringArray) = (users.as_string(), items.as_string());
        let unit = options.time_unit.per_second();
        let mut moments = match at.timestamp {
            None => vec![Ok((0, 0)); batch.num_rows()],
            Some(time) => times(shown, &self.names[time], batch.column(time), unit, options.date_order)?,
        };
        if let Some(nanoseconds) = self.nanoseconds {
            let parts = column(nanoseconds, &DataType::Int64)?;
            let parts: &Int64Array = parts.as_primitive::<Int64Type>();
            for (row, moment) in moments.iter_mut().enumerate().filter(|(row, _)| parts.is_valid(*row)) {
                if let (Ok((_, fraction)), Ok(part)) = (moment, u32::try_from(parts.value(row))) {
                    *fraction = part;
                }
            }
        }
        let values = at.value.map(|i| ratings(shown, &self.names[i], batch.column(i))).transpose()?;
        let events = at.event_type.map(|i| column(i, &DataType::Utf8)).transpose()?;
        let events: Option<&StringArray> = events.as_ref().map(AsArray::as_string);

        let mut kept = Vec::with_capacity(batch.num_rows());
        for (row, moment) in moments.into_iter().enumerate() {
            let value = values.as_ref().map_or(Some(f32::NAN), |values| values[row]);
            let id =
                |ids: &StringArray| ids.is_valid(row) && !fields::missing(ids.value(row).trim().as_bytes());
            let outcome = match moment {
                _ if !id(users) || !id(items) => {
                    Err((RowCase::EmptyId, "a user id and an item id".to_owned()))
                }
                Err(refusal) => Err(refusal),
                Ok((time, fraction)) => value
                    .ok_or_else(|| (RowCase::BadValue, "a finite number".to_owned()))
                    .and_then(|value| delimited::on_scale(value, options.scale).map(|()| value))
                    .and_then(|value| delimited::in_time(time, limit).map(|()| (value, time, fraction))),
            };
            match outcome {
                Ok((value, time, fraction)) => {
                    push_fraction(&mut raw.fractions, raw.users.len(), fraction);
                    raw.users.push(raw.user_names.intern(users.value(row).trim().as_bytes()));
                    raw.items.push(raw.item_names.intern(items.value(row).trim().as_bytes()));
                    raw.timestamps.push(time);
                    raw.values.push(value);
                    if let Some(events) = events {
                        let known = events.is_valid(row) && !fields::missing(events.value(row).as_bytes());
                        raw.event_codes.push(if known {
                            raw.event_names.intern(events.value(row).as_bytes())
                        } else {
                            EventTypes::NULL
                        });
                    }
                    kept.push(row as u32);
                }
                Err(refusal) => {
                    let text: Vec<String> =
                        at.used().iter().map(|at| shown_cell(batch.column(*at), row)).collect();
                    rejects.push(BadRow::new(
                        shown,
                        self.row + row as u64,
                        refusal,
                        text.join(", ").as_bytes(),
                    ))?;
                }
            }
        }
        self.row += batch.num_rows() as u64;
        let kept = UInt32Array::from(kept);
        let take = |index: &usize| {
            take(batch.column(*index), &kept, None).map_err(|e| DataError::columns("rows", e))
        };
        self.further.iter().map(take).collect::<Result<_>>().map(Some)
    }
}

/// Values, NaN where there is none; `None` for what is no finite number. A column of text follows the rules
/// of text files.
fn ratings(file: &str, name: &str, column: &ArrayRef) -> Result<Vec<Option<f32>>> {
    let finite = |value: f32| (!value.is_infinite()).then_some(value);
    if matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        let texts = typed(file, name, column, &DataType::Utf8)?;
        let value = |text: Option<&str>| match text.map(|text| text.trim().as_bytes()) {
            Some(text) if !fields::missing(text) => fields::value(text),
            _ => Some(f32::NAN),
        };
        return Ok(texts.as_string::<i32>().iter().map(value).collect());
    }
    let numbers = typed(file, name, column, &DataType::Float32)?;
    let numbers: &Float32Array = numbers.as_primitive::<Float32Type>();
    Ok(numbers.iter().map(|value| finite(value.unwrap_or(f32::NAN))).collect())
}

/// A cell as text, for a message.
fn shown_cell(column: &ArrayRef, row: usize) -> String {
    let cell = cast_with_options(&column.slice(row, 1), &DataType::Utf8, &CastOptions::default());
    match cell {
        Ok(cell) if cell.is_valid(0) => cell.as_string::<i32>().value(0).to_owned(),
        Ok(_) => "null".into(),
        Err(_) => "?".into(),
    }
}

/// Casts a column strictly; a value that does not fit is an error, and so is a list, which would be read as
/// text.
fn typed(file: &str, name: &str, column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if let Some(column) = converted(column, to) {
        return Ok(column);
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let cast = if column.data_type().is_nested() {
        Err("it is nested".to_owned())
    } else {
        cast_with_options(column, to, &strict).map_err(|e| e.to_string())
    };
    cast.map_err(|reason| {
        DataError::file(
            file,
            format!("column {name} is {} and cannot be read as {to}: {reason}", column.data_type()),
            "fix the column, or name another",
        )
    })
}

/// The conversions that most files need, in our own code: arrow's for all types take a minute to build with
/// optimization and are built without. `None` for any other.
fn converted(column: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    fn of<T: ArrowPrimitiveType<Native: Into<i128>>>(
        array: &PrimitiveArray<T>,
        to: &DataType,
    ) -> Option<ArrayRef> {
        let wide = |value: T::Native| -> i128 { value.into() };
        match to {
            DataType::Utf8 => {
                let mut text = StringBuilder::with_capacity(array.len(), 8 * array.len());
                let mut digits = itoa::Buffer::new();
                array
                    .iter()
                    .for_each(|value| text.append_option(value.map(|value| digits.format(wide(value)))));
                Some(Arc::new(text.finish()))
            }
            DataType::Float32 => Some(Arc::new(array.unary::<_, Float32Type>(|value| wide(value) as f32))),
            DataType::Int64 => Some(Arc::new(
                array.try_unary::<_, Int64Type, ()>(|value| i64::try_from(wide(value)).map_err(drop)).ok()?,
            )),
            _ => None,
        }
    }
    match column.data_type() {
        same if same == to => Some(column.clone()),
        DataType::Int8 => of(column.as_primitive::<Int8Type>(), to),
        DataType::Int16 => of(column.as_primitive::<Int16Type>(), to),
        DataType::Int32 => of(column.as_primitive::<Int32Type>(), to),
        DataType::Int64 => of(column.as_primitive::<Int64Type>(), to),
        DataType::UInt8 => of(column.as_primitive::<UInt8Type>(), to),
        DataType::UInt16 => of(column.as_primitive::<UInt16Type>(), to),
        DataType::UInt32 => of(column.as_primitive::<UInt32Type>(), to),
        DataType::UInt64 => of(column.as_primitive::<UInt64Type>(), to),
        DataType::Float64 if *to == DataType::Float32 => {
            Some(Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float32Type>(|value| value as f32)))
        }
        _ => None,
    }
}

type Moments = Vec<Result<Moment, (RowCase, String)>>;

/// The moments of a time column: time stamps of any unit, dates, numbers of `unit` to the second, or text.
fn times(file: &str, name: &str, column: &ArrayRef, unit: i64, order: Option<DateOrder>) -> Result<Moments> {
    let none = || Err((RowCase::BadTime, "a time stamp".to_owned()));
    let unit = match column.data_type() {
        DataType::Timestamp(ArrowUnit::Second, _) => 1,
        DataType::Timestamp(ArrowUnit::Millisecond, _) => 1_000,
        DataType::Timestamp(ArrowUnit::Microsecond, _) => 1_000_000,
        DataType::Timestamp(ArrowUnit::Nanosecond, _) => 1_000_000_000,
        DataType::Date32 | DataType::Date64 => {
            let seconds = typed(file, name, column, &DataType::Timestamp(ArrowUnit::Second, None))?;
            return times(file, name, &seconds, 1, order);
        }
        DataType::Float32 | DataType::Float64 => {
            let numbers = typed(file, name, column, &DataType::Float64)?;
            let moment = |number: Option<f64>| match number {
                Some(number) if number.is_finite() && number.abs() < 9e18 => {
                    Ok(fields::of_float(number, unit))
                }
                _ => none(),
            };
            return Ok(numbers.as_primitive::<Float64Type>().iter().map(moment).collect());
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            let texts = typed(file, name, column, &DataType::Utf8)?;
            let moment = |text: Option<&str>| match text {
                Some(text) => delimited::moment(text.trim().as_bytes(), unit, order),
                None => none(),
            };
            return Ok(texts.as_string::<i32>().iter().map(moment).collect());
        }
        _ => unit,
    };
    let numbers = typed(file, name, column, &DataType::Int64)?;
    let moment = |number: Option<i64>| number.map_or_else(none, |number| Ok(fields::whole(number, unit)));
    Ok(numbers.as_primitive::<Int64Type>().iter().map(moment).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, Int8Array, UInt64Array};

    /// Our own conversions agree with arrow's, nulls and largest values included.
    #[test]
    fn conversions_equal_arrows() {
        let columns: [ArrayRef; 4] = [
            Arc::new(Int8Array::from(vec![Some(-128), None, Some(7)])),
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(16_777_217), None])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])),
            Arc::new(Float64Array::from(vec![Some(0.1), None, Some(1e300)])),
        ];
        let mut compared = 0;
        for column in &columns {
            for to in [DataType::Utf8, DataType::Float32, DataType::Int64] {
                let strict = CastOptions { safe: false, ..CastOptions::default() };
                let (ours, theirs) = (converted(column, &to), cast_with_options(column, &to, &strict));
                if let Some(ours) = ours {
                    assert_eq!(&ours, &theirs.unwrap(), "{} to {to}", column.data_type());
                    compared += 1;
                }
            }
        }
        // Too large for 64 bits with a sign: arrow's refusal is what is told.
        assert!(converted(&columns[2], &DataType::Int64).is_none());
        assert_eq!(compared, 9);
    }
}
