//! One row's least-squares problem `(A + penalty I) w = b`, exactly and by conjugate gradients.

use crate::kernels::{Matrix, add, dot, product};
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// `weight X'X` of a row-major matrix with `width` columns.
pub(super) fn gram(rows: &[f32], width: usize, weight: f32) -> Vec<f32> {
    let mut gram = product(Matrix::new(rows, width).t(), Matrix::new(rows, width));
    gram.iter_mut().for_each(|v| *v *= weight);
    gram
}

/// A system that grows row by row: `A = sum c h h' + A_0`, `b = sum c h`.
pub(super) struct System {
    matrix: Vec<f32>,
    right: Vec<f32>,
}

impl System {
    /// From `A_0`, `[n, n]`.
    pub fn new(matrix: Vec<f32>, n: usize) -> Self {
        Self { matrix, right: vec![0.0; n] }
    }

    /// One more row.
    pub fn add(&mut self, row: &[f32], weight: f32) {
        let n = row.len();
        // The lower triangle is all that is read.
        self.matrix.chunks_exact_mut(n).enumerate().for_each(|(at, out)| add(&mut out[..=at], &row[..=at], weight * row[at]));
        add(&mut self.right, row, weight);
    }

    /// The solution under a penalty above 0.
    pub fn solve(&self, penalty: f32) -> Vec<f32> {
        let n = self.right.len();
        if self.right.iter().all(|b| *b == 0.0) {
            return vec![0.0; n];
        }
        let matrix = Mat::from_fn(n, n, |row, column| self.matrix[row * n + column] + if row == column { penalty } else { 0.0 });
        let Ok(factored) = matrix.llt(Side::Lower) else { return vec![0.0; n] };
        let right = Mat::from_fn(n, 1, |row, _| self.right[row]);
        let solved = factored.solve(&right);
        (0..n).map(|row| solved[(row, 0)]).collect()
    }
}

/// Working space of conjugate gradients.
#[derive(Default)]
pub(super) struct Space {
    residual: Vec<f32>,
    direction: Vec<f32>,
    image: Vec<f32>,
}

/// `out = (A + penalty I) x` with `A = sum c h h' + gram`, `rows` the `h` with their `c`.
fn apply<'a>(gram: &[f32], penalty: f32, rows: impl Iterator<Item = (&'a [f32], f32)>, x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(gram.chunks_exact(x.len())).zip(x).for_each(|((out, row), x_i)| *out = dot(row, x) + penalty * x_i);
    rows.for_each(|(row, weight)| add(out, row, weight * dot(row, x)));
}

/// Moves `x` by so many steps of conjugate gradients towards the solution.
pub(super) fn descend<'a, R: Iterator<Item = (&'a [f32], f32)>>(
    gram: &[f32],
    penalty: f32,
    rows: impl Fn() -> R,
    steps: usize,
    x: &mut [f32],
    space: &mut Space,
) {
    let Space { residual, direction, image } = space;
    [&mut *residual, &mut *image].into_iter().for_each(|v| v.resize(x.len(), 0.0));
    // The residual b - (A + penalty I) x.
    apply(gram, penalty, rows(), x, image);
    residual.iter_mut().zip(&*image).for_each(|(r, v)| *r = -v);
    rows().for_each(|(row, weight)| add(residual, row, weight));
    direction.clone_from(residual);
    let mut length = dot(residual, residual);
    for _ in 0..steps {
        if length < 1e-20 {
            return;
        }
        apply(gram, penalty, rows(), direction, image);
        let step = length / dot(direction, image);
        add(x, direction, step);
        add(residual, image, -step);
        let next = dot(residual, residual);
        direction.iter_mut().zip(&*residual).for_each(|(d, r)| *d = r + next / length * *d);
        length = next;
    }
}
