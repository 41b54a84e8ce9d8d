//! The interaction log as columns, sorted by user, then time, then order of arrival.

use crate::columns::gather;
use crate::order::{Columns, offsets};
use crate::vocabulary::VocabularyBuilder;
use crate::{DataError, Histories, Result, Timestamps, Values, Vocabulary};
use arrow_array::{ArrayRef, UInt32Array};
use rayon::prelude::*;
use std::path::PathBuf;

/// A nullable categorical column: codes into names, [`EventTypes::NULL`] where there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct EventTypes {
    /// One code per row.
    pub codes: Vec<u32>,
    /// The names behind the codes.
    pub names: Vocabulary,
}

impl EventTypes {
    /// The code of a row without an event type.
    pub const NULL: u32 = u32::MAX;
}

/// An interaction log (who did what with which item, and when): the columns of the interaction schema.
///
/// Rows are sorted by user, then time, then order of arrival; each (user, item, event type, time) occurs
/// once. `values` is NaN where the log has no event value. In a log without times all are zero
/// ([`is_timed`](Self::is_timed)).
#[derive(Debug, Clone)]
pub struct Interactions {
    /// User index per row.
    pub users: Vec<u32>,
    /// Item index per row.
    pub items: Vec<u32>,
    /// Unix seconds (UTC) per row.
    pub timestamps: Timestamps,
    /// Nanoseconds within the second per row; empty where no row has any. Rows are ordered by them and kept
    /// apart; models see seconds.
    pub nanoseconds: Vec<u32>,
    /// Rating or other event value per row; NaN for none.
    pub values: Values,
    /// Event types, where the log has any.
    pub event_types: Option<EventTypes>,
    /// Further columns of the log, by name, in row order.
    pub extra: Vec<(String, ArrayRef)>,
    /// External user ids.
    pub user_ids: Vocabulary,
    /// External item ids.
    pub item_ids: Vocabulary,
}

/// Statistics of a read log, for messages and manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LoadReport {
    /// Rows kept.
    pub rows: usize,
    /// Distinct users.
    pub users: usize,
    /// Distinct items.
    pub items: usize,
    /// Rows dropped because a later row has the same user, item, event type and time stamp.
    pub duplicates: usize,
    /// Of these, rows whose value differed from the one kept.
    pub conflicting_duplicates: usize,
    /// Lines moved into the rejects file.
    pub rejected: usize,
    /// How many of these broke which rule.
    pub rejected_by: Vec<(String, usize)>,
    /// The rejects file, when there were any.
    pub rejects: Option<PathBuf>,
    /// Files (or archive members) read.
    pub files: usize,
    /// What was guessed or looks odd: the dialect of a text, a log without times, times that are years.
    pub remarks: Vec<String>,
}

impl LoadReport {
    /// How many lines were left out, and why, in words.
    #[must_use]
    pub fn left_out(&self) -> String {
        let reasons: Vec<String> =
            self.rejected_by.iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
        let lines = if self.rejected == 1 { "line was" } else { "lines were" };
        format!("{} bad {lines} left out ({})", self.rejected, reasons.join("; "))
    }
}

/// Unsorted columns as they arrive, with indices of [`VocabularyBuilder`]s.
#[derive(Default)]
pub(crate) struct RawColumns {
    pub users: Vec<u32>,
    pub items: Vec<u32>,
    pub timestamps: Timestamps,
    /// Nanoseconds; shorter where the last rows have none.
    pub fractions: Vec<u32>,
    pub values: Values,
    pub event_codes: Vec<u32>,
    pub user_names: VocabularyBuilder,
    pub item_names: VocabularyBuilder,
    pub event_names: VocabularyBuilder,
    pub extra: Vec<(String, ArrayRef)>,
}

impl RawColumns {
    /// Columns of a whole log, whose ids come millions of times.
    pub fn of_all() -> Self {
        Self {
            user_names: VocabularyBuilder::of_numbers(),
            item_names: VocabularyBuilder::of_numbers(),
            ..Self::default()
        }
    }
}

impl Interactions {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether the log has times: one without has zero everywhere.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.timestamps.iter().any(|time| time != 0)
    }

    /// The first and the last time, in Unix seconds; `None` without rows.
    #[must_use]
    pub fn span(&self) -> Option<(i64, i64)> {
        let ends = |ends: Option<(i64, i64)>, time: i64| {
            Some(ends.map_or((time, time), |(first, last)| (first.min(time), last.max(time))))
        };
        self.timestamps.iter().fold(None, ends)
    }

    /// Checks that the log has times, which `what` needs.
    ///
    /// # Errors
    /// [`DataError::Setting`] naming `what`.
    pub fn require_times(&self, what: &str) -> Result<()> {
        if self.is_timed() { Ok(()) } else { Err(untimed(what)) }
    }

    /// Number of distinct users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.user_ids.len()
    }

    /// Number of distinct items.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.item_ids.len()
    }

    /// Row ranges of the users: user `u` owns rows `offsets[u]..offsets[u + 1]`.
    #[must_use]
    pub fn user_offsets(&self) -> Vec<usize> {
        offsets(&self.users, self.n_users())
    }

    /// All rows as histories, one per user.
    #[must_use]
    pub fn histories(&self) -> Histories {
        Histories::new(
            self.user_offsets(),
            self.items.clone(),
            self.values.clone(),
            self.timestamps.clone(),
            self.n_items(),
        )
    }

    /// The rows of the users whose name `keep` accepts; users and items without rows lose their indices.
    ///
    /// # Errors
    /// [`DataError::Setting`] when a further column cannot be cut.
    pub fn of_users(&self, keep: impl Fn(&str) -> bool) -> Result<Self> {
        let kept: Vec<bool> = self.user_ids.iter().map(keep).collect();
        let rows: Vec<u32> =
            (0..self.len() as u32).filter(|row| kept[self.users[*row as usize] as usize]).collect();
        self.of_rows(&rows)
    }

    /// These rows, in ascending order; users and items without rows lose their indices.
    ///
    /// # Errors
    /// [`DataError::Setting`] when a further column cannot be cut.
    pub fn of_rows(&self, rows: &[u32]) -> Result<Self> {
        // Names keep their order, so that new indices are ranks among what stays.
        let renumber = |column: &[u32], ids: &Vocabulary| {
            let mut there = vec![false; ids.len()];
            rows.iter().for_each(|row| there[column[*row as usize] as usize] = true);
            let rank = |next: &mut u32, there: &bool| {
                *next += u32::from(*there);
                Some(next.saturating_sub(1))
            };
            let ranks: Vec<u32> = there.iter().scan(0, rank).collect();
            let names: Vocabulary =
                (0..ids.len() as u32).filter(|id| there[*id as usize]).map(|id| ids.name(id)).collect();
            (rows.iter().map(|row| ranks[column[*row as usize] as usize]).collect::<Vec<u32>>(), names)
        };
        let ((users, user_ids), (items, item_ids)) =
            (renumber(&self.users, &self.user_ids), renumber(&self.items, &self.item_ids));
        let event_types = self
            .event_types
            .as_ref()
            .map(|types| EventTypes { codes: gather(&types.codes, rows), names: types.names.clone() });
        let (timestamps, values) = (self.timestamps.gathered(rows), self.values.gathered(rows));
        let nanoseconds =
            if self.nanoseconds.is_empty() { Vec::new() } else { gather(&self.nanoseconds, rows) };
        let rows = UInt32Array::from(rows.to_vec());
        let cut = |(name, column): &(String, ArrayRef)| match arrow_select::take::take(column, &rows, None) {
            Ok(column) => Ok((name.clone(), column)),
            Err(error) => Err(DataError::columns(name, error)),
        };
        let extra = self.extra.iter().map(cut).collect::<Result<_>>()?;
        Ok(Self { users, items, timestamps, nanoseconds, values, event_types, extra, user_ids, item_ids })
    }

    /// Checks that every row has a finite value, as rating models need.
    ///
    /// # Errors
    /// [`DataError::Setting`] naming the first user and item without one.
    pub fn require_values(&self) -> Result<()> {
        match self.values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(row) => Err(DataError::Setting(format!(
                "rating models need a value for every interaction, and user {} has none for item {}\n  help: \
                 name the rating column with {}; a log of events without ratings ranks items instead",
                self.user_ids.name(self.users[row]),
                self.item_ids.name(self.items[row]),
                crate::Hint::Value.token()
            ))),
        }
    }

    /// SHA-256 over all columns and ids: equal data give equal hashes, whatever file they came from.
    #[must_use]
    pub fn content_hash(&self) -> String {
        use sha2::Digest;
        let mut hasher = sha2::Sha256::new();
        let mut buffer = Vec::with_capacity(1 << 16);
        let mut feed = |chunk: &mut dyn Iterator<Item = [u8; 8]>| {
            for bytes in chunk {
                buffer.extend_from_slice(&bytes);
                if buffer.len() >= (1 << 16) - 8 {
                    hasher.update(&buffer);
                    buffer.clear();
                }
            }
        };
        feed(
            &mut self
                .users
                .iter()
                .zip(&self.items)
                .map(|(u, i)| (u64::from(*u) << 32 | u64::from(*i)).to_le_bytes()),
        );
        feed(&mut self.timestamps.iter().map(i64::to_le_bytes));
        feed(&mut self.nanoseconds.iter().map(|n| u64::from(*n).to_le_bytes()));
        feed(&mut self.values.iter().map(|v| u64::from(v.to_bits()).to_le_bytes()));
        hasher.update(&buffer);
        for name in self.user_ids.iter().chain(self.item_ids.iter()) {
            hasher.update(name.as_bytes());
            hasher.update([0]);
        }
        hex(&hasher.finalize())
    }

    /// Sorts and deduplicates what a reader collected. Returns the counts of dropped duplicates
    /// (all, and those with another value).
    pub(crate) fn from_raw(raw: RawColumns) -> Result<(Self, usize, usize)> {
        let RawColumns {
            mut users,
            mut items,
            timestamps,
            mut fractions,
            values,
            event_codes,
            user_names,
            item_names,
            event_names,
            extra,
        } = raw;
        if users.len() >= u32::MAX as usize {
            return Err(DataError::Setting(format!(
                "{} rows are more than one table holds (2^32 - 2); split the input",
                users.len()
            )));
        }
        let (user_ids, user_rank) = user_names.finish_sorted();
        let (item_ids, item_rank) = item_names.finish_sorted();
        rayon::join(
            || users.par_iter_mut().with_min_len(1 << 16).for_each(|u| *u = user_rank[*u as usize]),
            || items.par_iter_mut().with_min_len(1 << 16).for_each(|i| *i = item_rank[*i as usize]),
        );

        let codes = if event_names.len() > 0 { event_codes } else { Vec::new() };
        if !fractions.is_empty() {
            fractions.resize(users.len(), 0);
        }
        let (
            Columns { users, items, timestamps, fractions: nanoseconds, values, codes },
            order,
            dropped,
            conflicts,
        ) = Columns { users, items, timestamps, fractions, values, codes }.sorted(user_ids.len());
        let event_types = (event_names.len() > 0).then(|| EventTypes { codes, names: event_names.finish() });
        let order = UInt32Array::from(order);
        let extra = extra
            .into_iter()
            .map(|(name, column)| match arrow_select::take::take(&column, &order, None) {
                Ok(column) => Ok((name, column)),
                Err(error) => Err(DataError::columns(&name, error)),
            })
            .collect::<Result<_>>()?;
        let table =
            Self { users, items, timestamps, nanoseconds, values, event_types, extra, user_ids, item_ids };
        Ok((table, dropped, conflicts))
    }
}

/// That `what` needs times and the log has none.
pub(crate) fn untimed(what: &str) -> DataError {
    DataError::Setting(format!(
        "{what} needs times, and the log has none\n  help: name the column of times with {}",
        crate::Hint::Timestamp.token()
    ))
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        use std::fmt::Write;
        let _ = write!(s, "{b:02x}");
        s
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(rows: &[(&str, &str, i64, f32)]) -> RawColumns {
        let mut raw = RawColumns::default();
        for (user, item, time, value) in rows {
            raw.users.push(raw.user_names.intern(user.as_bytes()));
            raw.items.push(raw.item_names.intern(item.as_bytes()));
            raw.timestamps.push(*time);
            raw.values.push(*value);
        }
        raw
    }

    #[test]
    fn sorted_by_user_time_arrival() {
        let (table, dropped, _) = Interactions::from_raw(raw(&[
            ("10", "a", 5, 1.0),
            ("9", "b", 7, 2.0),
            ("10", "c", 5, 3.0),
            ("10", "d", 1, 4.0),
        ]))
        .unwrap();
        assert_eq!(dropped, 0);
        assert_eq!(table.user_ids.iter().collect::<Vec<_>>(), ["9", "10"]);
        assert_eq!(table.users, [0, 1, 1, 1]);
        assert_eq!(table.values.all().to_vec(), [2.0, 4.0, 1.0, 3.0]);
        assert_eq!(table.user_offsets(), [0, 1, 4]);
    }

    #[test]
    fn last_of_equal_user_item_time_wins() {
        let (table, dropped, conflicts) = Interactions::from_raw(raw(&[
            ("1", "a", 5, 1.0),
            ("1", "b", 5, 2.0),
            ("1", "a", 5, 3.0),
            ("1", "b", 5, 2.0),
            ("1", "a", 6, 4.0),
        ]))
        .unwrap();
        assert_eq!((dropped, conflicts), (2, 1));
        assert_eq!(table.values.all().to_vec(), [3.0, 2.0, 4.0]);
    }
}
