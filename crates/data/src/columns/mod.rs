//! Columns as small as what stands in them: a time stamp takes four bytes where all are seconds of the years 1970 to 2106, a
//! value one byte where at most 64 differ. With four bytes for an item that is nine bytes an interaction. Both read like
//! slices, and their parts ([`TimeSlice`], [`ValueSlice`]) are views.

mod times;
mod values;

pub use times::{TimeIter, TimeSlice, Timestamps};
pub use values::{ValueIter, ValueSlice, Values};

use rayon::prelude::*;

/// `column` in the order given.
pub(crate) fn gather<T: Copy + Send + Sync>(column: &[T], order: &[u32]) -> Vec<T> {
    let mut sorted = Vec::with_capacity(order.len());
    order.par_iter().with_min_len(1 << 16).map(|&row| column[row as usize]).collect_into_vec(&mut sorted);
    sorted
}

/// Takes the rows at `places`, which ascend, out of a column.
pub(crate) fn without<T>(column: &mut Vec<T>, places: &[u32]) {
    let (mut place, mut next) = (0, places.iter().peekable());
    column.retain(|_| {
        place += 1;
        next.next_if_eq(&&(place - 1)).is_none()
    });
}

#[cfg(test)]
mod tests;
