//! A causal temporal convolution as a sequence layer: gated taps on the present input and on one `reach`
//! steps before it.
//!
//! ```text
//! h_t = tanh(x_t W_n + x_t-reach U_n + b_n) * sigmoid(x_t W_p + x_t-reach U_p + b_p)
//!       (+ x_t where the sizes agree)
//! ```
//!
//! With the reach doubling from layer to layer (1, 2, 4, ..) a stack of `depth` layers sees `2^depth` steps
//! (van den Oord et al. 2016, *`WaveNet`*, section 2; Bai, Kolter and Koltun 2018, section 3). Inputs before
//! a sequence's start count as 0. Steps are independent: a window is two products. The state a layer
//! carries is its last output, and the last `reach` inputs, oldest first.

use super::kernels::{gated_backward, gated_forward};
use super::{Layer, States, Tape, Transposed, product};
use crate::engine::kernels::{Matrix, add};
use crate::engine::recurrent::accumulate;

/// Where the tap `reach` steps before `step` is: in the window, among the carried inputs, or before
/// the sequence's start (`begun`, the last start in the window up to `step`).
enum Tap {
    Window(usize),
    Carried(usize),
    Nowhere,
}

fn tap(step: usize, reach: usize, begun: Option<usize>) -> Tap {
    match (step.checked_sub(reach), begun) {
        (Some(source), begun) if begun.is_none_or(|begun| source >= begun) => Tap::Window(source),
        (None, None) => Tap::Carried(step),
        _ => Tap::Nowhere,
    }
}

impl Layer {
    /// As [`Layer::forward`].
    pub(super) fn convolve(
        &self,
        x: &[f32],
        start: &[f32],
        rows: usize,
        states: &mut States,
        tape: &mut Tape,
    ) {
        let (size, width, inputs, reach) = (self.size, self.width(), self.inputs, self.reach);
        let (entries, steps) = (start.len(), start.len() / rows);
        tape.rows = rows;
        tape.gates.resize(entries * width, 0.0);
        tape.inner.clear();
        tape.inner.resize(entries * inputs, 0.0);
        tape.before.resize(entries * size, 0.0);
        tape.after.resize(entries * size, 0.0);
        for row in 0..rows {
            let mut begun = None;
            let carried = row * reach * inputs..(row + 1) * reach * inputs;
            for step in 0..steps {
                let at = step * rows + row;
                if start[at] > 0.0 {
                    begun = Some(step);
                }
                let out = &mut tape.inner[at * inputs..(at + 1) * inputs];
                match tap(step, reach, begun) {
                    Tap::Window(source) => {
                        out.copy_from_slice(&x[(source * rows + row) * inputs..][..inputs]);
                    }
                    Tap::Carried(slot) => {
                        out.copy_from_slice(&states.memory[carried.start + slot * inputs..][..inputs]);
                    }
                    Tap::Nowhere => {}
                }
            }
            // The state carried to the next window.
            let memory = &mut states.memory[carried];
            memory.copy_within((steps * inputs).min(reach * inputs).., 0);
            for slot in 0..reach {
                let out = slot * inputs..(slot + 1) * inputs;
                let source = (steps + slot).checked_sub(reach);
                match source {
                    Some(source) if begun.is_none_or(|begun| source >= begun) => {
                        memory[out].copy_from_slice(&x[(source * rows + row) * inputs..][..inputs]);
                    }
                    None if begun.is_none() => {}
                    _ => memory[out].fill(0.0),
                }
            }
        }
        tape.gates.chunks_exact_mut(width).for_each(|gates| gates.copy_from_slice(&self.bias));
        product(&mut tape.gates, width, Matrix::new(x, inputs), Matrix::new(&self.input, width), true);
        product(
            &mut tape.gates,
            width,
            Matrix::new(&tape.inner, inputs),
            Matrix::new(&self.hidden, width),
            true,
        );
        let all = tape
            .gates
            .chunks_exact_mut(width)
            .zip(tape.after.chunks_exact_mut(size))
            .zip(x.chunks_exact(inputs));
        for ((gates, after), x) in all {
            gated_forward(gates, after);
            if inputs == size {
                add(after, x, 1.0);
            }
        }
        for step in 0..steps {
            let at = step * rows;
            let span = at * size..(at + rows) * size;
            let before = &mut tape.before[span];
            before.copy_from_slice(if step == 0 {
                &states.hidden
            } else {
                &tape.after[(at - rows) * size..at * size]
            });
            let begins = start[at..at + rows].iter().enumerate().filter(|(_, start)| **start > 0.0);
            begins.for_each(|(row, _)| before[row * size..(row + 1) * size].fill(0.0));
        }
        states.hidden.copy_from_slice(&tape.after[(entries - rows) * size..]);
    }

    /// As [`Layer::backward`].
    #[allow(clippy::too_many_arguments)] // As there.
    pub(super) fn convolve_back(
        &self,
        transposed: &Transposed,
        x: &[f32],
        start: &[f32],
        d_before: &[f32],
        d_after: &[f32],
        tape: &mut Tape,
        gradients: &mut Self,
        dx: Option<&mut [f32]>,
    ) {
        let (size, width, inputs, rows) = (self.size, self.width(), self.inputs, tape.rows);
        let (entries, steps) = (start.len(), start.len() / rows);
        // Gradients of the outputs: of the states after each step, and of those before the next.
        let mut d_out = if d_after.is_empty() { vec![0.0; entries * size] } else { d_after.to_vec() };
        if !d_before.is_empty() {
            for next in (rows..entries).filter(|next| start[*next] == 0.0) {
                add(
                    &mut d_out[(next - rows) * size..(next - rows + 1) * size],
                    &d_before[next * size..(next + 1) * size],
                    1.0,
                );
            }
        }
        tape.gates
            .chunks_exact_mut(width)
            .zip(d_out.chunks_exact(size))
            .for_each(|(gates, d)| gated_backward(gates, d));
        let gates = Matrix::new(&tape.gates, width);
        tape.gates.chunks_exact(width).for_each(|gates| add(&mut gradients.bias, gates, 1.0));
        product(&mut gradients.input, width, Matrix::new(x, inputs).t(), gates, true);
        product(&mut gradients.hidden, width, Matrix::new(&tape.inner, inputs).t(), gates, true);
        let Some(dx) = dx else { return };
        product(dx, inputs, gates, Matrix::new(&transposed.input, inputs), false);
        product(&mut tape.inner, inputs, gates, Matrix::new(&transposed.hidden, inputs), false);
        if inputs == size {
            add(dx, &d_out, 1.0);
        }
        for row in 0..rows {
            let mut begun = None;
            for step in 0..steps {
                let at = step * rows + row;
                if start[at] > 0.0 {
                    begun = Some(step);
                }
                if let Tap::Window(source) = tap(step, self.reach, begun) {
                    add(
                        &mut dx[(source * rows + row) * inputs..][..inputs],
                        &tape.inner[at * inputs..(at + 1) * inputs],
                        1.0,
                    );
                }
            }
        }
    }

    /// As [`Layer::step`].
    pub(super) fn convolve_step(&self, x: &[f32], hidden: &mut [f32], memory: &mut [f32]) {
        let mut gates = self.bias.clone();
        accumulate(&mut gates, x, &self.input);
        accumulate(&mut gates, &memory[..self.inputs], &self.hidden);
        memory.copy_within(self.inputs.., 0);
        let last = memory.len() - self.inputs;
        memory[last..].copy_from_slice(x);
        gated_forward(&mut gates, hidden);
        if self.inputs == self.size {
            add(hidden, x, 1.0);
        }
    }
}
