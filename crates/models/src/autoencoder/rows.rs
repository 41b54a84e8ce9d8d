//! Sparse rows of ratings, and batches of them.

use foretaste_data::{Histories, ValueSlice};

/// Ratings by row (users, or items): columns ascending within a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    pub offsets: Vec<usize>,
    pub columns: Vec<u32>,
    pub values: Vec<f32>,
    /// Number of columns.
    pub width: usize,
}

impl Rows {
    /// Users as rows; `offset` is subtracted from every rating. A user's later rating of an item replaces
    /// the earlier one.
    pub fn users(train: &Histories, offset: f32) -> Self {
        let mut rows =
            Self { offsets: vec![0], columns: Vec::new(), values: Vec::new(), width: train.n_items() };
        for user in 0..train.n_users() as u32 {
            let history = train.user(user);
            rows.push(history.items, history.values, offset);
        }
        rows
    }

    /// Adds a row.
    pub fn push(&mut self, items: &[u32], values: ValueSlice, offset: f32) {
        let mut own: Vec<(u32, f32)> = items
            .iter()
            .zip(values)
            .filter(|(i, _)| (**i as usize) < self.width)
            .map(|(i, v)| (*i, v - offset))
            .collect();
        own.sort_by_key(|(item, _)| *item);
        for (at, (item, value)) in own.iter().enumerate() {
            // Of equal items the last one counts.
            if own.get(at + 1).is_none_or(|(next, _)| next != item) {
                self.columns.push(*item);
                self.values.push(*value);
            }
        }
        self.offsets.push(self.columns.len());
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// The rows `wanted`, in that order.
    pub fn batch(&self, wanted: &[u32]) -> Self {
        let mut batch = Self { offsets: vec![0], columns: Vec::new(), values: Vec::new(), width: self.width };
        for row in wanted {
            let (columns, values) = self.row(*row as usize);
            batch.columns.extend_from_slice(columns);
            batch.values.extend_from_slice(values);
            batch.offsets.push(batch.columns.len());
        }
        batch
    }

    /// Which columns have a rating.
    pub fn seen(&self) -> Vec<bool> {
        let mut seen = vec![false; self.width];
        self.columns.iter().for_each(|c| seen[*c as usize] = true);
        seen
    }
}

/// The transpose; within a column rows ascend.
pub(crate) fn transposed(rows: &Rows) -> Rows {
    let by_column = ByColumn::new(rows);
    let columns = by_column.entries.iter().map(|(row, _)| *row).collect();
    let values = by_column.entries.iter().map(|(_, entry)| rows.values[*entry as usize]).collect();
    Rows { offsets: by_column.offsets, columns, values, width: rows.len() }
}

/// A batch's entries by column: for each the row and the entry's place in the batch.
pub(crate) struct ByColumn {
    pub offsets: Vec<usize>,
    pub entries: Vec<(u32, u32)>,
}

impl ByColumn {
    pub fn new(rows: &Rows) -> Self {
        let mut offsets = vec![0; rows.width + 1];
        rows.columns.iter().for_each(|c| offsets[*c as usize + 1] += 1);
        for column in 0..rows.width {
            offsets[column + 1] += offsets[column];
        }
        let mut next = offsets.clone();
        let mut entries = vec![(0, 0); rows.columns.len()];
        for row in 0..rows.len() {
            for entry in rows.offsets[row]..rows.offsets[row + 1] {
                let at = &mut next[rows.columns[entry] as usize];
                entries[*at] = (row as u32, entry as u32);
                *at += 1;
            }
        }
        Self { offsets, entries }
    }

    pub fn column(&self, column: usize) -> &[(u32, u32)] {
        &self.entries[self.offsets[column]..self.offsets[column + 1]]
    }
}
