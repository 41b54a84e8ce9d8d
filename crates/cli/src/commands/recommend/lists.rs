//! Recommended lists on their way out: as text, as JSON Lines, or into a file of JSON Lines, CSV or Parquet.

use crate::{CliError, Result, output};
use arrow_array::builder::{Float32Builder, StringBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use foretaste_bench::dataset::Dataset;
use foretaste_data::atomic::Draft;
use foretaste_data::{Attributes, Vocabulary};
use foretaste_models::Recommended;
use parquet::arrow::ArrowWriter;
use serde_json::json;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of Parquet that are in memory at once.
const ROWS: usize = 1 << 18;

/// Whom or what a list is of.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// A user.
    User(u32),
    /// An item that the list's items go with.
    Item(u32),
}

/// One list.
pub(super) struct List<'a> {
    pub of: Of,
    pub items: &'a [Recommended],
    /// For each item the deviation of the rating about its score; empty for a model that does not know it.
    pub deviations: &'a [f32],
    /// For each item the items of the user's history that it goes with; empty where nobody asked.
    pub why: &'a [Vec<u32>],
}

/// Where lists go.
enum Sink {
    Terminal,
    Json,
    File(Box<Written>),
}

/// A file in writing.
struct Written {
    path: PathBuf,
    draft: Draft,
    file: BufWriter<File>,
    kind: Kind,
}

/// The format of a file.
enum Kind {
    JsonLines,
    Csv,
    Parquet(Box<Columns>),
}

/// Takes lists one after the other; a file is there whole, or not at all.
pub(super) struct Lists<'a> {
    users: &'a Vocabulary,
    items: &'a Vocabulary,
    titles: Option<HashMap<&'a str, &'a str>>,
    attributes: Option<&'a Attributes>,
    sink: Sink,
    taken: usize,
}

impl<'a> Lists<'a> {
    /// Lists about `data`, printed, or written to the file `out`.
    pub fn new(out: Option<&Path>, json: bool, data: &'a Dataset) -> Result<Self> {
        let sink = match out {
            None if json => Sink::Json,
            None => Sink::Terminal,
            Some(path) => {
                let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
                let kind = match ending.as_str() {
                    "jsonl" | "ndjson" | "json" => Kind::JsonLines,
                    "csv" => Kind::Csv,
                    "parquet" => Kind::Parquet(Box::default()),
                    _ => {
                        return Err(CliError::Usage(format!(
                            "--out {}: name a file that ends in .jsonl, .csv or .parquet",
                            path.display()
                        )));
                    }
                };
                let mut draft = Draft::new(path)?;
                let file = draft.file().try_clone().map_err(CliError::io(path, "write"))?;
                let file = BufWriter::new(file);
                Sink::File(Box::new(Written { path: path.to_owned(), draft, file, kind }))
            }
        };
        let mut lists = Self {
            users: &data.table.user_ids,
            items: &data.table.item_ids,
            titles: data.tables.titles(),
            attributes: data.item_attributes.as_ref(),
            sink,
            taken: 0,
        };
        if matches!(&lists.sink, Sink::File(written) if matches!(written.kind, Kind::Csv)) {
            lists.line("of,rank,item,score,deviation")?;
        }
        Ok(lists)
    }

    /// Says beside printed lists what scores mean.
    pub fn explain(&self, text: &str) {
        if matches!(self.sink, Sink::Terminal) {
            output::note(text);
        }
    }

    fn line(&mut self, text: &str) -> Result<()> {
        if let Sink::File(written) = &mut self.sink {
            let told = writeln!(written.file, "{text}");
            return told.map_err(CliError::io(&written.path, "write"));
        }
        output::print(text);
        Ok(())
    }

    /// Takes the next list.
    pub fn take(&mut self, list: &List) -> Result<()> {
        self.taken += 1;
        let (what, of) = match list.of {
            Of::User(user) => ("user", self.users.name(user)),
            Of::Item(item) => ("item", self.items.name(item)),
        };
        let ids = self.items;
        let written = match &mut self.sink {
            Sink::Terminal => {
                let text = self.told(what, of, list);
                output::print(&text);
                return Ok(());
            }
            Sink::Json => None,
            Sink::File(written) => Some(written),
        };
        match written.map(|written| (&written.path, written.file.get_ref(), &mut written.kind)) {
            None | Some((.., Kind::JsonLines)) => {
                let text = self.json(what, of, list);
                self.line(&text)
            }
            Some((.., Kind::Csv)) => {
                let (of, mut text) = (quoted(of), String::new());
                for (rank, best) in list.items.iter().enumerate() {
                    let item = quoted(ids.name(best.item));
                    let deviation = list.deviations.get(rank).map(f32::to_string).unwrap_or_default();
                    text.push_str(&format!("{of},{},{item},{},{deviation}\n", rank + 1, best.score));
                }
                if text.is_empty() { Ok(()) } else { self.line(text.trim_end()) }
            }
            Some((path, file, Kind::Parquet(columns))) => {
                for (rank, best) in list.items.iter().enumerate() {
                    let deviation = list.deviations.get(rank).copied();
                    columns.push((of, rank as u32 + 1, ids.name(best.item)), best.score, deviation);
                }
                if columns.rows >= ROWS { columns.write(path, file) } else { Ok(()) }
            }
        }
    }

    fn json(&self, what: &str, of: &str, list: &List) -> String {
        let item = |(place, best): (usize, &Recommended)| {
            let id = self.items.name(best.item);
            let mut item = json!({ "item": id, "score": best.score });
            if let Some(deviation) = list.deviations.get(place) {
                item["deviation"] = json!(deviation);
            }
            if let Some(title) = self.title(best.item) {
                item["title"] = json!(title);
            }
            if let Some(why) = list.why.get(place) {
                item["why"] = why.iter().map(|item| json!(self.items.name(*item))).collect();
            }
            item
        };
        let items: Vec<serde_json::Value> = list.items.iter().enumerate().map(item).collect();
        json!({ what: of, "items": items }).to_string()
    }

    fn title(&self, item: u32) -> Option<&str> {
        self.titles.as_ref()?.get(self.items.name(item)).copied().filter(|title| !title.is_empty())
    }

    /// An item's id, with its title where the table of items has one.
    fn named(&self, item: u32) -> String {
        let id = self.items.name(item);
        self.title(item).map_or_else(|| id.to_owned(), |title| format!("{id} {title}"))
    }

    fn told(&self, what: &str, of: &str, list: &List) -> String {
        let line = |(place, best): (usize, &Recommended)| {
            let deviation = list.deviations.get(place).map(|d| format!(" ± {d:.4}")).unwrap_or_default();
            let mut line = format!("  {} ({:.4}{deviation})", self.named(best.item), best.score);
            let categories: Vec<&str> = self
                .attributes
                .map(|attributes| {
                    attributes.of(best.item).iter().map(|code| attributes.name(*code)).collect()
                })
                .unwrap_or_default();
            let values: Vec<&str> =
                categories.iter().filter_map(|name| name.split_once('=')).map(|(_, value)| value).collect();
            if !values.is_empty() && self.titles.is_some() {
                line.push_str(&format!(" {}", values.join(", ")));
            }
            if let Some(why) = list.why.get(place).filter(|why| !why.is_empty()) {
                let why: Vec<String> = why.iter().map(|item| self.named(*item)).collect();
                line.push_str(&format!("\n      goes with {}", why.join("; ")));
            }
            line
        };
        let lines: Vec<String> = list.items.iter().enumerate().map(line).collect();
        let none = if lines.is_empty() { "\n  nothing" } else { "" };
        let word = if what == "user" { "for" } else { "like" };
        format!("{word} {what} {of}:{none}\n{}", lines.join("\n")).trim_end().to_owned()
    }

    /// Puts a file in its place.
    pub fn finish(self) -> Result<()> {
        let Sink::File(written) = self.sink else { return Ok(()) };
        let Written { path, draft, mut file, kind } = *written;
        if let Kind::Parquet(mut columns) = kind {
            columns.write(&path, file.get_ref())?;
            if let Some(writer) = columns.writer {
                writer.close().map_err(|e| failed(&path, &e))?;
            }
        }
        file.flush().map_err(CliError::io(&path, "write"))?;
        draft.keep()?;
        output::print(&format!("{}: {} lists", path.display(), self.taken));
        Ok(())
    }
}

/// A field of CSV, quoted where it must be.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn failed(path: &Path, error: &impl std::fmt::Display) -> CliError {
    CliError::io(path, "write")(std::io::Error::other(error.to_string()))
}

/// Rows of a Parquet file.
#[derive(Default)]
struct Columns {
    of: StringBuilder,
    rank: UInt32Builder,
    item: StringBuilder,
    score: Float32Builder,
    deviation: Float32Builder,
    rows: usize,
    writer: Option<ArrowWriter<BufWriter<File>>>,
}

impl Columns {
    fn push(&mut self, (of, rank, item): (&str, u32, &str), score: f32, deviation: Option<f32>) {
        self.of.append_value(of);
        self.rank.append_value(rank);
        self.item.append_value(item);
        self.score.append_value(score);
        self.deviation.append_option(deviation);
        self.rows += 1;
    }

    fn write(&mut self, path: &Path, file: &File) -> Result<()> {
        let columns: [(&str, ArrayRef, bool); 5] = [
            ("of", Arc::new(self.of.finish()), false),
            ("rank", Arc::new(self.rank.finish()), false),
            ("item", Arc::new(self.item.finish()), false),
            ("score", Arc::new(self.score.finish()), false),
            ("deviation", Arc::new(self.deviation.finish()), true),
        ];
        self.rows = 0;
        let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(|e| failed(path, &e))?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let file = BufWriter::new(file.try_clone().map_err(CliError::io(path, "write"))?);
                none.insert(ArrowWriter::try_new(file, batch.schema(), None).map_err(|e| failed(path, &e))?)
            }
        };
        writer.write(&batch).map_err(|e| failed(path, &e))
    }
}
