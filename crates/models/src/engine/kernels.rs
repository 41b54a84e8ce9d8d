//! Vector arithmetic and dense products, compiled for the current processor: in one order on all of
//! them, except for the dense products, whose order is the gemm crate's for the processor.

use gemm::Parallelism;
use multiversion::multiversion;

/// `to += weight from`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(crate) fn add(to: &mut [f32], from: &[f32], weight: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += weight * from;
    }
}

/// Sum of sixteen numbers: halves are added, then halves of these, and so on.
#[inline(always)]
#[allow(clippy::inline_always)] // A call would move the sums out of registers.
fn halved(s: [f32; 16]) -> f32 {
    let (mut eight, mut four) = ([0.0; 8], [0.0; 4]);
    for i in 0..8 {
        eight[i] = s[i] + s[i + 8];
    }
    for i in 0..4 {
        four[i] = eight[i] + eight[i + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Inner product, in 32 running sums.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 32];
    let ((a32, a_rest), (b32, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    for (x, y) in a32.iter().zip(b32) {
        for lane in 0..32 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    let mut sixteen = [0.0; 16];
    for i in 0..16 {
        sixteen[i] = sums[i] + sums[i + 16];
    }
    halved(sixteen) + rest
}

/// `out += sum_r weight_r row_r (row_r . x - target)` over the rows of `table` (each as long as `x`) that
/// `rows` names, four at a time.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(crate) fn add_outer(table: &[f32], rows: &[(u32, f32)], x: &[f32], target: f32, out: &mut [f32]) {
    let k = x.len();
    let (whole, rest) = rows.as_chunks::<4>();
    let (x16, x_rest) = x.as_chunks::<16>();
    let out = &mut out[..k];
    for four in whole {
        let [a, b, c, d] = four.map(|(row, _)| &table[row as usize * k..][..k]);
        let mut lanes = [[0.0_f32; 16]; 4];
        let rows = a
            .as_chunks::<16>()
            .0
            .iter()
            .zip(b.as_chunks::<16>().0)
            .zip(c.as_chunks::<16>().0.iter().zip(d.as_chunks::<16>().0));
        for (x, ((a, b), (c, d))) in x16.iter().zip(rows) {
            for lane in 0..16 {
                lanes[0][lane] += a[lane] * x[lane];
                lanes[1][lane] += b[lane] * x[lane];
                lanes[2][lane] += c[lane] * x[lane];
                lanes[3][lane] += d[lane] * x[lane];
            }
        }
        let from = k - x_rest.len();
        let weight = |r: usize, row: &[f32]| {
            (halved(lanes[r]) + row[from..].iter().zip(x_rest).map(|(v, x)| v * x).sum::<f32>() - target)
                * four[r].1
        };
        let (wa, wb, wc, wd) = (weight(0, a), weight(1, b), weight(2, c), weight(3, d));
        for (((out, a), b), (c, d)) in out.iter_mut().zip(a).zip(b).zip(c.iter().zip(d)) {
            *out += wa * a + wb * b + (wc * c + wd * d);
        }
    }
    for (row, weight) in rest {
        let row = &table[*row as usize * k..(*row as usize + 1) * k];
        add(out, row, weight * (dot(row, x) - target));
    }
}

/// `out += x' matrix`, with a row of `matrix` (each as long as `out`) for each of `x`, four at a time.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(crate) fn add_rows(matrix: &[f32], x: &[f32], out: &mut [f32]) {
    let k = out.len();
    let (whole, rest) = x.as_chunks::<4>();
    let (fours, single) = matrix.split_at(4 * k * whole.len());
    for (x, rows) in whole.iter().zip(fours.chunks_exact(4 * k)) {
        let ((a, b), (c, d)) = (rows[..2 * k].split_at(k), rows[2 * k..].split_at(k));
        for (((out, a), b), (c, d)) in out.iter_mut().zip(a).zip(b).zip(c.iter().zip(d)) {
            *out += x[0] * a + x[1] * b + (x[2] * c + x[3] * d);
        }
    }
    for (x, row) in rest.iter().zip(single.chunks_exact(k)) {
        add(out, row, *x);
    }
}

/// One Adam step of a row of values, given its gradient.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(crate) fn adam(
    value: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    rate: f32,
    (c1, c2): (f32, f32),
) {
    const B1: f32 = crate::engine::optimizer::BETA_1;
    const B2: f32 = crate::engine::optimizer::BETA_2;
    for (((value, first), second), g) in value.iter_mut().zip(first).zip(second).zip(gradient) {
        *first = *first * B1 + g * (1.0 - B1);
        *second = *second * B2 + g * g * (1.0 - B2);
        *value -= rate * (*first * c1 / ((*second * c2).sqrt() + crate::engine::optimizer::EPSILON));
    }
}

/// One step of gradient descent with momentum of a row of values.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(crate) fn descend(value: &mut [f32], first: &mut [f32], gradient: &[f32], rate: f32, momentum: f32) {
    for ((value, first), g) in value.iter_mut().zip(first).zip(gradient) {
        *first = *first * momentum + g;
        *value -= rate * *first;
    }
}

/// A part of a row-major matrix: `columns` columns from the first of `values` on, rows `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub stride: usize,
    pub transposed: bool,
}

impl<'a> Matrix<'a> {
    /// A whole matrix.
    pub fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, rows: values.len() / columns.max(1), columns, stride: columns, transposed: false }
    }

    /// Columns `from..from + columns` of a matrix whose rows are `stride` long.
    pub fn part(values: &'a [f32], stride: usize, from: usize, columns: usize) -> Self {
        Self { values: &values[from..], rows: values.len() / stride, columns, stride, transposed: false }
    }

    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn shape(self) -> (usize, usize) {
        if self.transposed { (self.columns, self.rows) } else { (self.rows, self.columns) }
    }

    /// Strides from one column to the next and from one row to the next.
    fn strides(self) -> (isize, isize) {
        let stride = self.stride as isize;
        if self.transposed { (stride, 1) } else { (1, stride) }
    }

    /// Whether every entry lies within `values`.
    fn fits(self) -> bool {
        self.rows == 0
            || self.columns == 0
            || (self.rows - 1) * self.stride + self.columns <= self.values.len()
    }
}

/// `out = a b`, or `out += a b`, on this thread; `out`'s rows are `stride` apart.
pub(crate) fn product_into(out: &mut [f32], stride: usize, a: Matrix, b: Matrix, accumulate: bool) {
    multiply(out, stride, a, b, accumulate, Parallelism::None);
}

/// `a b`, on all threads of the current pool.
pub(crate) fn product(a: Matrix, b: Matrix) -> Vec<f32> {
    let n = b.shape().1;
    let mut out = vec![0.0; a.shape().0 * n];
    multiply(&mut out, n, a, b, false, Parallelism::Rayon(0));
    out
}

fn multiply(
    out: &mut [f32],
    stride: usize,
    a: Matrix,
    b: Matrix,
    accumulate: bool,
    parallelism: Parallelism,
) {
    let ((m, k), (inner, n)) = (a.shape(), b.shape());
    assert!(k == inner && a.fits() && b.fits(), "sizes agree");
    if m == 0 || n == 0 {
        return;
    }
    assert!((m - 1) * stride + n <= out.len(), "the product fits");
    let ((a_columns, a_rows), (b_columns, b_rows)) = (a.strides(), b.strides());
    // SAFETY: by the assertions above the pointers cover `m x k`, `k x n` and `m x n` values at the
    // strides given; `out` overlaps neither input, since it is borrowed mutably.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            accumulate,
            a.values.as_ptr(),
            a_columns,
            a_rows,
            b.values.as_ptr(),
            b_columns,
            b_rows,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_by_hand() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]);
        // [1 2 3; 4 5 6] times [1 0; 2 1; 0 3].
        assert_eq!(product(Matrix::new(&a, 3), Matrix::new(&b, 2)), [5.0, 11.0, 14.0, 23.0]);
        // [1 4; 2 5; 3 6] times [1 0 2; 1 0 3].
        assert_eq!(
            product(Matrix::new(&a, 3).t(), Matrix::new(&b, 3)),
            [5.0, 0.0, 14.0, 7.0, 0.0, 19.0, 9.0, 0.0, 24.0]
        );
        assert_eq!(product(Matrix::new(&a, 3), Matrix::new(&b, 3).t()), [7.0, 10.0, 16.0, 22.0]);
        let long: Vec<f32> = (0..70).map(|i| i as f32).collect();
        assert_eq!(dot(&long, &long), 111_895.0);
    }

    #[test]
    fn outer_products_equal_the_direct_way() {
        let k = 37;
        let table: Vec<f32> = (0..9 * k).map(|i| (i as f32 * 0.3).sin()).collect();
        let x: Vec<f32> = (0..k).map(|i| (i as f32 * 0.7).cos()).collect();
        let rows: Vec<(u32, f32)> =
            [3, 0, 8, 1, 3, 5, 2].into_iter().enumerate().map(|(at, row)| (row, at as f32 - 2.0)).collect();
        let mut out = vec![1.0; k];
        add_outer(&table, &rows, &x, 0.25, &mut out);
        for (at, out) in out.iter().enumerate() {
            let row = |row: u32| &table[row as usize * k..(row as usize + 1) * k];
            let expected: f64 = rows
                .iter()
                .map(|(r, weight)| {
                    f64::from(weight * row(*r)[at])
                        * (row(*r).iter().zip(&x).map(|(a, b)| f64::from(a * b)).sum::<f64>() - 0.25)
                })
                .sum();
            assert!((f64::from(*out) - 1.0 - expected).abs() < 1e-4, "{at}: {out} {expected}");
        }
    }

    #[test]
    fn rows_add_up() {
        let (k, n) = (19, 7);
        let matrix: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.3).sin()).collect();
        let x: Vec<f32> = (0..n).map(|i| i as f32 - 2.5).collect();
        let mut out = vec![1.0; k];
        add_rows(&matrix, &x, &mut out);
        for (at, out) in out.iter().enumerate() {
            let expected = 1.0 + (0..n).map(|row| x[row] * matrix[row * k + at]).sum::<f32>();
            assert!((out - expected).abs() < 1e-4, "{at}: {out} {expected}");
        }
    }

    #[test]
    fn products_of_parts_by_hand() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]);
        let mut out = [10.0; 6];
        // [1 2 3; 4 5 6] times [1 0; 2 1; 0 3], into the first two of three columns.
        product_into(&mut out, 3, Matrix::new(&a, 3), Matrix::new(&b, 2), false);
        assert_eq!(out, [5.0, 11.0, 10.0, 14.0, 23.0, 10.0]);
        // The last two columns of a, transposed, times its first.
        product_into(&mut out, 3, Matrix::part(&a, 3, 1, 2).t(), Matrix::part(&a, 3, 0, 1), true);
        assert_eq!(out, [5.0 + 22.0, 11.0, 10.0, 14.0 + 27.0, 23.0, 10.0]);
    }
}
