//! Event values.

use super::{Rows, RowsOf};
use std::ops::{Index, Range};

/// An event value per row; NaN for none. The narrow form holds level codes; levels are compared by bits: what
/// is read is what was written.
#[derive(Debug, Clone, Default)]
pub struct Values {
    pub(super) rows: Rows<u8, f32>,
    pub(super) levels: Vec<f32>,
}

/// Some rows of [`Values`].
#[derive(Debug, Clone, Copy)]
pub struct ValueSlice<'a> {
    rows: RowsOf<'a, u8, f32>,
    levels: &'a [f32],
}

/// Iterator over a [`ValueSlice`].
#[derive(Debug, Clone)]
pub struct ValueIter<'a>(ValueSlice<'a>);

impl Values {
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
    pub fn all(&self) -> ValueSlice<'_> {
        ValueSlice { rows: self.rows.all(), levels: &self.levels }
    }

    /// The rows of a range.
    ///
    /// # Panics
    /// When the range goes beyond the rows.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> ValueSlice<'_> {
        self.all().slice(rows)
    }

    /// All values in order.
    #[must_use]
    pub fn iter(&self) -> ValueIter<'_> {
        self.all().into_iter()
    }

    /// Reserves capacity for further rows.
    pub fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows);
    }

    /// Adds a row.
    #[inline]
    pub fn push(&mut self, value: f32) {
        if let Rows::Narrow(codes) = &mut self.rows
            && let Some(code) = code(&mut self.levels, value)
        {
            codes.push(code);
        } else {
            self.plain().push(value);
        }
    }

    /// Adds rows.
    pub fn extend(&mut self, more: ValueSlice) {
        // A few rows may not hold all levels.
        if let (Rows::Narrow(codes), RowsOf::Narrow(new)) = (&mut self.rows, more.rows)
            && new.len() > more.levels.len()
            && let Some(map) =
                more.levels.iter().map(|level| code(&mut self.levels, *level)).collect::<Option<Vec<u8>>>()
        {
            codes.extend(new.iter().map(|code| map[usize::from(*code)]));
        } else {
            more.iter().for_each(|value| self.push(*value));
        }
    }

    /// Replaces the value of each row.
    pub fn change(&mut self, of: impl Fn(usize, f32) -> f32) {
        *self = self.iter().enumerate().map(|(row, value)| of(row, *value)).collect();
    }

    /// The values under `of`, which is asked once a level where few values differ.
    #[must_use]
    pub fn mapped(&self, of: impl Fn(f32) -> f32) -> Self {
        match &self.rows {
            Rows::Narrow(codes) => Self {
                rows: Rows::Narrow(codes.clone()),
                levels: self.levels.iter().map(|level| of(*level)).collect(),
            },
            Rows::Wide(values) => {
                Self { rows: Rows::Wide(values.iter().map(|value| of(*value)).collect()), levels: Vec::new() }
            }
        }
    }

    /// Keeps only the first rows.
    pub fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
    }

    /// Removes the first rows.
    pub(crate) fn cut(&mut self, rows: usize) {
        self.rows.cut(rows);
    }

    /// Removes the rows at `places`, which must ascend.
    pub(crate) fn drop_rows(&mut self, places: &[u32]) {
        self.rows.without(places);
    }

    /// The rows in the order given.
    pub(crate) fn gathered(&self, order: &[u32]) -> Self {
        Self { rows: self.rows.gathered(order), levels: self.levels.clone() }
    }

    fn plain(&mut self) -> &mut Vec<f32> {
        let Self { rows, levels } = self;
        rows.widened(|code| levels[usize::from(code)])
    }
}

/// Largest number of levels: they are searched linearly.
const MOST: usize = 64;

/// The code of a value, a new one if needed; `None` when all codes are taken.
#[inline]
fn code(levels: &mut Vec<f32>, value: f32) -> Option<u8> {
    if let Some(code) = levels.iter().position(|level| level.to_bits() == value.to_bits()) {
        return u8::try_from(code).ok();
    }
    if levels.len() == MOST {
        return None;
    }
    levels.push(value);
    u8::try_from(levels.len() - 1).ok()
}

impl<'a> IntoIterator for &'a Values {
    type Item = &'a f32;
    type IntoIter = ValueIter<'a>;

    fn into_iter(self) -> ValueIter<'a> {
        self.iter()
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl FromIterator<f32> for Values {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        let values = values.into_iter();
        let mut all = Self::default();
        all.reserve(values.size_hint().0);
        values.for_each(|value| all.push(value));
        all
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        values.into_iter().collect()
    }
}

impl<'a> ValueSlice<'a> {
    /// Number of rows.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of a range.
    ///
    /// # Panics
    /// When the range goes beyond the rows.
    #[must_use]
    #[inline]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        Self { rows: self.rows.slice(rows), levels: self.levels }
    }

    /// The values under `of`, which is asked once a level where few values differ; they borrow from `space`.
    #[must_use]
    pub fn mapped<'b>(self, space: &'b mut Vec<f32>, of: impl Fn(f32) -> f32) -> ValueSlice<'b>
    where
        'a: 'b,
    {
        space.clear();
        match self.rows {
            RowsOf::Narrow(codes) => {
                space.extend(self.levels.iter().map(|level| of(*level)));
                ValueSlice { rows: RowsOf::Narrow(codes), levels: space }
            }
            RowsOf::Wide(values) => {
                space.extend(values.iter().map(|value| of(*value)));
                ValueSlice { rows: RowsOf::Wide(space), levels: &[] }
            }
        }
    }

    /// All values in order.
    #[must_use]
    pub fn iter(self) -> ValueIter<'a> {
        self.into_iter()
    }

    /// The values as `f32`.
    #[must_use]
    pub fn to_vec(&self) -> Vec<f32> {
        self.iter().copied().collect()
    }
}

impl<'a> ValueSlice<'a> {
    #[inline]
    fn of(self, row: usize) -> &'a f32 {
        match self.rows {
            RowsOf::Narrow(codes) => &self.levels[usize::from(codes[row])],
            RowsOf::Wide(values) => &values[row],
        }
    }
}

impl Index<usize> for ValueSlice<'_> {
    type Output = f32;

    #[inline]
    fn index(&self, row: usize) -> &f32 {
        self.of(row)
    }
}

impl Index<usize> for Values {
    type Output = f32;

    #[inline]
    fn index(&self, row: usize) -> &f32 {
        self.all().of(row)
    }
}

impl Default for ValueSlice<'_> {
    fn default() -> Self {
        Self { rows: RowsOf::Wide(&[]), levels: &[] }
    }
}

impl<'a> From<&'a [f32]> for ValueSlice<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self { rows: RowsOf::Wide(values), levels: &[] }
    }
}

impl<'a> IntoIterator for ValueSlice<'a> {
    type Item = &'a f32;
    type IntoIter = ValueIter<'a>;

    fn into_iter(self) -> ValueIter<'a> {
        ValueIter(self)
    }
}

impl<'a> Iterator for ValueIter<'a> {
    type Item = &'a f32;

    #[inline]
    fn next(&mut self) -> Option<&'a f32> {
        match &mut self.0.rows {
            RowsOf::Narrow(codes) => codes.split_off_first().map(|code| &self.0.levels[usize::from(*code)]),
            RowsOf::Wide(values) => values.split_off_first(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl<'a> DoubleEndedIterator for ValueIter<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a f32> {
        match &mut self.0.rows {
            RowsOf::Narrow(codes) => codes.split_off_last().map(|code| &self.0.levels[usize::from(*code)]),
            RowsOf::Wide(values) => values.split_off_last(),
        }
    }
}

impl ExactSizeIterator for ValueIter<'_> {}
