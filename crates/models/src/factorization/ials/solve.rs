//! One row's least-squares problem `(A + penalty I) w = b`, exactly and by conjugate gradients.

use crate::engine::kernels::{Matrix, add, add_outer, add_rows, dot, product};
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// `weight X'X` of a row-major matrix with `width` columns.
pub(super) fn gram(rows: &[f32], width: usize, weight: f32) -> Vec<f32> {
    let mut gram = product(Matrix::new(rows, width).t(), Matrix::new(rows, width));
    gram.iter_mut().for_each(|v| *v *= weight);
    gram
}

/// A system that grows row by row: `A = sum c h h' + A_0`, `b = sum c h`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct System {
    matrix: Vec<f32>,
    right: Vec<f32>,
}

impl System {
    /// From `A_0`, `[n, n]`.
    pub fn new(matrix: Vec<f32>, n: usize) -> Self {
        Self { matrix, right: vec![0.0; n] }
    }

    /// Whether it has `n` unknowns.
    pub fn fits(&self, n: usize) -> bool {
        self.right.len() == n && self.matrix.len() == n * n
    }

    /// One more row.
    pub fn add(&mut self, row: &[f32], weight: f32) {
        let n = row.len();
        // The lower triangle is all that is read.
        self.matrix
            .chunks_exact_mut(n)
            .enumerate()
            .for_each(|(at, out)| add(&mut out[..=at], &row[..=at], weight * row[at]));
        add(&mut self.right, row, weight);
    }

    /// The solution under a penalty above 0.
    pub fn solve(&self, penalty: f32) -> Vec<f32> {
        let n = self.right.len();
        if self.right.iter().all(|b| *b == 0.0) {
            return vec![0.0; n];
        }
        let matrix = Mat::from_fn(n, n, |row, column| {
            self.matrix[row * n + column] + if row == column { penalty } else { 0.0 }
        });
        let Ok(factored) = matrix.llt(Side::Lower) else { return vec![0.0; n] };
        let right = Mat::from_fn(n, 1, |row, _| self.right[row]);
        let solved = factored.solve(&right);
        (0..n).map(|row| solved[(row, 0)]).collect()
    }
}

/// Working space of conjugate gradients.
#[derive(Default)]
pub(super) struct Space {
    /// The `h`, gathered, because they are read in every step.
    gathered: Vec<f32>,
    rows: Vec<(u32, f32)>,
    residual: Vec<f32>,
    direction: Vec<f32>,
    image: Vec<f32>,
}

/// One row's problem, implicitly: `A = sum c h h' + gram`, `rows` the places of the `h` in `table`
/// with their `c`.
pub(super) struct Problem<'a> {
    pub gram: &'a [f32],
    pub penalty: f32,
    pub table: &'a [f32],
    pub rows: &'a [(u32, f32)],
}

impl Problem<'_> {
    /// `out = (A + penalty I) x - target b` with `b = sum c h`, the `h` from `gathered`.
    fn apply(&self, gathered: &[f32], rows: &[(u32, f32)], x: &[f32], target: f32, out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = self.penalty * x);
        // The Gram matrix is its own transpose.
        add_rows(self.gram, x, out);
        add_outer(gathered, rows, x, target, out);
    }

    /// Moves `x` by this many steps of conjugate gradients towards the solution, fewer if the residual has
    /// fallen to `enough` of what it was.
    pub fn descend(&self, steps: usize, enough: f32, x: &mut [f32], space: &mut Space) {
        let (k, Space { gathered, rows, residual, direction, image }) = (x.len(), space);
        gathered.clear();
        self.rows.iter().for_each(|(row, _)| {
            gathered.extend_from_slice(&self.table[*row as usize * k..(*row as usize + 1) * k]);
        });
        rows.clear();
        rows.extend(self.rows.iter().enumerate().map(|(at, (_, weight))| (at as u32, *weight)));
        image.resize(k, 0.0);
        residual.resize(k, 0.0);
        self.apply(gathered, rows, x, 1.0, residual);
        residual.iter_mut().for_each(|r| *r = -*r);
        direction.clone_from(residual);
        let mut length = dot(residual, residual);
        let bar = enough * enough * length;
        for _ in 0..steps {
            if length <= bar || length < 1e-20 {
                return;
            }
            self.apply(gathered, rows, direction, 0.0, image);
            let step = length / dot(direction, image);
            add(x, direction, step);
            add(residual, image, -step);
            let next = dot(residual, residual);
            direction.iter_mut().zip(&*residual).for_each(|(d, r)| *d = r + next / length * *d);
            length = next;
        }
    }
}
