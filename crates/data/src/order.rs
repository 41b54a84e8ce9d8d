//! Sorts rows by user, time and arrival, and keeps each (user, item, event type, time) once.

use crate::columns::{gather, without};
use crate::{Timestamps, Values};
use rayon::prelude::*;

/// Rows in order of arrival, with final indices; `codes` is empty where the log has no event types.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub users: Vec<u32>,
    pub items: Vec<u32>,
    pub timestamps: Timestamps,
    /// Nanoseconds within the second; empty where no row has any.
    pub fractions: Vec<u32>,
    pub values: Values,
    pub codes: Vec<u32>,
}

impl Columns {
    /// The rows by user (of `n_users`), time and arrival, each (user, item, event type, time) once; the rows
    /// they came from; and how many rows were dropped, all and those with another value than the one kept.
    pub fn sorted(self, n_users: usize) -> (Self, Vec<u32>, usize, usize) {
        let Self { users, items, timestamps, fractions, values, codes } = self;
        let offsets = offsets(&users, n_users);
        let mut order = grouped_rows(&users, &offsets);
        // Users follow from the offsets.
        drop(users);
        per_user(&mut order, &offsets)
            .into_par_iter()
            .for_each_init(Vec::new, |timed, rows| by_time(rows, &timestamps, &fractions, timed));
        let mut sorted =
            Self { users: Vec::new(), items, timestamps, fractions, values, codes }.gathered(&order);
        sorted.users.reserve(order.len());
        offsets.windows(2).enumerate().for_each(|(user, range)| {
            sorted.users.extend(std::iter::repeat_n(user as u32, range[1] - range[0]));
        });

        let repeated: Vec<Repeated> =
            offsets.par_windows(2).flat_map_iter(|range| sorted.repeated(range[0]..range[1])).collect();
        let conflicts = repeated.iter().filter(|row| row.conflicts).count();
        if !repeated.is_empty() {
            let dropped: Vec<u32> = repeated.iter().map(|row| row.place).collect();
            [&mut order, &mut sorted.users, &mut sorted.items, &mut sorted.codes, &mut sorted.fractions]
                .into_iter()
                .for_each(|column| without(column, &dropped));
            sorted.timestamps.drop_rows(&dropped);
            sorted.values.drop_rows(&dropped);
        }
        (sorted, order, repeated.len(), conflicts)
    }

    /// The rows in the order given, one column after the other: each is freed as soon as it is reordered.
    /// Empty columns stay empty.
    fn gathered(self, order: &[u32]) -> Self {
        let Self { users, items, timestamps, fractions, values, codes } = self;
        let column = |old: Vec<u32>| if old.is_empty() { old } else { gather(&old, order) };
        let times = |old: Timestamps| old.gathered(order);
        let numbers = |old: Values| old.gathered(order);
        Self {
            users: column(users),
            items: column(items),
            timestamps: times(timestamps),
            fractions: column(fractions),
            values: numbers(values),
            codes: column(codes),
        }
    }

    /// A row's moment.
    fn moment(&self, row: usize) -> (i64, u32) {
        (self.timestamps.at(row), self.fractions.get(row).copied().unwrap_or(0))
    }

    /// Rows of one user that are repeated later with the same item, event type and time: the last one counts.
    fn repeated(&self, rows: std::ops::Range<usize>) -> Vec<Repeated> {
        let (mut found, mut at_once, mut start) = (Vec::new(), Vec::new(), rows.start);
        while start < rows.end {
            let end =
                (start + 1..rows.end).find(|row| self.moment(*row) != self.moment(start)).unwrap_or(rows.end);
            if end - start > 1 {
                at_once.clear();
                let code = |row: usize| self.codes.get(row).copied().unwrap_or(0);
                at_once.extend((start..end).map(|row| (self.items[row], code(row), row)));
                at_once.sort_unstable();
                for pair in at_once.windows(2).filter(|p| (p[0].0, p[0].1) == (p[1].0, p[1].1)) {
                    let (a, b) = (self.values[pair[0].2], self.values[pair[1].2]);
                    found.push(Repeated {
                        place: pair[0].2 as u32,
                        conflicts: a != b && !(a.is_nan() && b.is_nan()),
                    });
                }
            }
            start = end;
        }
        found.sort_unstable_by_key(|row| row.place);
        found
    }
}

/// A row that is repeated later.
struct Repeated {
    place: u32,
    /// Whether its value differs then.
    conflicts: bool,
}

/// Prefix sums of the rows a key has, for keys `0..n`.
pub(crate) fn offsets(keys: &[u32], n: usize) -> Vec<usize> {
    let mut offsets = vec![0; n + 1];
    for &key in keys {
        offsets[key as usize + 1] += 1;
    }
    for i in 0..n {
        offsets[i + 1] += offsets[i];
    }
    offsets
}

/// Cuts `rows` into one slice per user.
pub(crate) fn per_user<'a, T>(mut rows: &'a mut [T], offsets: &[usize]) -> Vec<&'a mut [T]> {
    let mut parts = Vec::with_capacity(offsets.len().saturating_sub(1));
    for pair in offsets.windows(2) {
        let (head, tail) = rows.split_at_mut(pair[1] - pair[0]);
        parts.push(head);
        rows = tail;
    }
    parts
}

/// Row numbers grouped by user, within a user in order of arrival: a counting sort, in which each of several
/// tasks looks at all rows and places those of a range of users.
fn grouped_rows(users: &[u32], offsets: &[usize]) -> Vec<u32> {
    let n_users = offsets.len() - 1;
    let tasks = rayon::current_num_threads().min(8);
    let mut firsts: Vec<usize> = (0..tasks)
        .map(|task| offsets.partition_point(|offset| *offset < users.len() * task / tasks))
        .collect();
    firsts.push(n_users);
    let bounds: Vec<usize> = firsts.iter().map(|first| offsets[*first]).collect();
    let mut order = vec![0; users.len()];
    per_user(&mut order, &bounds).into_par_iter().zip(firsts.par_windows(2)).zip(&bounds).for_each(
        |((places, range), before)| {
            let mut next: Vec<usize> =
                offsets[range[0]..range[1]].iter().map(|offset| offset - before).collect();
            for (row, user) in users.iter().enumerate() {
                if let Some(next) = next.get_mut((*user as usize).wrapping_sub(range[0])) {
                    places[*next] = row as u32;
                    *next += 1;
                }
            }
        },
    );
    order
}

/// Sorts a user's rows, which are in order of arrival, by time.
fn by_time(rows: &mut [u32], timestamps: &Timestamps, fractions: &[u32], timed: &mut Vec<(i64, u64)>) {
    timed.clear();
    // Nanoseconds and the row share a number: one comparison.
    let fraction =
        |row: u32| fractions.get(row as usize).map_or(0, |nanoseconds| u64::from(*nanoseconds) << 32);
    timed.extend(rows.iter().map(|row| (timestamps.at(*row as usize), fraction(*row) | u64::from(*row))));
    if !timed.is_sorted() {
        timed.sort_unstable();
        rows.iter_mut().zip(timed).for_each(|(row, (_, sorted))| *row = *sorted as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Against a stable sort and a map of the last row of each (user, item, event type, time).
        #[test]
        fn sorted_as_by_a_stable_sort(rows in proptest::collection::vec((0_u32..6, 0_u32..4, 0_i64..5,
            0_u8..4, 0_u32..2, 0_u32..2), 0..80), further in 0_usize..3, fine in any::<bool>(),
            typed in any::<bool>()) {
            // One value in four is none.
            let value = |code: u8| if code == 0 { f32::NAN } else { f32::from(code) };
            // Half of the logs have fractions of a second, and half have event types.
            let rows: Vec<_> = rows.into_iter().map(|(user, item, time, code, fraction, event)| {
                (user, item, time, code, if fine { fraction } else { 0 }, if typed { event } else { 0 })
            }).collect();
            let columns = Columns {
                users: rows.iter().map(|row| row.0).collect(),
                items: rows.iter().map(|row| row.1).collect(),
                timestamps: rows.iter().map(|row| row.2).collect(),
                fractions: if fine { rows.iter().map(|row| row.4).collect() } else { Vec::new() },
                values: rows.iter().map(|row| value(row.3)).collect(),
                codes: if typed { rows.iter().map(|row| row.5).collect() } else { Vec::new() },
            };
            let mut expected: Vec<usize> = (0..rows.len()).collect();
            expected.sort_by_key(|row| (rows[*row].0, rows[*row].2, rows[*row].4));
            let mut last: HashMap<(u32, u32, i64, u32, u32), usize> = HashMap::new();
            let (mut dropped, mut conflicts) = (Vec::new(), 0);
            for row in &expected {
                let (user, item, time, code, fraction, event) = rows[*row];
                if let Some(earlier) = last.insert((user, item, time, fraction, event), *row) {
                    dropped.push(earlier);
                    conflicts += usize::from(rows[earlier].3 != code);
                }
            }
            expected.retain(|row| !dropped.contains(row));

            let (sorted, order, repeated, found) = columns.sorted(6 + further);
            prop_assert_eq!((repeated, found), (dropped.len(), conflicts));
            prop_assert_eq!(order.iter().map(|row| *row as usize).collect::<Vec<_>>(), expected.clone());
            for (place, row) in expected.iter().enumerate() {
                let (user, item, time, code, fraction, event) = rows[*row];
                prop_assert_eq!((sorted.users[place], sorted.items[place], sorted.moment(place)),
                    (user, item, (time, fraction)));
                prop_assert_eq!(sorted.codes.get(place).copied().unwrap_or(0), event);
                prop_assert_eq!(sorted.values[place].to_bits(), value(code).to_bits());
            }
            prop_assert_eq!([sorted.users.len(), sorted.items.len(), sorted.timestamps.len(),
                sorted.values.len()], [expected.len(); 4]);
        }
    }
}
