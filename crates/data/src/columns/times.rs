//! Time stamps.

use super::{Rows, RowsOf};
use std::ops::Range;

/// Unix seconds (UTC) per row.
#[derive(Debug, Clone, Default)]
pub struct Timestamps(pub(super) Rows<u32, i64>);

/// Some rows of [`Timestamps`].
#[derive(Debug, Clone, Copy)]
pub struct TimeSlice<'a>(RowsOf<'a, u32, i64>);

/// Iterator over a [`TimeSlice`].
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
    #[inline]
    pub fn all(&self) -> TimeSlice<'_> {
        TimeSlice(self.0.all())
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

    /// Reserves capacity for further rows.
    pub fn reserve(&mut self, rows: usize) {
        self.0.reserve(rows);
    }

    /// Adds a row.
    #[inline]
    pub fn push(&mut self, time: i64) {
        match (&mut self.0, u32::try_from(time)) {
            (Rows::Narrow(seconds), Ok(time)) => seconds.push(time),
            _ => self.0.widened(i64::from).push(time),
        }
    }

    /// Adds rows.
    pub fn extend(&mut self, times: TimeSlice) {
        match (&mut self.0, times.0) {
            (Rows::Narrow(seconds), RowsOf::Narrow(more)) => seconds.extend_from_slice(more),
            _ => self.0.widened(i64::from).extend(times),
        }
    }

    /// Keeps only the first rows.
    pub fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
    }

    /// Removes the first rows.
    pub(crate) fn cut(&mut self, rows: usize) {
        self.0.cut(rows);
    }

    /// Removes the rows at `places`, which must ascend.
    pub(crate) fn drop_rows(&mut self, places: &[u32]) {
        self.0.without(places);
    }

    /// The rows in the order given.
    pub(crate) fn gathered(&self, order: &[u32]) -> Self {
        Self(self.0.gathered(order))
    }
}

impl<'a> IntoIterator for &'a Timestamps {
    type Item = i64;
    type IntoIter = TimeIter<'a>;

    fn into_iter(self) -> TimeIter<'a> {
        self.iter()
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
        self.0.len()
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
            RowsOf::Narrow(seconds) => i64::from(seconds[row]),
            RowsOf::Wide(seconds) => seconds[row],
        }
    }

    /// The rows of a range.
    ///
    /// # Panics
    /// When the range goes beyond the rows.
    #[must_use]
    #[inline]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        Self(self.0.slice(rows))
    }

    /// All times in order.
    #[must_use]
    pub fn iter(self) -> TimeIter<'a> {
        self.into_iter()
    }

    /// Number of rows before the first at which `before` is false; times must not decrease.
    #[must_use]
    pub fn partition_point(&self, before: impl Fn(i64) -> bool) -> usize {
        match self.0 {
            RowsOf::Narrow(seconds) => seconds.partition_point(|time| before(i64::from(*time))),
            RowsOf::Wide(seconds) => seconds.partition_point(|time| before(*time)),
        }
    }

    /// The times as `i64`.
    #[must_use]
    pub fn to_vec(&self) -> Vec<i64> {
        self.iter().collect()
    }
}

impl Default for TimeSlice<'_> {
    fn default() -> Self {
        Self(RowsOf::Narrow(&[]))
    }
}

impl<'a> From<&'a [i64]> for TimeSlice<'a> {
    fn from(times: &'a [i64]) -> Self {
        Self(RowsOf::Wide(times))
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
            RowsOf::Narrow(seconds) => seconds.split_off_first().map(|time| i64::from(*time)),
            RowsOf::Wide(seconds) => seconds.split_off_first().copied(),
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
            RowsOf::Narrow(seconds) => seconds.split_off_last().map(|time| i64::from(*time)),
            RowsOf::Wide(seconds) => seconds.split_off_last().copied(),
        }
    }
}

impl ExactSizeIterator for TimeIter<'_> {}
