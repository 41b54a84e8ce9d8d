//! Attributes of users and items besides their interactions: categories such as genres or an occupation.

use crate::Vocabulary;
use arrow_array::{Array, RecordBatch, StringArray};
use std::collections::BTreeMap;

/// Columns with more distinct values than this hold names, not categories (titles, addresses).
const MOST_CATEGORIES: usize = 500;

/// Categorical attributes: each user (or item) has a few codes; codes belong to columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes {
    offsets: Vec<usize>,
    codes: Vec<u32>,
    /// Column of each code.
    columns: Vec<u32>,
    /// The meaning of each code, as `column=value`.
    names: Vec<String>,
}

impl Attributes {
    /// Attributes of the ids in `ids` from an item or user table (see [`crate::catalogue::read`]):
    /// every column but the first whose values are categories. One field may hold several values
    /// with `|` between them; ids the table lacks have no codes. `None` when no column is categorical.
    ///
    /// # Panics
    /// Never: the columns of a catalogue table are text.
    #[must_use]
    pub fn from_table(table: &RecordBatch, ids: &Vocabulary) -> Option<Self> {
        let categories = |values: usize| (2..=MOST_CATEGORIES.min(table.num_rows() / 2)).contains(&values);
        Self::of_columns(table, ids, &categories)
    }

    /// All columns of a table, names and numbers among them, as filters ask for.
    ///
    /// # Panics
    /// Never: the columns of a catalogue table are text.
    #[must_use]
    pub fn of_all_columns(table: &RecordBatch, ids: &Vocabulary) -> Option<Self> {
        Self::of_columns(table, ids, &|values| values > 0)
    }

    /// The columns whose number of distinct values is `wanted`.
    fn of_columns(table: &RecordBatch, ids: &Vocabulary, wanted: &dyn Fn(usize) -> bool) -> Option<Self> {
        let text = |column: usize| {
            table
                .column(column)
                .as_any()
                .downcast_ref::<StringArray>()
                .unwrap_or_else(|| panic!("catalogue columns are text"))
        };
        let rows: Vec<Option<u32>> = text(0).iter().map(|id| id.and_then(|id| ids.index(id))).collect();
        let (mut columns, mut names) = (Vec::new(), Vec::new());
        let mut owned: Vec<Vec<u32>> = vec![Vec::new(); ids.len()];
        for column in 1..table.num_columns() {
            let values = text(column);
            let fields = || values.iter().enumerate().filter_map(|(row, field)| Some((rows[row]?, field?)));
            let mut categories: BTreeMap<&str, u32> = BTreeMap::new();
            // All rows of the table define categories, whether or not the log has their ids.
            for part in values.iter().flatten().flat_map(|field| field.split('|')).filter(|p| !p.is_empty()) {
                categories.insert(part, 0);
            }
            if !wanted(categories.len()) {
                continue;
            }
            let place = columns.iter().copied().max().map_or(0, |c: u32| c + 1);
            for (name, code) in &mut categories {
                *code = names.len() as u32;
                names.push(format!("{}={name}", table.schema().field(column).name()));
                columns.push(place);
            }
            for (row, field) in fields() {
                owned[row as usize].extend(field.split('|').filter_map(|part| categories.get(part)));
            }
        }
        if names.is_empty() {
            return None;
        }
        let mut offsets = vec![0];
        let mut codes = Vec::new();
        for mut own in owned {
            own.sort_unstable();
            own.dedup();
            codes.extend(own);
            offsets.push(codes.len());
        }
        Some(Self { offsets, codes, columns, names })
    }

    /// The codes of one user or item; empty for an index out of range.
    #[must_use]
    pub fn of(&self, index: u32) -> &[u32] {
        let index = index as usize;
        if index + 1 < self.offsets.len() {
            &self.codes[self.offsets[index]..self.offsets[index + 1]]
        } else {
            &[]
        }
    }

    /// Number of codes.
    #[must_use]
    pub fn n_codes(&self) -> usize {
        self.columns.len()
    }

    /// The column a code belongs to, counted from 0.
    #[must_use]
    pub fn column(&self, code: u32) -> u32 {
        self.columns[code as usize]
    }

    /// The meaning of a code, for example `genres=Drama`.
    #[must_use]
    pub fn name(&self, code: u32) -> &str {
        &self.names[code as usize]
    }

    /// The meanings of all codes, in code order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Bytes that distinguish these attributes from others.
    pub fn feed(&self, hash: &mut dyn FnMut(&[u8])) {
        self.offsets.iter().for_each(|o| hash(&(*o as u64).to_le_bytes()));
        self.codes.iter().for_each(|c| hash(&c.to_le_bytes()));
        self.columns.iter().for_each(|c| hash(&c.to_le_bytes()));
        self.names.iter().for_each(|n| hash(n.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn categories_by_hand() {
        let column =
            |values: [&str; 4]| Arc::new(StringArray::from(values.to_vec())) as arrow_array::ArrayRef;
        let table = RecordBatch::try_from_iter([
            ("item_id", column(["7", "3", "9", "5"])),
            ("title", column(["A", "B", "C", "D"])),
            ("genres", column(["Drama|Crime", "Drama", "", "Crime"])),
        ])
        .unwrap();
        let ids: Vocabulary = ["3", "7", "8"].into_iter().collect();
        let attributes = Attributes::from_table(&table, &ids).unwrap();
        assert_eq!(attributes.n_codes(), 2, "titles are names, not categories");
        assert_eq!(Attributes::of_all_columns(&table, &ids).unwrap().n_codes(), 6, "filters ask for titles");
        assert_eq!(attributes.of(0), [1]);
        assert_eq!(attributes.of(1), [0, 1]);
        assert!(attributes.of(2).is_empty() && attributes.of(9).is_empty());
        assert_eq!((attributes.name(0), attributes.column(1)), ("genres=Crime", 0));
    }
}
