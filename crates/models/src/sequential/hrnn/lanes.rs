//! Histories side by side: a group of lanes, in which the filter works on eight users with one instruction.
//! Short histories share a lane, one after the other.

use super::Shape;
use foretaste_data::Histories;

/// Lanes of a group.
pub(super) const LANES: usize = 8;

/// One value for each lane, as one vector: loops over arrays become scalar code as soon as the compiler has
/// taken them apart.
pub(super) type Lane = wide::f32x8;

/// A lane each, by its number.
#[inline(always)]
#[allow(clippy::inline_always)] // A call would cost more than it does.
pub(super) fn each(of: impl Fn(usize) -> f32) -> Lane {
    // Not `from_fn` or `map`: they stay calls.
    Lane::new([of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7)])
}

/// Marks an entry without a row.
pub(super) const NO_ROW: u32 = u32::MAX;

/// A history's place in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub user: u32,
    /// Its first row.
    pub from: usize,
    pub len: usize,
    pub lane: usize,
    /// The step of its first row.
    pub step: usize,
}

impl Piece {
    /// The entry of its row number `n`.
    pub fn entry(&self, n: usize) -> usize {
        (self.step + n) * LANES + self.lane
    }
}

/// The histories of a group.
pub(super) type Plan = Vec<Piece>;

/// Number of rows of a plan.
pub(super) fn rows_of(plan: &Plan) -> usize {
    plan.iter().map(|piece| piece.len).sum()
}

/// Number of steps of a plan.
pub(super) fn height_of(plan: &Plan) -> usize {
    plan.iter().map(|piece| piece.step + piece.len).max().unwrap_or(0)
}

/// Deals the histories of `users` out to groups: as many side by side as there are lanes, of nearly the same
/// length, so that hardly an entry is empty; short ones in rows one after the other, up to `height` steps. A
/// row of more than `most` ratings has as few lanes as it can.
pub(super) fn deal(train: &Histories, users: &[u32], height: usize, most: usize) -> Vec<Plan> {
    let len = |user: u32| train.range(user).len();
    let mut users = users.to_vec();
    users.sort_by_key(|user| std::cmp::Reverse(len(*user)));
    let mut plans: Vec<Plan> = Vec::new();
    let (mut step, mut rest) = (height, &users[..]);
    while let Some(longest) = rest.first().map(|user| len(*user)) {
        if step + longest > height {
            plans.push(Plan::new());
            step = 0;
        }
        let lanes = LANES.min((most / longest.max(1)).max(1)).min(rest.len());
        let row;
        (row, rest) = rest.split_at(lanes);
        let pieces = row.iter().enumerate().map(|(lane, user)| {
            let rows = train.range(*user);
            Piece { user: *user, from: rows.start, len: rows.len(), lane, step }
        });
        plans.last_mut().unwrap_or_else(|| unreachable!("one was pushed")).extend(pieces);
        step += longest;
    }
    plans
}

/// What the filter reads of a group, and the gradients that it leaves: `steps * LANES` entries in each
/// column, an entry's numbers side by side.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub pieces: Plan,
    pub steps: usize,
    /// The row of each entry, or [`NO_ROW`].
    pub rows: Vec<u32>,
    pub items: Vec<u32>,
    /// Class of the idle gap since the last row that was taken in.
    pub gaps: Vec<u8>,
    /// The part of the log's time.
    pub bins: Vec<u16>,
    /// Whether a history begins here.
    pub first: Vec<bool>,
    pub values: Vec<f32>,
    /// 1 where the rating is taken into the state, else 0.
    pub take: Vec<f32>,
    /// Weight in the loss.
    pub weights: Vec<f32>,
    /// What is expected without the user.
    pub base: Vec<f32>,
    /// Variance of the item's noise.
    pub noise: Vec<f32>,
    /// Draws of the items' biases, in standard deviations.
    pub draws: Vec<f32>,
    /// The item's `(c, q)`, `[1 + tastes]`; back from the filter, the gradient.
    pub vectors: Vec<f32>,
    /// What the item adds to the bag, `[1 + tastes]`; back from the filter, the gradient.
    pub bags: Vec<f32>,
    /// What attributes say of the user, `[1 + tastes]`, at first rows; back from the filter, the gradient.
    pub priors: Vec<f32>,
    /// What attributes say of the item's kind, `[kinds]`; back from the filter, the gradient.
    pub kinds: Vec<f32>,
    /// Gradient by the logarithm of the noise.
    pub noise_gradient: Vec<f32>,
    /// Sum of the weighted squared errors.
    pub squares: f64,
}

impl Group {
    /// Lays a plan's rows out. What depends on parameters, draws and gaps is left to others.
    pub fn lay(&mut self, train: &Histories, shape: Shape, plan: &Plan) {
        self.pieces.clone_from(plan);
        self.steps = height_of(plan);
        let (n, k) = (self.steps * LANES, shape.item());
        let fill = |column: &mut Vec<f32>, value: f32, width: usize| {
            column.clear();
            column.resize(n * width, value);
        };
        for column in [&mut self.take, &mut self.weights, &mut self.base, &mut self.draws] {
            fill(column, 0.0, 1);
        }
        fill(&mut self.noise, 1.0, 1);
        fill(&mut self.values, 0.0, 1);
        fill(&mut self.noise_gradient, 0.0, 1);
        for column in [&mut self.vectors, &mut self.bags, &mut self.priors] {
            fill(column, 0.0, k);
        }
        fill(&mut self.kinds, 0.0, shape.kinds);
        self.rows.clear();
        self.rows.resize(n, NO_ROW);
        self.items.clear();
        self.items.resize(n, 0);
        self.gaps.clear();
        self.gaps.resize(n, 0);
        self.bins.clear();
        self.bins.resize(n, 0);
        self.first.clear();
        self.first.resize(n, true);
        for piece in plan {
            for n in 0..piece.len {
                let (entry, row) = (piece.entry(n), piece.from + n);
                self.rows[entry] = row as u32;
                self.items[entry] = train.items()[row];
                self.values[entry] = train.values()[row];
                self.first[entry] = n == 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histories(lengths: &[usize]) -> Histories {
        let mut offsets = vec![0];
        lengths.iter().for_each(|n| offsets.push(offsets[offsets.len() - 1] + n));
        let n = offsets[lengths.len()];
        Histories::new(offsets, vec![0; n], vec![1.0; n], (0..n as i64).collect::<Vec<_>>(), 1)
    }

    #[test]
    fn every_row_has_one_place() {
        let lengths: Vec<usize> = (0..200).map(|n| n * 37 % 91 + n / 190 * 900).collect();
        let train = histories(&lengths);
        let users: Vec<u32> = (0..200).filter(|user| lengths[*user as usize] > 0).collect();
        let plans = deal(&train, &users, 64, 2000);
        let mut seen = vec![0; train.len()];
        for plan in &plans {
            let mut group = Group::default();
            group.lay(&train, Shape { levels: 1, tastes: 2, gaps: 2, kinds: 0, hidden: 0, bend: 0 }, plan);
            assert!(plan.iter().all(|piece| piece.lane < LANES));
            let rows: Vec<u32> = group.rows.iter().copied().filter(|row| *row != NO_ROW).collect();
            assert_eq!(rows.len(), rows_of(plan), "no two rows share an entry");
            rows.iter().for_each(|row| seen[*row as usize] += 1);
            let alone = plan.iter().map(|piece| piece.lane).max() == Some(0);
            assert!(alone || rows.len() <= 2000);
        }
        assert!(seen.iter().all(|n| *n == 1));
        assert!(plans.len() < 40, "{} groups", plans.len());
    }
}
