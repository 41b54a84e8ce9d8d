//! Histories: users' interactions, as columns plus one offset per user.

use crate::sessions::IdleGaps;
use crate::{TimeSlice, Timestamps, ValueSlice, Values};

/// The interactions of many users as flat columns; user `u` owns rows `offsets[u]..offsets[u + 1]`,
/// sorted by time. Views ([`History`]) borrow from it; nothing per row or per user is allocated.
#[derive(Debug, Clone, PartialEq)]
pub struct Histories {
    offsets: Vec<usize>,
    items: Vec<u32>,
    values: Values,
    timestamps: Timestamps,
    n_items: usize,
}

/// One user's rows, oldest first.
#[derive(Debug, Clone, Copy, Default)]
pub struct History<'a> {
    /// Item index per row.
    pub items: &'a [u32],
    /// Rating or event value per row; NaN for none.
    pub values: ValueSlice<'a>,
    /// Unix seconds per row, not decreasing.
    pub timestamps: TimeSlice<'a>,
}

/// Which items each user has rows for, without values or times: all that transductive features
/// may know of a test part.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Membership {
    offsets: Vec<usize>,
    items: Vec<u32>,
}

impl Membership {
    /// From one offset per user and the items.
    ///
    /// # Panics
    /// When the offsets do not cover the items.
    #[must_use]
    pub fn new(offsets: Vec<usize>, items: Vec<u32>) -> Self {
        assert_eq!(offsets.last().copied().unwrap_or(0), items.len(), "offsets cover the items");
        Self { offsets, items }
    }

    /// Items of one user; empty for a user index out of range.
    #[must_use]
    pub fn of(&self, user: u32) -> &[u32] {
        let user = user as usize;
        if user + 1 < self.offsets.len() {
            &self.items[self.offsets[user]..self.offsets[user + 1]]
        } else {
            &[]
        }
    }

    /// One offset per user, and the total.
    #[must_use]
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The items of all users.
    #[must_use]
    pub fn items(&self) -> &[u32] {
        &self.items
    }
}

impl History<'_> {
    /// Number of interactions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the user has no interaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl Histories {
    /// Builds histories from columns that are sorted by user and time.
    ///
    /// # Panics
    /// When the columns differ in length or the offsets do not cover them.
    #[must_use]
    pub fn new(
        offsets: Vec<usize>,
        items: Vec<u32>,
        values: impl Into<Values>,
        timestamps: impl Into<Timestamps>,
        n_items: usize,
    ) -> Self {
        let (values, timestamps) = (values.into(), timestamps.into());
        assert_eq!(offsets.last().copied(), Some(items.len()), "offsets cover the rows");
        assert!(items.len() == values.len() && items.len() == timestamps.len(), "columns are of one length");
        Self { offsets, items, values, timestamps, n_items }
    }

    /// The same rows with every value under `of`.
    #[must_use]
    pub fn with_values(&self, of: impl Fn(f32) -> f32) -> Self {
        Self { values: self.values.mapped(of), ..self.clone() }
    }

    /// Number of users in the index space, with or without rows here.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of items in the index space, with or without rows here.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// Number of interactions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no interaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// One user's rows; empty for a user index out of range.
    #[must_use]
    pub fn user(&self, user: u32) -> History<'_> {
        let range = self.range(user);
        History {
            items: &self.items[range.clone()],
            values: self.values.slice(range.clone()),
            timestamps: self.timestamps.slice(range),
        }
    }

    /// One user's row numbers; empty for a user index out of range.
    #[must_use]
    pub fn range(&self, user: u32) -> std::ops::Range<usize> {
        let user = user as usize;
        if user < self.n_users() { self.offsets[user]..self.offsets[user + 1] } else { 0..0 }
    }

    /// One offset per user, and the total.
    #[must_use]
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// All item indices.
    #[must_use]
    pub fn items(&self) -> &[u32] {
        &self.items
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> ValueSlice<'_> {
        self.values.all()
    }

    /// Replaces the value of each row, as the leak tests do with a test part.
    pub fn change_values(&mut self, of: impl Fn(usize, f32) -> f32) {
        self.values.change(of);
    }

    /// All time stamps.
    #[must_use]
    pub fn timestamps(&self) -> TimeSlice<'_> {
        self.timestamps.all()
    }

    /// Session marks of these rows alone (see [`IdleGaps::marks`]): gaps are measured between the
    /// rows this part holds, so that no time stamps of other parts leak in.
    #[must_use]
    pub fn marks(&self, gaps: &IdleGaps) -> Vec<u8> {
        gaps.marks(self.timestamps(), &self.offsets)
    }

    /// User index of every row.
    #[must_use]
    pub fn row_users(&self) -> Vec<u32> {
        let mut users = Vec::with_capacity(self.len());
        for user in 0..self.n_users() {
            users.extend(std::iter::repeat_n(user as u32, self.offsets[user + 1] - self.offsets[user]));
        }
        users
    }

    /// Mean value over all rows (in `f64`, row order); `None` without rows.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.values.iter().map(|v| f64::from(*v)).sum::<f64>() / self.len() as f64)
    }

    /// Users and items of the rows, without values and times.
    #[must_use]
    pub fn membership(&self) -> Membership {
        Membership { offsets: self.offsets.clone(), items: self.items.clone() }
    }

    /// Passes all columns as bytes to `hash`, in blocks; equal histories give equal bytes.
    pub fn feed(&self, hash: &mut dyn FnMut(&[u8])) {
        let mut block = Vec::with_capacity(1 << 16);
        let mut put = |bytes: &[u8]| {
            block.extend_from_slice(bytes);
            if block.len() >= (1 << 16) - 8 {
                hash(&block);
                block.clear();
            }
        };
        self.offsets.iter().for_each(|o| put(&(*o as u64).to_le_bytes()));
        self.items.iter().for_each(|i| put(&i.to_le_bytes()));
        self.values.iter().for_each(|v| put(&v.to_le_bytes()));
        self.timestamps.iter().for_each(|t| put(&t.to_le_bytes()));
        hash(&block);
    }

    /// The rows that `keep` selects by user and row; users without rows stay, so that indices stay valid.
    #[must_use]
    pub fn of_rows(&self, keep: impl Fn(u32, usize) -> bool) -> Self {
        let mut offsets = vec![0];
        let (mut items, mut values, mut timestamps) = (Vec::new(), Values::default(), Timestamps::default());
        for user in 0..self.n_users() as u32 {
            for row in self.range(user).filter(|row| keep(user, *row)) {
                items.push(self.items[row]);
                values.push(self.values[row]);
                timestamps.push(self.timestamps.at(row));
            }
            offsets.push(items.len());
        }
        Self::new(offsets, items, values, timestamps, self.n_items())
    }

    /// The rows of `self` and `other` together, merged by time within a user; rows of `self` come
    /// first where time stamps are equal.
    ///
    /// # Panics
    /// When the two do not share one index space.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        assert!(self.n_users() == other.n_users() && self.n_items == other.n_items, "one index space");
        let rows = self.len() + other.len();
        let mut merged = Self {
            offsets: Vec::with_capacity(self.offsets.len()),
            items: Vec::with_capacity(rows),
            values: Values::default(),
            timestamps: Timestamps::default(),
            n_items: self.n_items,
        };
        merged.offsets.push(0);
        merged.values.reserve(rows);
        merged.timestamps.reserve(rows);
        for user in 0..self.n_users() as u32 {
            let (a, b) = (self.user(user), other.user(user));
            let (mut i, mut j) = (0, 0);
            while i < a.len() || j < b.len() {
                let first = j == b.len() || (i < a.len() && a.timestamps.at(i) <= b.timestamps.at(j));
                let (from, at) = if first { (&a, &mut i) } else { (&b, &mut j) };
                merged.items.push(from.items[*at]);
                merged.values.push(from.values[*at]);
                merged.timestamps.push(from.timestamps.at(*at));
                *at += 1;
            }
            merged.offsets.push(merged.items.len());
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_time_order_and_puts_self_first() {
        let a = Histories::new(vec![0, 2, 2], vec![0, 1], vec![1.0, 2.0], vec![10, 20], 5);
        let b = Histories::new(vec![0, 1, 2], vec![2, 3], vec![3.0, 4.0], vec![10, 5], 5);
        let merged = a.merged(&b);
        assert_eq!(merged.offsets(), [0, 3, 4]);
        assert_eq!(merged.items(), [0, 2, 1, 3]);
        assert!(merged.user(7).is_empty());
    }
}
