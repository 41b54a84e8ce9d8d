//! One side's time steps, and the ratings in each.

use super::{Scale, step_day};
use foretaste_data::{Histories, ValueSlice};
use rayon::prelude::*;

/// Steps of all users (or items), each one's in time order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Steps {
    /// One offset per user (or item) into the steps.
    pub offsets: Vec<usize>,
    /// First day of each step.
    pub days: Vec<i32>,
    /// One offset per step into the ratings.
    ratings: Vec<usize>,
    /// Training row of each rating, in step order.
    pub rows: Vec<u32>,
    /// Step of each training row.
    pub of_row: Vec<u32>,
}

impl Steps {
    /// Steps of `days` days over the training rows, whose owners are `owners`.
    pub fn new(train: &Histories, owners: &[u32], n_owners: usize, days: usize) -> Self {
        let mut order: Vec<u32> = (0..train.len() as u32).collect();
        order.par_sort_by_key(|row| (owners[*row as usize], train.timestamps().at(*row as usize)));
        let mut steps = Self {
            offsets: vec![0; n_owners + 1],
            days: Vec::new(),
            ratings: Vec::new(),
            rows: order,
            of_row: vec![0; train.len()],
        };
        let mut last = None;
        for (at, row) in steps.rows.iter().enumerate() {
            let (owner, day) = (owners[*row as usize], step_day(train.timestamps().at(*row as usize), days));
            if last.replace((owner, day)) != Some((owner, day)) {
                steps.days.push(day);
                steps.ratings.push(at);
                steps.offsets[owner as usize + 1] += 1;
            }
            steps.of_row[*row as usize] = steps.days.len() as u32 - 1;
        }
        steps.ratings.push(train.len());
        for owner in 0..n_owners {
            steps.offsets[owner + 1] += steps.offsets[owner];
        }
        steps
    }

    /// Training rows of a step.
    pub fn rows(&self, step: u32) -> &[u32] {
        &self.rows[self.ratings[step as usize]..self.ratings[step as usize + 1]]
    }

    /// The steps as histories whose items are step numbers, for batches of sequences.
    pub fn sequences(&self) -> Histories {
        let n = self.days.len();
        let times = self.days.iter().map(|d| i64::from(*d) * 86_400).collect::<Vec<i64>>();
        Histories::new(self.offsets.clone(), (0..n as u32).collect(), vec![0.0; n], times, n)
    }
}

/// The network's inputs from the training rows.
pub(super) struct Ratings<'a> {
    pub users: Vec<u32>,
    pub items: &'a [u32],
    values: ValueSlice<'a>,
    scale: Scale,
}

impl<'a> Ratings<'a> {
    pub fn new(train: &'a Histories, scale: Scale) -> Self {
        Self { users: train.row_users(), items: train.items(), values: train.values(), scale }
    }

    /// A row's rating less the mean.
    pub fn target(&self, row: u32) -> f32 {
        self.values[row as usize] - self.scale.mean
    }

    /// A row's rating, standardized.
    pub fn value(&self, row: u32) -> f32 {
        self.scale.standardize(self.values[row as usize])
    }
}
