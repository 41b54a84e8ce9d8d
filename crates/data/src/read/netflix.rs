//! The Netflix Prize's own format: a line `movie:`, then lines `user,rating,date`.

use super::blocks::{Block, Chunk, lines};
use super::fields;
use crate::vocabulary::VocabularyBuilder;
use crate::{BadRow, DataError, RowCase};

const EXPECTED: &str = "a line `movie:` or a line `user,rating,YYYY-MM-DD`";

/// Rules that a line must satisfy.
pub(super) struct Rules {
    pub scale: Option<(f32, f32)>,
    pub limit: i64,
}

/// Whether a folder's or archive's member holds training ratings.
pub(super) fn is_member(name: &str) -> bool {
    name.ends_with(".txt") && (name.starts_with("mv_") || name.starts_with("combined_data_"))
}

/// Parses a block. Rows before the block's first movie line get the empty item name; the joining
/// side knows which movie they belong to. At the start of a file they belong to none and are bad.
pub(super) fn parse(block: &Block, rules: &Rules) -> Chunk {
    let mut chunk = Chunk::default();
    let columns = &mut chunk.columns;
    // All ratings of a movie have different users.
    columns.user_names = VocabularyBuilder::of_part();
    let unknown = columns.item_names.intern(b"");
    let mut movie = unknown;
    let (mut last_movie, mut fatal) = (None, None);
    let bad = &mut chunk.bad;
    chunk.lines = lines(&block.text, |number, line| {
        let line = line.trim_ascii();
        let outcome = match line.strip_suffix(b":") {
            Some(id) if !id.contains(&b',') => {
                if id.iter().all(u8::is_ascii_digit) && !id.is_empty() {
                    movie = columns.item_names.intern(id);
                    last_movie = Some(id);
                    return;
                }
                // Which movie's ratings follow is unknown, so this line cannot be skipped.
                let shown = BadRow::show(line);
                let reason = format!(
                    "has a movie line that names no movie\n  text: {shown}\n  expected: a whole number and a \
                     colon"
                );
                fatal = fatal.take().or_else(|| {
                    Some(DataError::file(
                        &block.file,
                        reason,
                        "fix the line; it cannot be skipped, since the ratings after it belong to it",
                    ))
                });
                return;
            }
            _ if block.first && movie == unknown => {
                Err((RowCase::NoMovie, "a line `movie:` before any rating".to_owned()))
            }
            _ => rating(line, rules),
        };
        match outcome {
            Ok((user, value, time)) => {
                columns.users.push(columns.user_names.intern(user));
                columns.items.push(movie);
                columns.values.push(value);
                columns.timestamps.push(time);
            }
            Err(refusal) => bad.push(BadRow::new(&block.file, number, refusal, line)),
        }
    });
    chunk.last_movie = last_movie.map(<[u8]>::to_vec);
    chunk.fatal = fatal;
    chunk
}

fn rating<'a>(line: &'a [u8], rules: &Rules) -> Result<(&'a [u8], f32, i64), (RowCase, String)> {
    let fail = |case| Err((case, EXPECTED.to_owned()));
    if line.contains(&0) {
        return fail(RowCase::NulByte);
    }
    let mut parts = line.split(|b| *b == b',');
    let (Some(user), Some(value), Some(date)) = (parts.next(), parts.next(), parts.next()) else {
        return fail(RowCase::MissingField);
    };
    if user.is_empty() {
        return fail(RowCase::EmptyId);
    }
    if !user.iter().all(u8::is_ascii_digit) {
        return fail(RowCase::BadId);
    }
    let Some(value) = fields::value(value) else { return fail(RowCase::BadValue) };
    super::delimited::on_scale(value, rules.scale)?;
    let Ok((time, _)) = crate::time::parse_date(fields::trim(date), None) else {
        return fail(RowCase::BadTime);
    };
    super::delimited::in_time(time, rules.limit)?;
    Ok((user, value, time))
}

/// The movie whose ratings the next block continues with.
#[derive(Default)]
pub(super) struct CurrentMovie(Vec<u8>);

impl CurrentMovie {
    /// Assigns the rows before a block's first movie line to the last movie of the previous block.
    pub fn settle(&mut self, block: &Block, mut chunk: Chunk) -> Chunk {
        let continued = chunk.columns.items.first() == Some(&0);
        if block.first {
            self.0.clear();
        }
        if continued && self.0.is_empty() {
            chunk.fatal = Some(DataError::file(
                &block.file,
                "has a megabyte of ratings before its first movie line",
                "is this a Netflix Prize file?",
            ));
        }
        let mut names = VocabularyBuilder::default();
        let map: Vec<u32> = chunk
            .columns
            .item_names
            .names()
            .enumerate()
            .map(|(index, name)| match (index, continued) {
                (0, true) => names.intern(&self.0),
                // No row refers to the empty name.
                (0, false) => 0,
                _ => names.intern(name),
            })
            .collect();
        for item in &mut chunk.columns.items {
            *item = map[*item as usize];
        }
        chunk.columns.item_names = names;
        if let Some(last) = chunk.last_movie.take() {
            self.0 = last;
        }
        chunk
    }
}
