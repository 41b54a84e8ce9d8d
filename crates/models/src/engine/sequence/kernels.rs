//! Vector arithmetic of recurrent layers, compiled for the current processor, in one order on all of them.

use multiversion::multiversion;

/// `e^x`, to within three units in the last place; `x` is held within ±87.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, and the Taylor polynomial of degree 6 in `r` (its remainder
/// is below `r^7 / 7! = 1.2e-7`); multiplications and additions alone, so that it vectorizes.
#[inline(always)]
#[allow(clippy::inline_always)] // A call would keep loops over it from becoming vector code.
fn exp(x: f32) -> f32 {
    /// Adding and taking it away rounds to an integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 87.0);
    let n = x * std::f32::consts::LOG2_E + ROUND;
    let whole = n - ROUND;
    // ln 2 in two parts, the first exact in few bits.
    let r = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    // The integer stands in the low bits of `n`; as an exponent it multiplies by 2^n.
    p * f32::from_bits((n.to_bits() << 23).wrapping_add(127 << 23))
}

#[inline(always)]
#[allow(clippy::inline_always)] // As exp.
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
#[allow(clippy::inline_always)] // As exp.
pub(crate) fn tanh(x: f32) -> f32 {
    2.0 / (1.0 + exp(-2.0 * x)) - 1.0
}

/// The logistic function of every value.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(crate) fn sigmoids(values: &mut [f32]) {
    for value in values {
        *value = sigmoid(*value);
    }
}

/// Makes each value `e^(value - highest)`, where `highest` is the highest of them and `least`; returns it
/// and the sum of the results.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(crate) fn softmax(values: &mut [f32], least: f32) -> (f32, f32) {
    let mut lanes = [least; 16];
    let (whole, rest) = values.as_chunks::<16>();
    for chunk in whole {
        for lane in 0..16 {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    let highest = lanes.iter().chain(rest).fold(least, |a, b| a.max(*b));
    let mut sums = [0.0_f32; 16];
    let (whole, rest) = values.as_chunks_mut::<16>();
    for chunk in whole {
        for lane in 0..16 {
            chunk[lane] = exp(chunk[lane] - highest);
            sums[lane] += chunk[lane];
        }
    }
    rest.iter_mut().for_each(|value| *value = exp(*value - highest));
    (highest, sums.iter().sum::<f32>() + rest.iter().sum::<f32>())
}

/// One step of a GRU for one row. `gates` holds the input projections (reset, update, new) and
/// becomes the gates; `through` is the state times the hidden weights; `inner` becomes its third part
/// with the inner bias.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn gru_forward(
    gates: &mut [f32],
    through: &[f32],
    bias: &[f32],
    inner: &mut [f32],
    before: &[f32],
    after: &mut [f32],
) {
    let size = after.len();
    let (reset, rest) = gates.split_at_mut(size);
    let (update, new) = rest.split_at_mut(size);
    let (zr, rest) = through.split_at(size);
    let (zu, zn) = rest.split_at(size);
    let (update, new, zn, bias, inner, before) = (
        &mut update[..size],
        &mut new[..size],
        &zn[..size],
        &bias[..size],
        &mut inner[..size],
        &before[..size],
    );
    for j in 0..size {
        let r = sigmoid(reset[j] + zr[j]);
        let u = sigmoid(update[j] + zu[j]);
        let z = zn[j] + bias[j];
        let n = tanh(new[j] + r * z);
        (reset[j], update[j], new[j], inner[j]) = (r, u, n, z);
        after[j] = n + u * (before[j] - n);
    }
}

/// Back through one step of a GRU for one row: `gates` become the gradients of the input projections,
/// `inner` that of the hidden product's third part, `state` (the gradient after the step) what the
/// update gate passes through.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn gru_backward(gates: &mut [f32], inner: &mut [f32], before: &[f32], state: &mut [f32]) {
    let size = state.len();
    let (reset, rest) = gates.split_at_mut(size);
    let (update, new) = rest.split_at_mut(size);
    let (update, new, inner, before) =
        (&mut update[..size], &mut new[..size], &mut inner[..size], &before[..size]);
    for j in 0..size {
        let (r, u, n, z, h, d) = (reset[j], update[j], new[j], inner[j], before[j], state[j]);
        let dn = d * (1.0 - u) * (1.0 - n * n);
        reset[j] = dn * z * r * (1.0 - r);
        update[j] = d * (h - n) * u * (1.0 - u);
        new[j] = dn;
        inner[j] = dn * r;
        state[j] = d * u;
    }
}

/// One step of an LSTM for one row. `gates` holds the input projections (input, forget, output, cell)
/// and becomes the gates; `memory` moves; `inner` becomes `tanh` of the new memory.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn lstm_forward(
    gates: &mut [f32],
    through: &[f32],
    inner: &mut [f32],
    memory: &mut [f32],
    after: &mut [f32],
) {
    let size = after.len();
    let (input, rest) = gates.split_at_mut(size);
    let (forget, rest) = rest.split_at_mut(size);
    let (output, cell) = rest.split_at_mut(size);
    let (zi, rest) = through.split_at(size);
    let (zf, rest) = rest.split_at(size);
    let (zo, zc) = rest.split_at(size);
    let (forget, output, cell, inner, memory) = (
        &mut forget[..size],
        &mut output[..size],
        &mut cell[..size],
        &mut inner[..size],
        &mut memory[..size],
    );
    let (zf, zo, zc) = (&zf[..size], &zo[..size], &zc[..size]);
    for j in 0..size {
        let i = sigmoid(input[j] + zi[j]);
        let f = sigmoid(forget[j] + zf[j]);
        let o = sigmoid(output[j] + zo[j]);
        let g = tanh(cell[j] + zc[j]);
        let c = f * memory[j] + i * g;
        let t = tanh(c);
        (input[j], forget[j], output[j], cell[j], memory[j], inner[j]) = (i, f, o, g, c, t);
        after[j] = o * t;
    }
}

/// Back through one step of an LSTM for one row: `gates` become the gradients of the input
/// projections; `memory` (the gradient of the new memory) becomes that of the old one.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn lstm_backward(
    gates: &mut [f32],
    inner: &[f32],
    before: &[f32],
    state: &[f32],
    memory: &mut [f32],
) {
    let size = state.len();
    let (input, rest) = gates.split_at_mut(size);
    let (forget, rest) = rest.split_at_mut(size);
    let (output, cell) = rest.split_at_mut(size);
    let (forget, output, cell) = (&mut forget[..size], &mut output[..size], &mut cell[..size]);
    let (inner, before, memory) = (&inner[..size], &before[..size], &mut memory[..size]);
    for j in 0..size {
        let (i, f, o, g, t, d) = (input[j], forget[j], output[j], cell[j], inner[j], state[j]);
        let dc = memory[j] + d * o * (1.0 - t * t);
        input[j] = dc * g * i * (1.0 - i);
        forget[j] = dc * before[j] * f * (1.0 - f);
        output[j] = d * t * o * (1.0 - o);
        cell[j] = dc * i * (1.0 - g * g);
        memory[j] = dc * f;
    }
}

/// The output of a gated convolution for one row: `gates` holds its two sums (new, pass) and becomes the
/// gates.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn gated_forward(gates: &mut [f32], after: &mut [f32]) {
    let size = after.len();
    let (new, pass) = gates.split_at_mut(size);
    let pass = &mut pass[..size];
    for j in 0..size {
        (new[j], pass[j]) = (tanh(new[j]), sigmoid(pass[j]));
        after[j] = new[j] * pass[j];
    }
}

/// Back through it: `gates` become the gradients of the sums, given that of the output.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2", "aarch64+neon"))]
pub(super) fn gated_backward(gates: &mut [f32], output: &[f32]) {
    let size = output.len();
    let (new, pass) = gates.split_at_mut(size);
    let pass = &mut pass[..size];
    for j in 0..size {
        let (n, p, d) = (new[j], pass[j], output[j]);
        new[j] = d * p * (1.0 - n * n);
        pass[j] = d * n * p * (1.0 - p);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_the_library() {
        for step in -4000..=4000 {
            let x = step as f32 * 0.025;
            let wide = f64::from(x);
            let relative = |got: f32, want: f64| (f64::from(got) - want).abs() / want;
            if x.abs() <= 87.0 {
                assert!(relative(exp(x), wide.exp()) < 4e-7, "exp {x}: {} {}", exp(x), wide.exp());
            }
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-wide).exp())).abs() < 2e-7, "sigmoid {x}");
            assert!((f64::from(tanh(x)) - wide.tanh()).abs() < 4e-7, "tanh {x}");
        }
        assert!(exp(f32::NAN).is_nan(), "NaN stays NaN");
    }

    #[test]
    fn softmax_by_hand() {
        for n in [1, 16, 37] {
            let mut values: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
            let expected: Vec<f64> = values.iter().map(|v| f64::from(*v).exp()).collect();
            let (highest, sum) = softmax(&mut values, 2.5);
            let scale = f64::from(highest).exp();
            assert!(
                highest >= 2.5 && (f64::from(sum) * scale / expected.iter().sum::<f64>() - 1.0).abs() < 1e-5,
                "{n}"
            );
            assert!(
                values.iter().zip(&expected).all(|(v, e)| (f64::from(*v) * scale / e - 1.0).abs() < 1e-5),
                "{n}"
            );
        }
    }
}
