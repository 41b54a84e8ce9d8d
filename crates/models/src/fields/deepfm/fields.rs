//! The features of an example, by field.

use crate::engine::codes::Codes;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::{FitContext, Result};
use foretaste_data::{Attributes, Histories, TimeSlice};

const HOURS: usize = 24;
const WEEKDAYS: usize = 7;

/// Attribute codes and their columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Columns {
    pub codes: Codes,
    pub of_code: Vec<u32>,
    pub n: usize,
}

impl Columns {
    fn new(attributes: Option<&Attributes>, owners: usize) -> Self {
        let of_code: Vec<u32> =
            attributes.map_or(Vec::new(), |a| (0..a.n_codes() as u32).map(|code| a.column(code)).collect());
        Self {
            codes: Codes::new(attributes, owners),
            n: of_code.iter().max().map_or(0, |c| *c as usize + 1),
            of_code,
        }
    }

    fn tensors(&self, name: &str) -> [NamedTensor; 3] {
        [
            NamedTensor::integers(
                &format!("{name}_code_offsets"),
                self.codes.offsets.iter().map(|n| *n as i64),
            ),
            NamedTensor::integers(&format!("{name}_codes"), self.codes.ids.iter().map(|n| i64::from(*n))),
            NamedTensor::integers(&format!("{name}_columns"), self.of_code.iter().map(|n| i64::from(*n))),
        ]
    }

    fn restore(name: &str, tensors: &Tensors) -> Result<Self> {
        let of_code: Vec<u32> =
            tensors.integers(&format!("{name}_columns"))?.into_iter().map(|n| n as u32).collect();
        let codes = Codes {
            offsets: tensors
                .integers(&format!("{name}_code_offsets"))?
                .into_iter()
                .map(|n| n as usize)
                .collect(),
            ids: tensors.integers(&format!("{name}_codes"))?.into_iter().map(|n| n as u32).collect(),
            n: of_code.len(),
        };
        Ok(Self { codes, n: of_code.iter().max().map_or(0, |c| *c as usize + 1), of_code })
    }
}

/// Positions of each field's features. Ids have one more feature: the unknown user's, the unknown item's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fields {
    pub users: usize,
    pub items: usize,
    user_columns: Columns,
    item_columns: Columns,
    calendar: bool,
    pub recent: usize,
}

/// Features of several parts, each with the fields of one kind: user, item, time, or recent items.
#[derive(Debug, Clone, Default)]
pub(super) struct Features {
    /// Features and their values.
    pub entries: Vec<(u32, f32)>,
    /// For each field of each part the end of its entries.
    pub ends: Vec<usize>,
}

impl Features {
    pub fn clear(&mut self) {
        self.entries.clear();
        self.ends.clear();
    }

    fn close(&mut self) {
        self.ends.push(self.entries.len());
    }

    /// Each field's entries.
    pub fn fields(&self) -> impl Iterator<Item = &[(u32, f32)]> {
        self.ends.iter().scan(0, |from, end| Some(&self.entries[std::mem::replace(from, *end)..*end]))
    }

    /// A field for each column.
    fn columns(&mut self, columns: &Columns, owner: usize, first: usize) {
        let codes = columns.codes.of(owner);
        for column in 0..columns.n as u32 {
            let from = self.entries.len();
            let own = codes.iter().filter(|code| columns.of_code[**code as usize] == column);
            self.entries.extend(own.map(|code| (first as u32 + code, 1.0)));
            self.share(from);
        }
    }

    /// Divides a field's weight among its entries, and ends the field.
    fn share(&mut self, from: usize) {
        let weight = 1.0 / (self.entries.len() - from).max(1) as f32;
        self.entries[from..].iter_mut().for_each(|(_, x)| *x = weight);
        self.close();
    }
}

impl Fields {
    pub fn new(settings: &super::Settings, train: &Histories, context: &FitContext) -> Self {
        let known = |attributes: Option<&'_ Attributes>, owners: usize| {
            Columns::new(attributes.filter(|_| settings.metadata), owners)
        };
        Self {
            users: train.n_users(),
            items: train.n_items(),
            user_columns: known(context.user_attributes, train.n_users()),
            item_columns: known(context.item_attributes, train.n_items()),
            calendar: settings.calendar,
            recent: settings.recent,
        }
    }

    pub fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors =
            vec![NamedTensor::integers("sizes", [self.users, self.items].into_iter().map(|n| n as i64))];
        tensors.extend(self.user_columns.tensors("user"));
        tensors.extend(self.item_columns.tensors("item"));
        tensors
    }

    pub fn restore(settings: &super::Settings, tensors: &Tensors) -> Result<Self> {
        let sizes = tensors.integers("sizes")?;
        let [users, items] = sizes[..] else {
            return Err(crate::ModelError::Saved {
                path: tensors.path().into(),
                reason: "tensor \"sizes\" has not the two sizes it should have".into(),
            });
        };
        Ok(Self {
            users: users as usize,
            items: items as usize,
            user_columns: Columns::restore("user", tensors)?,
            item_columns: Columns::restore("item", tensors)?,
            calendar: settings.calendar,
            recent: settings.recent,
        })
    }

    /// Numbers of fields of a user, of an item, of a time, and of recent items.
    pub fn counts(&self) -> [usize; 4] {
        [
            1 + self.user_columns.n,
            1 + self.item_columns.n,
            2 * usize::from(self.calendar),
            usize::from(self.recent > 0),
        ]
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.counts().iter().sum()
    }

    /// First feature of users' codes, items, items' codes, the calendar, recent items; and the number of
    /// features.
    fn starts(&self) -> [usize; 6] {
        let calendar = if self.calendar { HOURS + WEEKDAYS } else { 0 };
        let recent = if self.recent > 0 { self.items } else { 0 };
        let mut starts = [self.users + 1; 6];
        for (at, n) in
            [self.user_columns.codes.n, self.items + 1, self.item_columns.codes.n, calendar, recent]
                .into_iter()
                .enumerate()
        {
            starts[at + 1] = starts[at] + n;
        }
        starts
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.starts()[5]
    }

    /// The features of the users' ids, the unknown one's last; and of the items'.
    pub fn ids(&self) -> [std::ops::Range<usize>; 2] {
        let item = self.starts()[1];
        [0..self.users + 1, item..item + self.items + 1]
    }

    /// A user's fields; an index out of range is the unknown user.
    pub fn user(&self, user: u32, out: &mut Features) {
        let user = (user as usize).min(self.users);
        out.entries.push((user as u32, 1.0));
        out.close();
        out.columns(&self.user_columns, user, self.starts()[0]);
    }

    /// An item's fields; an index out of range is the unknown item.
    pub fn item(&self, item: u32, out: &mut Features) {
        let item = (item as usize).min(self.items);
        let starts = self.starts();
        out.entries.push(((starts[1] + item) as u32, 1.0));
        out.close();
        out.columns(&self.item_columns, item, starts[2]);
    }

    /// A time's fields.
    pub fn time(&self, timestamp: i64, out: &mut Features) {
        if self.calendar {
            let start = self.starts()[3];
            let hour = timestamp.rem_euclid(86_400) / 3600;
            // Day 0 was a Thursday; Monday is weekday 0.
            let weekday = (timestamp.div_euclid(86_400) + 3).rem_euclid(7);
            out.entries.push(((start + hour as usize) as u32, 1.0));
            out.close();
            out.entries.push(((start + HOURS + weekday as usize) as u32, 1.0));
            out.close();
        }
    }

    /// The field of a user's newest items before `timestamp`, of rows in time order.
    pub fn before(&self, items: &[u32], timestamps: TimeSlice, timestamp: i64, out: &mut Features) {
        if self.recent > 0 {
            let (start, from) = (self.starts()[4], out.entries.len());
            let past = timestamps.partition_point(|t| t < timestamp);
            let newest = items[past.saturating_sub(self.recent)..past]
                .iter()
                .filter(|item| (**item as usize) < self.items);
            out.entries.extend(newest.map(|item| (start as u32 + item, 1.0)));
            out.share(from);
        }
    }
}
