//! Interactions and sessions as Parquet: the public schemas and their writer.
//!
//! | column | type | |
//! |---|---|---|
//! | `user_id`, `item_id` | string | external ids |
//! | `timestamp` | int64 | Unix seconds, UTC |
//! | `event_type` | string, nullable | |
//! | `event_value` | float32, nullable | a rating, a play time, … |
//! | `nanosecond` | uint32 | only where a time has fractions of a second: nanoseconds within it |
//! | `session_<level>` | int32 | sessions only: number of the session within the user, from 0 |
//! | `new_session_<level>` | bool | sessions only: a session of that level begins here |
//!
//! Rows are sorted by user, then time, then order of arrival. The file's metadata carries
//! `foretaste.schema` (`interactions/1` or `sessions/1`) and, for sessions, `foretaste.idle_gaps`.
//! Any engine may write these files; the reader maps columns by name and ignores session columns
//! it can derive.

mod names;
mod vocabulary;

use crate::vocabulary::compare_names;
use crate::{DataError, IdleGaps, Interactions, Result, TimeSlice, ValueSlice, Vocabulary, atomic};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use names::{MOST_BYTES, Names};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

pub use vocabulary::{read_vocabulary, write_vocabulary};

/// Metadata key of the schema's name and version.
pub const SCHEMA_KEY: &str = "foretaste.schema";
/// Metadata key of the idle gaps of a sessions file, in seconds, comma separated.
pub const GAPS_KEY: &str = "foretaste.idle_gaps";
/// Name of the column of fractions of a second.
pub(crate) const NANOSECOND: &str = "nanosecond";
/// Name and version of the interactions schema.
pub(crate) const INTERACTIONS: &str = "interactions/1";
const SESSIONS: &str = "sessions/1";
const VOCABULARY: &str = "vocabulary/1";
/// Rows of a row group. Bounds the memory of writing.
pub(crate) const ROW_GROUP: usize = 1 << 20;

/// Writes the interaction schema to `path`, atomically.
///
/// # Errors
/// [`DataError::Io`] when the file cannot be written (a full disk included).
pub fn write_interactions(table: &Interactions, path: &Path) -> Result<()> {
    write(table, None, path)
}

/// Builds sessions of `gaps` and writes the session schema to `path`, atomically.
///
/// # Errors
/// [`DataError::Io`] when the file cannot be written (a full disk included).
pub fn write_sessions(table: &Interactions, gaps: &IdleGaps, path: &Path) -> Result<()> {
    write(table, Some(gaps), path)
}

/// Writes sessions of `gaps` that another engine built to `path`, atomically; returns the number of
/// rows. `next` returns batches whose columns are those of the session schema, in its order; types are cast
/// to the schema's. Rows must come by user and time: an engine that delivers rows twice, after a worker was
/// lost, is detected by that.
///
/// # Errors
/// [`DataError::File`] for a batch of other columns and for rows out of order, what `next` returns, and
/// [`DataError::Io`] when the file cannot be written.
pub fn write_session_batches(
    path: &Path,
    gaps: &IdleGaps,
    next: &mut dyn FnMut() -> Result<Option<RecordBatch>>,
) -> Result<u64> {
    let schema = schema(Vec::new(), Some(gaps));
    let fail = |e: ParquetError| DataError::parquet(path, e);
    atomic::write_with(path, |file| {
        let mut writer = ArrowWriter::try_new(
            file,
            schema.clone(),
            Some(properties(SESSIONS, Some(gaps)).as_ref().clone()),
        )
        .map_err(fail)?;
        let mut rows = 0;
        // Before all: "0" is the first name.
        let mut last = ("0".to_owned(), i64::MIN);
        while let Some(batch) = next()? {
            let names =
                |schema: &Schema| schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
            if names(&batch.schema()) != names(&schema) {
                let reason = format!(
                    "would get the columns {} instead of {}",
                    names(&batch.schema()).join(", "),
                    names(&schema).join(", ")
                );
                return Err(DataError::file(
                    path.display(),
                    reason,
                    "hand over the columns of the session schema, in its order",
                ));
            }
            let columns = batch
                .columns()
                .iter()
                .zip(schema.fields())
                .map(|(column, field)| arrow_cast::cast(column, field.data_type()));
            let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>().map_err(|e| fail(e.into()))?;
            let (users, times) = (columns[0].as_string::<i32>(), columns[2].as_primitive::<Int64Type>());
            for row in 0..batch.num_rows() {
                let (user, time) = (users.value(row), times.value(row));
                if compare_names(last.0.as_bytes(), user.as_bytes()).then(last.1.cmp(&time)).is_gt() {
                    let reason = format!(
                        "would get user {user} at {time} after user {} at {}: rows out of order",
                        last.0, last.1
                    );
                    return Err(DataError::file(
                        path.display(),
                        reason,
                        "nothing was written; run the command again",
                    ));
                }
                if last.0 != user {
                    user.clone_into(&mut last.0);
                }
                last.1 = time;
            }
            writer
                .write(&RecordBatch::try_new(schema.clone(), columns).map_err(|e| fail(e.into()))?)
                .map_err(fail)?;
            rows += batch.num_rows() as u64;
        }
        writer.close().map_err(fail)?;
        Ok(rows)
    })
}

fn write(table: &Interactions, gaps: Option<&IdleGaps>, path: &Path) -> Result<()> {
    let offsets = table.user_offsets();
    let marks = gaps.map(|gaps| gaps.marks(table.timestamps.all(), &offsets)).unwrap_or_default();
    let fractions = (!table.nanoseconds.is_empty()).then(|| -> (String, ArrayRef) {
        (NANOSECOND.into(), Arc::new(UInt32Array::from(table.nanoseconds.clone())))
    });
    let further: Vec<&(String, ArrayRef)> = fractions.iter().chain(&table.extra).collect();
    let extra: Vec<Field> =
        further.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true)).collect();
    let names = [Some(&table.user_ids), Some(&table.item_ids), table.event_types.as_ref().map(|e| &e.names)];
    atomic::write_with(path, |file| {
        let mut writer = RowGroups::new(file, path, extra, gaps, names)?;
        let mut start = 0;
        while start < table.len() {
            let rows = start..(start + ROW_GROUP).min(table.len());
            let extra: Vec<ArrayRef> =
                further.iter().map(|(_, column)| column.slice(rows.start, rows.len())).collect();
            writer.write(&Rows {
                users: &table.users[rows.clone()],
                items: &table.items[rows.clone()],
                timestamps: table.timestamps.slice(rows.clone()),
                values: table.values.slice(rows.clone()),
                codes: table.event_types.as_ref().map_or(&[], |events| &events.codes[rows.clone()]),
                extra: &extra,
                marks: marks.get(rows.clone()).unwrap_or_default(),
            })?;
            start = rows.end;
        }
        writer.close()
    })
}

/// Rows of one row group, column by column; ids are indices into the names.
pub(crate) struct Rows<'a> {
    pub users: &'a [u32],
    pub items: &'a [u32],
    pub timestamps: TimeSlice<'a>,
    pub values: ValueSlice<'a>,
    /// Empty where the log has no event types.
    pub codes: &'a [u32],
    /// Further columns of the log.
    pub extra: &'a [ArrayRef],
    /// Of a sessions file: levels at which a session begins.
    pub marks: &'a [u8],
}

/// Writes interactions or sessions a row group at a time.
pub(crate) struct RowGroups<'a, W: std::io::Write + Send> {
    writer: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    names: [Names<'a>; 3],
    path: &'a Path,
    groups: usize,
    /// Of a sessions file: the last row's user, and the number of their session at each level.
    last: (Option<u32>, Vec<i32>),
}

impl<'a, W: std::io::Write + Send> RowGroups<'a, W> {
    /// Into `file`, whose name is `path`; names are those of users, items and event types.
    pub fn new(
        file: W,
        path: &'a Path,
        extra: Vec<Field>,
        gaps: Option<&IdleGaps>,
        of: [Option<&'a Vocabulary>; 3],
    ) -> Result<Self> {
        let schema = schema(extra, gaps);
        if let Some((_, field)) = schema
            .fields()
            .iter()
            .enumerate()
            .find(|(at, f)| schema.fields()[..*at].iter().any(|other| other.name() == f.name()))
        {
            let reason = format!("would hold two columns named {}", field.name());
            return Err(DataError::file(
                path.display(),
                reason,
                "rename that column of the input, or leave it out",
            ));
        }
        let fail = |e: ParquetError| DataError::parquet(path, e);
        let properties = properties(if gaps.is_some() { SESSIONS } else { INTERACTIONS }, gaps);
        // The file's own types are the plain ones, whatever arrays we hand over.
        let plain = ArrowSchemaConverter::new().convert(&schema).map_err(fail)?;
        let writer = SerializedFileWriter::new(file, plain.root_schema_ptr(), properties).map_err(fail)?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, encoded(&schema));
        let names = of.map(|vocabulary| Names::new(vocabulary, MOST_BYTES));
        let last = (None, vec![0; gaps.map_or(0, IdleGaps::levels)]);
        Ok(Self { writer, factory, schema, names, path, groups: 0, last })
    }

    /// Appends a row group.
    pub fn write(&mut self, rows: &Rows) -> Result<()> {
        let numbers = self.numbers(rows);
        let (schema, names, path) = (&self.schema, &self.names, self.path);
        let fail = |e: ParquetError| DataError::parquet(path, e);
        // One closure a column keeps only the column being encoded in Arrow form.
        let column = |column: usize| -> Result<ArrayRef, ParquetError> {
            Ok(match column {
                0 => names[0].of(rows.users)?,
                1 => names[1].of(rows.items)?,
                2 => Arc::new(Int64Array::from_iter_values(rows.timestamps)),
                3 if rows.codes.is_empty() => Arc::new(StringArray::new_null(rows.users.len())),
                3 => names[2].of(rows.codes)?,
                4 => floats(rows.values),
                _ if column - 5 < rows.extra.len() => rows.extra[column - 5].clone(),
                _ => {
                    let at = column - 5 - rows.extra.len();
                    if at.is_multiple_of(2) {
                        Arc::new(Int32Array::from_iter_values(numbers[at / 2].iter().copied()))
                    } else {
                        Arc::new(BooleanArray::new(
                            rows.marks
                                .iter()
                                .map(|mark| usize::from(*mark) > at / 2)
                                .collect::<BooleanBuffer>(),
                            None,
                        ))
                    }
                }
            })
        };
        let writers = self.factory.create_column_writers(self.groups).map_err(fail)?;
        let chunks: Vec<ArrowColumnChunk> = writers
            .into_par_iter()
            .enumerate()
            .with_max_len(1)
            .map(|(at, mut writer)| {
                let array = column(at)?;
                for leaf in compute_leaves(schema.field(at), &array)? {
                    writer.write(&leaf)?;
                }
                writer.close()
            })
            .collect::<Result<_, ParquetError>>()
            .map_err(fail)?;
        let mut group = self.writer.next_row_group().map_err(fail)?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group).map_err(fail)?;
        }
        group.close().map_err(fail)?;
        self.groups += 1;
        Ok(())
    }

    /// The rows' session numbers, one column per level, 0-based within each user.
    fn numbers(&mut self, rows: &Rows) -> Vec<Vec<i32>> {
        let (last_user, last) = &mut self.last;
        let first = *last_user;
        let of_level = |(level, last): (usize, &mut i32)| {
            let mut user = first;
            let number = |(own, mark): (&u32, &u8)| {
                *last = if user == Some(*own) { *last + i32::from(usize::from(*mark) > level) } else { 0 };
                user = Some(*own);
                *last
            };
            rows.users.iter().zip(rows.marks).map(number).collect()
        };
        let numbers = last.par_iter_mut().enumerate().map(of_level).collect();
        *last_user = rows.users.last().copied().or(first);
        numbers
    }

    /// Ends the file.
    pub fn close(self) -> Result<()> {
        self.writer.close().map(drop).map_err(|e| DataError::parquet(self.path, e))
    }
}

/// The columns of the interactions schema.
fn interactions_fields() -> Vec<Field> {
    vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("item_id", DataType::Utf8, false),
        Field::new("timestamp", DataType::Int64, false),
        Field::new("event_type", DataType::Utf8, true),
        Field::new("event_value", DataType::Float32, true),
    ]
}

/// Whether a column is one that the session schema derives: `session_<level>` or `new_session_<level>`.
pub(crate) fn is_session_column(name: &str) -> bool {
    let name = name.strip_prefix("new_").unwrap_or(name);
    name.strip_prefix("session_")
        .is_some_and(|level| !level.is_empty() && level.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a column of ours has this name in a file of interactions or sessions.
pub(crate) fn has_column(name: &str) -> bool {
    name == NANOSECOND || is_session_column(name) || interactions_fields().iter().any(|f| f.name() == name)
}

/// The interactions schema without columns of a log's own.
pub(crate) fn interactions_schema() -> Schema {
    Schema::new(interactions_fields())
}

fn schema(extra: Vec<Field>, gaps: Option<&IdleGaps>) -> SchemaRef {
    let mut fields = interactions_fields();
    fields.extend(extra);
    for level in 0..gaps.map_or(0, IdleGaps::levels) {
        fields.push(Field::new(format!("session_{level}"), DataType::Int32, false));
        fields.push(Field::new(format!("new_session_{level}"), DataType::Boolean, false));
    }
    Arc::new(Schema::new(fields))
}

/// The schema as the column writers see it: ids come dictionary encoded.
fn encoded(schema: &Schema) -> SchemaRef {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "user_id" | "item_id" => Field::new(field.name(), dictionary.clone(), false),
            _ => field.as_ref().clone(),
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn properties(schema: &str, gaps: Option<&IdleGaps>) -> WriterPropertiesPtr {
    let mut metadata = vec![KeyValue::new(SCHEMA_KEY.into(), Some(schema.to_owned()))];
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("foretaste ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP));
    // Sorted numbers shrink as differences; a dictionary of them would only cost time.
    let mut delta = vec!["timestamp".to_owned()];
    if let Some(gaps) = gaps {
        metadata.push(KeyValue::new(
            GAPS_KEY.into(),
            Some(gaps.seconds().iter().map(i64::to_string).collect::<Vec<_>>().join(",")),
        ));
        delta.extend((0..gaps.levels()).map(|level| format!("session_{level}")));
    }
    for name in delta {
        let column = ColumnPath::from(name);
        builder = builder
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    Arc::new(builder.set_key_value_metadata(Some(metadata)).build())
}

fn floats(values: ValueSlice) -> ArrayRef {
    let nulls =
        values.iter().any(|v| v.is_nan()).then(|| values.iter().map(|v| !v.is_nan()).collect::<NullBuffer>());
    Arc::new(Float32Array::new(values.iter().copied().collect::<ScalarBuffer<f32>>(), nulls))
}

/// Rejects a file whose schema is ours but of a version this build does not know.
pub(crate) fn check_version(path: &Path, metadata: &ParquetMetaData) -> Result<()> {
    match metadata_value(metadata, SCHEMA_KEY) {
        Some(version) if version != INTERACTIONS && version != SESSIONS => Err(DataError::file(
            path.display(),
            format!("has the schema {version}; this build reads {INTERACTIONS} and {SESSIONS}"),
            "update foretaste, or build the file again",
        )),
        _ => Ok(()),
    }
}

/// Whether a file's schema is ours.
pub(crate) fn is_ours(metadata: &ParquetMetaData) -> bool {
    metadata_value(metadata, SCHEMA_KEY).is_some()
}

/// The idle gaps a sessions file was built with; `None` for another file.
///
/// # Errors
/// [`DataError::Io`] or [`DataError::Parquet`] when the file cannot be read.
pub fn idle_gaps(path: &Path) -> Result<Option<IdleGaps>> {
    let file = std::fs::File::open(path).map_err(|e| DataError::io(path, "open", e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| DataError::parquet(path, e))?;
    metadata_value(builder.metadata(), GAPS_KEY).map(str::parse).transpose()
}

fn metadata_value<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    metadata.file_metadata().key_value_metadata()?.iter().find(|kv| kv.key == key)?.value.as_deref()
}
#[cfg(test)]
mod tests;
