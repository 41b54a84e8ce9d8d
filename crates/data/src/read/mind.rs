//! MIND's impressions (`behaviors.tsv`, without a header): number, user, time, history, and the news shown,
//! as `N1-1 N2-0`: 1 clicked, 0 not.

use super::blocks::{Block, Chunk, lines};
use super::delimited::{in_time, moment};
use super::fields::{missing, trim};
use crate::time::DateOrder;
use crate::vocabulary::VocabularyBuilder;
use crate::{BadRow, RowCase};

const EXPECTED: &str = "number<TAB>user<TAB>11/15/2019 8:55:22 AM<TAB>history<TAB>N1-1 N2-0";

/// What the reader says of a file.
pub(super) const REMARK: &str = "impressions of MIND: a row for each item shown, 1 clicked, 0 not; their \
    histories, which are clicks without times, are left out";

/// Parses a block: a row for each item shown.
pub(super) fn parse(block: &Block, limit: i64) -> Chunk {
    let mut chunk = Chunk::default();
    let columns = &mut chunk.columns;
    (columns.user_names, columns.item_names) = (VocabularyBuilder::of_part(), VocabularyBuilder::of_part());
    let bad = &mut chunk.bad;
    chunk.lines = lines(&block.text, |number, line| match impressions(line, limit) {
        Ok((user, time, shown)) => {
            let user = columns.user_names.intern(user);
            for (item, clicked) in shown {
                columns.users.push(user);
                columns.items.push(columns.item_names.intern(item));
                columns.timestamps.push(time);
                columns.values.push(f32::from(clicked));
            }
        }
        Err(refusal) => bad.push(BadRow::new(&block.file, number, refusal, line)),
    });
    chunk
}

/// A line's user, time, and items shown.
type Impressions<'a> = (&'a [u8], i64, Vec<(&'a [u8], bool)>);

fn impressions(line: &[u8], limit: i64) -> Result<Impressions<'_>, (RowCase, String)> {
    let fail = |case| Err((case, EXPECTED.to_owned()));
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b'\t').map(trim).collect();
    let [_, user, time, _, shown] = fields[..] else {
        return fail(if fields.len() < 5 { RowCase::MissingField } else { RowCase::ExtraField });
    };
    if missing(user) {
        return fail(RowCase::EmptyId);
    }
    let (time, _) = moment(time, 1, Some(DateOrder::Mdy))?;
    in_time(time, limit)?;
    let mut items = Vec::new();
    for item in shown.split(u8::is_ascii_whitespace).filter(|item| !item.is_empty()) {
        match item {
            [id @ .., b'-', clicked @ (b'0' | b'1')] if !id.is_empty() => items.push((id, *clicked == b'1')),
            _ => return Err((RowCase::BadValue, "items with -1 or -0 behind them, clicked or not".into())),
        }
    }
    Ok((user, time, items))
}
