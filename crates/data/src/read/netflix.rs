//! The Netflix Prize's own format: a line `movie:`, then lines `user,rating,date`.

use super::blocks::{Block, Chunk, lines};
use super::fields;
use crate::{BadRow, RowCase};

const EXPECTED: &str = "a line `movie:` or a line `user,rating,YYYY-MM-DD`";

/// Limits a line has to keep.
pub(super) struct Rules {
    pub scale: Option<(f32, f32)>,
    pub limit: i64,
}

/// Whether a folder's or archive's member holds training ratings.
pub(super) fn is_member(name: &str) -> bool {
    name.ends_with(".txt") && (name.starts_with("mv_") || name.starts_with("combined_data_"))
}

/// Parses a block. Rows before the block's first movie line get the empty item name; the joining
/// side knows which movie they belong to.
pub(super) fn parse(block: &Block, rules: &Rules) -> Chunk {
    let mut chunk = Chunk::default();
    let columns = &mut chunk.columns;
    let mut movie = columns.item_names.intern(b"");
    let (mut bad, mut row_lines) = (Vec::new(), Vec::new());
    chunk.lines = lines(&block.text, |number, line| {
        let outcome = match line.strip_suffix(b":") {
            Some(id) if !id.contains(&b',') => {
                if id.iter().all(u8::is_ascii_digit) && !id.is_empty() {
                    movie = columns.item_names.intern(id);
                    return;
                }
                Err((RowCase::BadId, EXPECTED.to_owned()))
            }
            _ => rating(line, rules),
        };
        match outcome {
            Ok((user, value, time)) => {
                columns.users.push(columns.user_names.intern(user));
                columns.items.push(movie);
                columns.values.push(value);
                columns.timestamps.push(time);
                if movie == 0 && row_lines.is_empty() {
                    row_lines.push((number, BadRow::show(line)));
                }
            }
            Err((case, expected)) => bad.push(BadRow { file: block.file.to_string(), line: number, case, text: BadRow::show(line), expected }),
        }
    });
    if let (true, Some((line, text))) = (block.first, row_lines.pop()) {
        // Ratings without a movie at the start of a file belong to nobody.
        let orphans = columns.items.iter().take_while(|i| **i == 0).count();
        for column in [&mut columns.users, &mut columns.items] {
            column.drain(..orphans);
        }
        columns.values.drain(..orphans);
        columns.timestamps.drain(..orphans);
        bad.push(BadRow { file: block.file.to_string(), line, case: RowCase::NoMovie, text, expected: "a line `movie:` before any rating".into() });
        bad.sort_by_key(|row| row.line);
    }
    chunk.bad = bad;
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
    let Some(time) = crate::time::parse_date(fields::trim(date)) else { return fail(RowCase::BadTime) };
    super::delimited::in_time(time, rules.limit)?;
    Ok((user, value, time))
}

/// The movie whose ratings the next block goes on with.
#[derive(Default)]
pub(super) struct CurrentMovie(Vec<u8>);

impl CurrentMovie {
    /// Gives the rows before a block's first movie line to the movie of the block before.
    pub fn settle(&mut self, block: &Block, mut chunk: Chunk) -> Chunk {
        if block.first {
            self.0.clear();
        }
        let names: Vec<Vec<u8>> = chunk.columns.item_names.names().map(<[u8]>::to_vec).collect();
        let continued = chunk.columns.items.first() == Some(&0);
        let mut renamed = crate::vocabulary::VocabularyBuilder::default();
        let map: Vec<u32> =
            names.iter().enumerate().filter(|(i, _)| *i > 0 || continued).map(|(i, name)| (i, renamed.intern(if i == 0 { &self.0 } else { name }))).fold(
                vec![0; names.len()],
                |mut map, (i, new)| {
                    map[i] = new;
                    map
                },
            );
        for item in &mut chunk.columns.items {
            *item = map[*item as usize];
        }
        if let (true, Some(last)) = (names.len() > 1, names.last()) {
            self.0.clone_from(last);
        }
        chunk.columns.item_names = renamed;
        chunk
    }
}
