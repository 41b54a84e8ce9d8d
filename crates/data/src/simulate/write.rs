//! A world as files: in the owners' formats, or as interactions Parquet; and its ratings' expectations beside
//! them.

use super::people::Event;
use super::statistics::Statistics;
use super::world::World;
use crate::{DataError, Interactions, Result, format_date, store};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt32Type};
use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use hashbrown::HashMap;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// File of the expectations within a simulated folder.
pub const TRUTH: &str = "truth.parquet";

/// Users that are simulated at once.
const BLOCK: usize = 1024;
/// Bytes of ratings buffered for their movies' files.
const WAITING: usize = 256 << 20;
/// Rows of a row group.
const ROWS: usize = 1 << 20;

/// The format of the written files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `training_set/mv_*.txt` and `movie_titles.txt`, as the Netflix Prize.
    Netflix,
    /// `ratings.csv` and `movies.csv`, as `MovieLens` since 10M.
    MovieLens,
    /// `interactions.parquet`, this project's own.
    Parquet,
}

/// Writes `world` into the new folder `out`, atomically, and its ratings' expectations as [`TRUTH`]
/// beside them. `go_on` is given the number of users done and returns whether to continue. Memory holds the
/// world, some thousand users' events and a few hundred megabytes of what waits to be written.
///
/// # Errors
/// [`DataError::File`] where `out` already exists; [`DataError::Setting`] when `go_on` returns `false`;
/// [`DataError::Io`] when it cannot be written (a full disk included).
pub fn write(
    world: &World,
    layout: Layout,
    out: &Path,
    mut go_on: impl FnMut(usize) -> bool,
) -> Result<Statistics> {
    if out.exists() {
        return Err(DataError::file(out.display(), "is there already", "name a new folder"));
    }
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = out.file_name().map_or_else(|| "simulated".into(), |name| name.to_string_lossy().into_owned());
    let unfinished = parent.join(format!(".simulating-{name}"));
    // Leftovers of a killed run.
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(|e| DataError::io(&unfinished, "remove", e))?;
    }
    std::fs::create_dir_all(&unfinished).map_err(|e| DataError::io(&unfinished, "create", e))?;
    let written = fill(world, layout, &unfinished, &mut go_on);
    let outcome = written.and_then(|statistics| {
        std::fs::rename(&unfinished, out)
            .map(|()| statistics)
            .map_err(|e| DataError::io(out, "rename into place", e))
    });
    if outcome.is_err() {
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    outcome
}

fn fill(
    world: &World,
    layout: Layout,
    folder: &Path,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Statistics> {
    let published = &world.shape.published;
    let mut statistics = Statistics::new(world.shape.items, published);
    let mut sink: Box<dyn Sink> = match layout {
        Layout::Netflix => Box::new(Films::new(world, folder)?),
        Layout::MovieLens => Box::new(Csv::new(world, folder)?),
        Layout::Parquet => Box::new(Columns::interactions(folder)?),
    };
    let mut truth = Columns::truth(folder)?;
    let mut user = 0;
    while user < world.shape.users {
        if !go_on(user) {
            return Err(DataError::Stopped);
        }
        let block = user..(user + BLOCK).min(world.shape.users);
        for events in world.events(block) {
            statistics.add(&events, published);
            sink.add(world, user, &events)?;
            truth.add(world, user, &events)?;
            user += 1;
        }
    }
    sink.finish(world)?;
    truth.finish()?;
    Ok(statistics)
}

/// Takes users in order.
trait Sink {
    fn add(&mut self, world: &World, user: usize, events: &[Event]) -> Result<()>;
    fn finish(self: Box<Self>, world: &World) -> Result<()>;
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(1 << 18, File::create(path).map_err(|e| DataError::io(path, "create", e))?))
}

/// The year of an item's release.
fn year(world: &World, item: usize) -> String {
    format_date(world.things.day_of_release(item) * 86_400)[..4].to_owned()
}

/// One file per movie, appended to as ratings come.
struct Films {
    folder: PathBuf,
    waiting: Vec<Vec<u8>>,
    bytes: usize,
}

impl Films {
    fn new(world: &World, folder: &Path) -> Result<Self> {
        let titles = folder.join("movie_titles.txt");
        let mut file = create(&titles)?;
        for item in 0..world.shape.items {
            writeln!(file, "{},{},Film {}", world.item_id(item), year(world, item), item + 1)
                .map_err(|e| DataError::io(&titles, "write", e))?;
        }
        file.flush().map_err(|e| DataError::io(&titles, "write", e))?;
        let folder = folder.join("training_set");
        std::fs::create_dir_all(&folder).map_err(|e| DataError::io(&folder, "create", e))?;
        let waiting =
            (0..world.shape.items).map(|item| format!("{}:\n", world.item_id(item)).into_bytes()).collect();
        Ok(Self { folder, waiting, bytes: 0 })
    }

    fn flush(&mut self, world: &World) -> Result<()> {
        for (item, waiting) in self.waiting.iter_mut().enumerate().filter(|(_, waiting)| !waiting.is_empty())
        {
            let path = self.folder.join(format!("mv_{:07}.txt", world.item_id(item)));
            let append =
                || std::fs::OpenOptions::new().create(true).append(true).open(&path)?.write_all(waiting);
            append().map_err(|e| DataError::io(&path, "write", e))?;
            waiting.clear();
        }
        self.bytes = 0;
        Ok(())
    }
}

impl Sink for Films {
    fn add(&mut self, world: &World, user: usize, events: &[Event]) -> Result<()> {
        let id = world.user_id(user);
        let mut line = String::new();
        let mut date = (i64::MIN, String::new());
        for event in events {
            if event.timestamp != date.0 {
                date = (event.timestamp, format_date(event.timestamp)[..10].to_owned());
            }
            line.clear();
            let _ = writeln!(line, "{id},{},{}", event.value as u8, date.1);
            self.waiting[event.item as usize].extend_from_slice(line.as_bytes());
            self.bytes += line.len();
        }
        if self.bytes > WAITING { self.flush(world) } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>, world: &World) -> Result<()> {
        self.flush(world)
    }
}

/// One file, user after user.
struct Csv {
    path: PathBuf,
    file: BufWriter<File>,
}

/// `MovieLens`'s genres.
const GENRES: [&str; super::things::GENRES] = [
    "Drama",
    "Comedy",
    "Thriller",
    "Romance",
    "Action",
    "Crime",
    "Adventure",
    "Sci-Fi",
    "Mystery",
    "Fantasy",
    "Horror",
    "Children",
    "War",
    "Animation",
    "Musical",
    "Western",
    "Documentary",
    "Film-Noir",
];

impl Csv {
    fn new(world: &World, folder: &Path) -> Result<Self> {
        let path = folder.join("movies.csv");
        let mut file = create(&path)?;
        let mut text = String::from("movieId,title,genres\n");
        for item in 0..world.shape.items {
            let _ = writeln!(
                text,
                "{},Film {} ({}),{}",
                world.item_id(item),
                item + 1,
                year(world, item),
                GENRES[world.things.genres[item] as usize]
            );
        }
        file.write_all(text.as_bytes())
            .and_then(|()| file.flush())
            .map_err(|e| DataError::io(&path, "write", e))?;
        let path = folder.join("ratings.csv");
        let mut file = create(&path)?;
        writeln!(file, "userId,movieId,rating,timestamp").map_err(|e| DataError::io(&path, "write", e))?;
        Ok(Self { path, file })
    }
}

impl Sink for Csv {
    fn add(&mut self, world: &World, user: usize, events: &[Event]) -> Result<()> {
        let id = world.user_id(user);
        for event in events {
            let line = writeln!(
                self.file,
                "{id},{},{:.1},{}",
                world.item_id(event.item as usize),
                event.value,
                event.timestamp
            );
            line.map_err(|e| DataError::io(&self.path, "write", e))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &World) -> Result<()> {
        self.file.flush().map_err(|e| DataError::io(&self.path, "write", e))
    }
}

/// Columns of a Parquet file that fill up to a row group.
struct Columns {
    path: PathBuf,
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    truth: bool,
    users: Vec<u32>,
    items: Vec<u32>,
    events: Vec<Event>,
}

impl Columns {
    fn new(path: PathBuf, schema: Schema, truth: bool, metadata: Vec<KeyValue>) -> Result<Self> {
        let schema = Arc::new(schema);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(metadata))
            .build();
        let file = File::create(&path).map_err(|e| DataError::io(&path, "create", e))?;
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))
            .map_err(|e| DataError::parquet(&path, e))?;
        Ok(Self { path, writer, schema, truth, users: Vec::new(), items: Vec::new(), events: Vec::new() })
    }

    fn truth(folder: &Path) -> Result<Self> {
        let field = |name: &str, kind| Field::new(name, kind, false);
        let schema = Schema::new(vec![
            field("user_id", DataType::UInt32),
            field("item_id", DataType::UInt32),
            field("expected", DataType::Float32),
        ]);
        Self::new(folder.join(TRUTH), schema, true, Vec::new())
    }

    fn interactions(folder: &Path) -> Result<Self> {
        let metadata = vec![KeyValue::new(store::SCHEMA_KEY.into(), Some(store::INTERACTIONS.to_owned()))];
        Self::new(folder.join("interactions.parquet"), store::interactions_schema(), false, metadata)
    }

    fn add(&mut self, world: &World, user: usize, events: &[Event]) -> Result<()> {
        self.users.extend(events.iter().map(|_| world.user_id(user)));
        self.items.extend(events.iter().map(|event| world.item_id(event.item as usize)));
        self.events.extend_from_slice(events);
        if self.events.len() >= ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let (users, items) = (std::mem::take(&mut self.users), std::mem::take(&mut self.items));
        let events = std::mem::take(&mut self.events);
        let columns: Vec<ArrayRef> = if self.truth {
            let expected = Float32Array::from_iter_values(events.iter().map(|e| e.expected));
            vec![Arc::new(UInt32Array::from(users)), Arc::new(UInt32Array::from(items)), Arc::new(expected)]
        } else {
            let names =
                |ids: Vec<u32>| Arc::new(StringArray::from_iter_values(ids.iter().map(u32::to_string)));
            vec![
                names(users),
                names(items),
                Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.timestamp))),
                Arc::new(StringArray::new_null(events.len())),
                Arc::new(Float32Array::from_iter_values(events.iter().map(|e| e.value))),
            ]
        };
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|e| DataError::parquet(&self.path, e.into()))?;
        self.writer
            .write(&batch)
            .and_then(|()| self.writer.flush())
            .map_err(|e| DataError::parquet(&self.path, e))
    }

    fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.writer.close().map(drop).map_err(|e| DataError::parquet(&self.path, e))
    }
}

impl Sink for Columns {
    fn add(&mut self, world: &World, user: usize, events: &[Event]) -> Result<()> {
        Self::add(self, world, user, events)
    }

    fn finish(self: Box<Self>, _: &World) -> Result<()> {
        Self::finish(*self)
    }
}

/// The expectations of a table's rows, in their order, from the file [`TRUTH`] of the folder that it was read
/// from; NaN for a row that the file does not have.
///
/// # Errors
/// [`DataError::Io`] and [`DataError::Parquet`] when the file cannot be read; [`DataError::File`] when it is
/// not one of ours.
pub fn truth(path: &Path, table: &Interactions) -> Result<Vec<f32>> {
    let fail = |e| DataError::parquet(path, e);
    let file = File::open(path).map_err(|e| DataError::io(path, "open", e))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(fail)?
        .with_batch_size(1 << 16)
        .build()
        .map_err(fail)?;
    let offsets = table.user_offsets();
    let mut expected = vec![f32::NAN; table.len()];
    let mut current = (u32::MAX, HashMap::new());
    let mut settle = |(user, found): &mut (u32, HashMap<u32, f32>)| {
        if let Some(user) = table.user_ids.index(&user.to_string()) {
            for row in offsets[user as usize]..offsets[user as usize + 1] {
                if let Some(value) = found.get(&table.items[row]) {
                    expected[row] = *value;
                }
            }
        }
        found.clear();
    };
    for batch in reader {
        let batch = batch.map_err(|e| fail(e.into()))?;
        let ours = batch.num_columns() == 3
            && [DataType::UInt32, DataType::UInt32, DataType::Float32].iter().eq(batch
                .schema()
                .fields()
                .iter()
                .map(|f| f.data_type()));
        if !ours {
            return Err(DataError::file(
                path.display(),
                "holds no expectations",
                "leave the file that `simulate` wrote, or take it away",
            ));
        }
        let (users, items, values) = (
            batch.column(0).as_primitive::<UInt32Type>(),
            batch.column(1).as_primitive::<UInt32Type>(),
            batch.column(2).as_primitive::<Float32Type>(),
        );
        for ((user, item), value) in users.values().iter().zip(items.values()).zip(values.values()) {
            if *user != current.0 {
                settle(&mut current);
                current.0 = *user;
            }
            if let Some(item) = table.item_ids.index(&item.to_string()) {
                current.1.insert(item, *value);
            }
        }
    }
    settle(&mut current);
    Ok(expected)
}
