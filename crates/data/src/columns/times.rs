//! Time stamps.

use super::{gather, without};
use std::ops::Range;

/// Unix seconds (UTC) a row.
#[derive(Debug, Clone)]
pub struct Timestamps(pub(super) Times);

#[derive(Debug, Clone)]
pub(super) enum Times {
    Seconds(Vec<u32>),
    Wide(Vec<i64>),
}

/// Some rows of [`Timestamps`].
#[derive(Debug, Clone, Copy)]
pub struct TimeSlice<'a>(TimesOf<'a>);

#[derive(Debug, Clone, Copy)]
enum TimesOf<'a> {
    Seconds(&'a [u32]),
    Wide(&'a [i64]),
}

/// Walks through a [`TimeSlice`].
#[derive(Debug, Clone)]
pub struct TimeIter<'a>(TimeSlice<'a>);

impl Timestamps {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all().len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows.
    #[must_use]
    pub fn all(&self) -> TimeSlice<'_> {
        match &self.0 {
            Times::Seconds(seconds) => TimeSlice(TimesOf::Seconds(seconds)),
            Times::Wide(seconds) => TimeSlice(TimesOf::Wide(seconds)),
        }
    }

    /// The rows of a range.
    ///
    /// # Panics
    /// When the range goes beyond the rows.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> TimeSlice<'_> {
        self.all().slice(rows)
    }

    /// The time of a row.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    #[inline]
    pub fn at(&self, row: usize) -> i64 {
        self.all().at(row)
    }

    /// All times in order.
    #[must_use]
    pub fn iter(&self) -> TimeIter<'_> {
        self.all().into_iter()
    }

    /// Makes room for further rows.
    pub fn reserve(&mut self, rows: usize) {
        match &mut self.0 {
            Times::Seconds(seconds) => seconds.reserve(rows),
            Times::Wide(seconds) => seconds.reserve(rows),
        }
    }

    /// Adds a row.
    #[inline]
    pub fn push(&mut self, time: i64) {
        match (&mut self.0, u32::try_from(time)) {
            (Times::Seconds(seconds), Ok(time)) => seconds.push(time),
            _ => self.widened().push(time),
        }
    }

    /// Adds rows.
    pub fn extend(&mut self, times: TimeSlice) {
        match (&mut self.0, times.0) {
            (Times::Seconds(seconds), TimesOf::Seconds(more)) => seconds.extend_from_slice(more),
            _ => self.widened().extend(times),
        }
    }

    /// Leaves the first rows alone.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.0 {
            Times::Seconds(seconds) => seconds.truncate(rows),
            Times::Wide(seconds) => seconds.truncate(rows),
        }
    }

    /// Takes the first rows away.
    pub(crate) fn cut(&mut self, rows: usize) {
        match &mut self.0 {
            Times::Seconds(seconds) => drop(seconds.drain(..rows)),
            Times::Wide(seconds) => drop(seconds.drain(..rows)),
        }
    }

    /// Takes out the rows at `places`, which ascend.
    pub(crate) fn drop_rows(&mut self, places: &[u32]) {
        match &mut self.0 {
            Times::Seconds(seconds) => without(seconds, places),
            Times::Wide(seconds) => without(seconds, places),
        }
    }

    /// The rows in the order given.
    pub(crate) fn gathered(&self, order: &[u32]) -> Self {
        Self(match &self.0 {
            Times::Seconds(seconds) => Times::Seconds(gather(seconds, order)),
            Times::Wide(seconds) => Times::Wide(gather(seconds, order)),
        })
    }

    fn widened(&mut self) -> &mut Vec<i64> {
        if let Times::Seconds(seconds) = &mut self.0 {
            // What room was made is needed still.
            let mut wide = Vec::with_capacity(seconds.capacity());
            wide.extend(seconds.iter().map(|time| i64::from(*time)));
            self.0 = Times::Wide(wide);
        }
        match &mut self.0 {
            Times::Wide(seconds) => seconds,
            Times::Seconds(_) => unreachable!("widened above"),
        }
    }
}

impl<'a> IntoIterator for &'a Timestamps {
    type Item = i64;
    type IntoIter = TimeIter<'a>;

    fn into_iter(self) -> TimeIter<'a> {
        self.iter()
    }
}

impl Default for Timestamps {
    fn default() -> Self {
        Self(Times::Seconds(Vec::new()))
    }
}

impl PartialEq for Timestamps {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl FromIterator<i64> for Timestamps {
    fn from_iter<I: IntoIterator<Item = i64>>(times: I) -> Self {
        let times = times.into_iter();
        let mut all = Self::default();
        all.reserve(times.size_hint().0);
        times.for_each(|time| all.push(time));
        all
    }
}

impl From<Vec<i64>> for Timestamps {
    fn from(times: Vec<i64>) -> Self {
        times.into_iter().collect()
    }
}

impl<'a> TimeSlice<'a> {
    /// Number of rows.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        match self.0 {
            TimesOf::Seconds(seconds) => seconds.len(),
            TimesOf::Wide(seconds) => seconds.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time of a row.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    #[inline]
    pub fn at(&self, row: usize) -> i64 {
        match self.0 {
            TimesOf::Seconds(seconds) => i64::from(seconds[row]),
            TimesOf::Wide(seconds) => seconds[row],
        }
    }

    /// The rows of a range.
    ///
    /// # Panics
    /// When the range goes beyond the rows.
    #[must_use]
    #[inline]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        Self(match self.0 {
            TimesOf::Seconds(seconds) => TimesOf::Seconds(&seconds[rows]),
            TimesOf::Wide(seconds) => TimesOf::Wide(&seconds[rows]),
        })
    }

    /// All times in order.
    #[must_use]
    pub fn iter(self) -> TimeIter<'a> {
        self.into_iter()
    }

    /// Number of rows before the first at which `before` no longer holds; times must not fall.
    #[must_use]
    pub fn partition_point(&self, before: impl Fn(i64) -> bool) -> usize {
        match self.0 {
            TimesOf::Seconds(seconds) => seconds.partition_point(|time| before(i64::from(*time))),
            TimesOf::Wide(seconds) => seconds.partition_point(|time| before(*time)),
        }
    }

    /// The times as numbers of eight bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<i64> {
        self.iter().collect()
    }
}

impl Default for TimeSlice<'_> {
    fn default() -> Self {
        Self(TimesOf::Seconds(&[]))
    }
}

impl<'a> From<&'a [i64]> for TimeSlice<'a> {
    fn from(times: &'a [i64]) -> Self {
        Self(TimesOf::Wide(times))
    }
}

impl<'a> IntoIterator for TimeSlice<'a> {
    type Item = i64;
    type IntoIter = TimeIter<'a>;

    fn into_iter(self) -> TimeIter<'a> {
        TimeIter(self)
    }
}

impl Iterator for TimeIter<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        match &mut self.0.0 {
            TimesOf::Seconds(seconds) => seconds.split_off_first().map(|time| i64::from(*time)),
            TimesOf::Wide(seconds) => seconds.split_off_first().copied(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl DoubleEndedIterator for TimeIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<i64> {
        match &mut self.0.0 {
            TimesOf::Seconds(seconds) => seconds.split_off_last().map(|time| i64::from(*time)),
            TimesOf::Wide(seconds) => seconds.split_off_last().copied(),
        }
    }
}

impl ExactSizeIterator for TimeIter<'_> {}
