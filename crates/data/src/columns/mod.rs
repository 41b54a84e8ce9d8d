//! Compact columns: a time stamp takes four bytes where all are seconds of the years
//! 1970 to 2106, a value one byte where at most 64 differ. With four bytes for an item that is nine bytes per
//! interaction. Both read like slices, and their parts ([`TimeSlice`], [`ValueSlice`]) are views.

mod times;
mod values;

pub use times::{TimeIter, TimeSlice, Timestamps};
pub use values::{ValueIter, ValueSlice, Values};

use rayon::prelude::*;
use std::ops::Range;

/// `column` reordered by the row numbers in `order`.
pub(crate) fn gather<T: Copy + Send + Sync>(column: &[T], order: &[u32]) -> Vec<T> {
    let mut sorted = Vec::with_capacity(order.len());
    order.par_iter().with_min_len(1 << 16).map(|&row| column[row as usize]).collect_into_vec(&mut sorted);
    sorted
}

/// A column in narrow form, or in wide form when some value does not fit.
#[derive(Debug, Clone)]
enum Rows<N, W> {
    Narrow(Vec<N>),
    Wide(Vec<W>),
}

/// Some rows of such a column.
#[derive(Debug)]
enum RowsOf<'a, N, W> {
    Narrow(&'a [N]),
    Wide(&'a [W]),
}

impl<N: Copy + Send + Sync, W: Copy + Send + Sync> Rows<N, W> {
    #[inline]
    fn all(&self) -> RowsOf<'_, N, W> {
        match self {
            Self::Narrow(rows) => RowsOf::Narrow(rows),
            Self::Wide(rows) => RowsOf::Wide(rows),
        }
    }

    fn reserve(&mut self, further: usize) {
        match self {
            Self::Narrow(rows) => rows.reserve(further),
            Self::Wide(rows) => rows.reserve(further),
        }
    }

    fn truncate(&mut self, kept: usize) {
        match self {
            Self::Narrow(rows) => rows.truncate(kept),
            Self::Wide(rows) => rows.truncate(kept),
        }
    }

    /// Removes the first rows.
    fn cut(&mut self, first: usize) {
        match self {
            Self::Narrow(rows) => drop(rows.drain(..first)),
            Self::Wide(rows) => drop(rows.drain(..first)),
        }
    }

    fn without(&mut self, places: &[u32]) {
        match self {
            Self::Narrow(rows) => without(rows, places),
            Self::Wide(rows) => without(rows, places),
        }
    }

    fn gathered(&self, order: &[u32]) -> Self {
        match self {
            Self::Narrow(rows) => Self::Narrow(gather(rows, order)),
            Self::Wide(rows) => Self::Wide(gather(rows, order)),
        }
    }

    /// Converts to the wide form for good and returns its rows; reserved capacity is kept.
    fn widened(&mut self, wide: impl Fn(N) -> W) -> &mut Vec<W> {
        if let Self::Narrow(rows) = self {
            let mut widened = Vec::with_capacity(rows.capacity());
            widened.extend(rows.iter().map(|row| wide(*row)));
            *self = Self::Wide(widened);
        }
        match self {
            Self::Wide(rows) => rows,
            Self::Narrow(_) => unreachable!("widened above"),
        }
    }
}

impl<N, W> Default for Rows<N, W> {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl<N, W> Clone for RowsOf<'_, N, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N, W> Copy for RowsOf<'_, N, W> {}

impl<N, W> RowsOf<'_, N, W> {
    #[inline]
    const fn len(&self) -> usize {
        match self {
            Self::Narrow(rows) => rows.len(),
            Self::Wide(rows) => rows.len(),
        }
    }

    #[inline]
    fn slice(self, at: Range<usize>) -> Self {
        match self {
            Self::Narrow(rows) => Self::Narrow(&rows[at]),
            Self::Wide(rows) => Self::Wide(&rows[at]),
        }
    }
}

/// Removes the rows at `places` (ascending) from a column.
pub(crate) fn without<T>(column: &mut Vec<T>, places: &[u32]) {
    let (mut place, mut next) = (0, places.iter().peekable());
    column.retain(|_| {
        place += 1;
        next.next_if_eq(&&(place - 1)).is_none()
    });
}

#[cfg(test)]
mod tests;
