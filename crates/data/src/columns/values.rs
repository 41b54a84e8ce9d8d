//! Event values.

use super::{gather, without};
use std::ops::{Index, Range};

/// An event value a row; NaN for none.
#[derive(Debug, Clone)]
pub struct Values(pub(super) Levels);

#[derive(Debug, Clone)]
pub(super) enum Levels {
    /// Numbers of levels. Levels are told apart by their bits: what is read is what was written.
    Coded {
        codes: Vec<u8>,
        levels: Vec<f32>,
    },
    Plain(Vec<f32>),
}

/// Some rows of [`Values`].
#[derive(Debug, Clone, Copy)]
pub struct ValueSlice<'a>(LevelsOf<'a>);

#[derive(Debug, Clone, Copy)]
enum LevelsOf<'a> {
    Coded(&'a [u8], &'a [f32]),
    Plain(&'a [f32]),
}

/// Walks through a [`ValueSlice`].
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
    pub fn all(&self) -> ValueSlice<'_> {
        match &self.0 {
            Levels::Coded { codes, levels } => ValueSlice(LevelsOf::Coded(codes, levels)),
            Levels::Plain(values) => ValueSlice(LevelsOf::Plain(values)),
        }
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

    /// Makes room for further rows.
    pub fn reserve(&mut self, rows: usize) {
        match &mut self.0 {
            Levels::Coded { codes, .. } => codes.reserve(rows),
            Levels::Plain(values) => values.reserve(rows),
        }
    }

    /// Adds a row.
    #[inline]
    pub fn push(&mut self, value: f32) {
        if let Levels::Coded { codes, levels } = &mut self.0
            && let Some(code) = code(levels, value)
        {
            codes.push(code);
        } else {
            self.plain().push(value);
        }
    }

    /// Adds rows.
    pub fn extend(&mut self, more: ValueSlice) {
        if let (Levels::Coded { codes, levels }, LevelsOf::Coded(new, own)) = (&mut self.0, more.0)
            && new.len() > own.len()
            && let Some(map) = own.iter().map(|level| code(levels, *level)).collect::<Option<Vec<u8>>>()
        {
            codes.extend(new.iter().map(|code| map[usize::from(*code)]));
        } else {
            more.iter().for_each(|value| self.push(*value));
        }
    }

    /// Puts another value into each row.
    pub fn change(&mut self, of: impl Fn(usize, f32) -> f32) {
        *self = self.iter().enumerate().map(|(row, value)| of(row, *value)).collect();
    }

    /// Leaves the first rows alone.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.0 {
            Levels::Coded { codes, .. } => codes.truncate(rows),
            Levels::Plain(values) => values.truncate(rows),
        }
    }

    /// Takes the first rows away.
    pub(crate) fn cut(&mut self, rows: usize) {
        match &mut self.0 {
            Levels::Coded { codes, .. } => drop(codes.drain(..rows)),
            Levels::Plain(values) => drop(values.drain(..rows)),
        }
    }

    /// Takes out the rows at `places`, which ascend.
    pub(crate) fn drop_rows(&mut self, places: &[u32]) {
        match &mut self.0 {
            Levels::Coded { codes, .. } => without(codes, places),
            Levels::Plain(values) => without(values, places),
        }
    }

    /// The rows in the order given.
    pub(crate) fn gathered(&self, order: &[u32]) -> Self {
        Self(match &self.0 {
            Levels::Coded { codes, levels } => Levels::Coded { codes: gather(codes, order), levels: levels.clone() },
            Levels::Plain(values) => Levels::Plain(gather(values, order)),
        })
    }

    fn plain(&mut self) -> &mut Vec<f32> {
        if let Levels::Coded { codes, levels } = &self.0 {
            // What room was made is needed still.
            let mut values = Vec::with_capacity(codes.capacity());
            values.extend(codes.iter().map(|code| levels[usize::from(*code)]));
            self.0 = Levels::Plain(values);
        }
        match &mut self.0 {
            Levels::Plain(values) => values,
            Levels::Coded { .. } => unreachable!("made plain above"),
        }
    }
}

/// Levels that are told apart at most: they are looked through one after the other.
const MOST: usize = 64;

/// The code of a value, a new one if need be; none where all are taken.
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

impl Default for Values {
    fn default() -> Self {
        Self(Levels::Coded { codes: Vec::new(), levels: Vec::new() })
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
        match self.0 {
            LevelsOf::Coded(codes, _) => codes.len(),
            LevelsOf::Plain(values) => values.len(),
        }
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
        Self(match self.0 {
            LevelsOf::Coded(codes, levels) => LevelsOf::Coded(&codes[rows], levels),
            LevelsOf::Plain(values) => LevelsOf::Plain(&values[rows]),
        })
    }

    /// All values in order.
    #[must_use]
    pub fn iter(self) -> ValueIter<'a> {
        self.into_iter()
    }

    /// The values as numbers of four bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<f32> {
        self.iter().copied().collect()
    }
}

impl Index<usize> for ValueSlice<'_> {
    type Output = f32;

    #[inline]
    fn index(&self, row: usize) -> &f32 {
        match self.0 {
            LevelsOf::Coded(codes, levels) => &levels[usize::from(codes[row])],
            LevelsOf::Plain(values) => &values[row],
        }
    }
}

impl Index<usize> for Values {
    type Output = f32;

    #[inline]
    fn index(&self, row: usize) -> &f32 {
        match &self.0 {
            Levels::Coded { codes, levels } => &levels[usize::from(codes[row])],
            Levels::Plain(values) => &values[row],
        }
    }
}

impl Default for ValueSlice<'_> {
    fn default() -> Self {
        Self(LevelsOf::Plain(&[]))
    }
}

impl<'a> From<&'a [f32]> for ValueSlice<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self(LevelsOf::Plain(values))
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
        match &mut self.0.0 {
            LevelsOf::Coded(codes, levels) => codes.split_off_first().map(|code| &levels[usize::from(*code)]),
            LevelsOf::Plain(values) => values.split_off_first(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl<'a> DoubleEndedIterator for ValueIter<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a f32> {
        match &mut self.0.0 {
            LevelsOf::Coded(codes, levels) => codes.split_off_last().map(|code| &levels[usize::from(*code)]),
            LevelsOf::Plain(values) => values.split_off_last(),
        }
    }
}

impl ExactSizeIterator for ValueIter<'_> {}
