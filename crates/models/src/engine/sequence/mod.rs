//! A fused sequence layer for the CPU: GRU, LSTM or a causal convolution over a window of several sequences
//! side by side, behind one interface. The convolution is `convolution`'s; the rest is about the other two.
//!
//! The equations are those of [`crate::engine::recurrent`]; the gates are adjacent in one matrix:
//!
//! ```text
//! P = X W + b            [steps x rows, gates x size]   one product a window
//! Z_t = h_t-1 U          [rows, gates x size]           one product a step
//! ```
//!
//! and so do the hand-derived gradients: with `dZ_t` from the step, `dh_t-1` takes `dZ_t U^T` (one product
//! a step); `dU = H^T dZ`, `dW = X^T dP` and `dX = dP W^T` are one product a window each.
//!
//! Rows are independent through the window, so a caller gives each thread rows of its own and adds
//! the gradients up in a fixed order; within a call everything runs on the calling thread. Nothing is
//! allocated per step: a [`Tape`] is made once and reused for every window.

mod convolution;
mod hierarchy;
pub(crate) mod kernels;

use crate::engine::kernels::{Matrix, add, product_into as product};
use crate::engine::recurrent::{Cell, accumulate};
pub(crate) use hierarchy::{Climb, Levels};
use kernels::{gru_backward, gru_forward, lstm_backward, lstm_forward};
pub(crate) use kernels::{sigmoids, softmax};

/// A layer's weights, or (by [`Layer::zeros`]) values of the same shape: gradients, moments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub cell: Cell,
    pub inputs: usize,
    pub size: usize,
    /// How many steps back the convolution's other tap lies.
    pub reach: usize,
    /// `W`, `[inputs, gates x size]`.
    pub input: Vec<f32>,
    /// `b`, `[gates x size]`.
    pub bias: Vec<f32>,
    /// `U`, `[size, gates x size]` (of the convolution's other tap `[inputs, gates x size]`).
    pub hidden: Vec<f32>,
    /// The GRU's inner bias, `[size]`; empty for others.
    pub inner: Vec<f32>,
}

impl Layer {
    pub fn zeros(cell: Cell, inputs: usize, size: usize) -> Self {
        let width = cell.gates().len() * size;
        let inner = if cell == Cell::Gru { vec![0.0; size] } else { Vec::new() };
        let through = if cell == Cell::Convolution { inputs } else { size };
        Self {
            cell,
            inputs,
            size,
            reach: 1,
            input: vec![0.0; inputs * width],
            bias: vec![0.0; width],
            hidden: vec![0.0; through * width],
            inner,
        }
    }

    /// The same with a convolution's other tap this many steps back.
    pub fn with_reach(self, reach: usize) -> Self {
        Self { reach, ..self }
    }

    /// Number of gate units.
    pub fn width(&self) -> usize {
        self.cell.gates().len() * self.size
    }

    /// All values, in a fixed order.
    pub fn tensors(&self) -> [&[f32]; 4] {
        [&self.input, &self.bias, &self.hidden, &self.inner]
    }

    /// See [`tensors`](Self::tensors).
    pub fn tensors_mut(&mut self) -> [&mut [f32]; 4] {
        [&mut self.input, &mut self.bias, &mut self.hidden, &mut self.inner]
    }
}

/// `W` and `U` of a layer, transposed: the products of the backward pass read them by rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transposed {
    input: Vec<f32>,
    hidden: Vec<f32>,
}

impl Transposed {
    /// Takes over the layer's present weights.
    pub fn update(&mut self, layer: &Layer) {
        let width = layer.width();
        transpose(&layer.input, width, &mut self.input);
        transpose(&layer.hidden, width, &mut self.hidden);
    }
}

/// The transpose of a row-major matrix with this many columns.
pub(crate) fn transpose(from: &[f32], columns: usize, to: &mut Vec<f32>) {
    let rows = from.len() / columns;
    to.resize(from.len(), 0.0);
    for (row, values) in from.chunks_exact(columns).enumerate() {
        values.iter().enumerate().for_each(|(column, value)| to[column * rows + row] = *value);
    }
}

/// The state rows carry from window to window: hidden units and, for an LSTM, the memory.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct States {
    /// `[rows, size]`.
    pub hidden: Vec<f32>,
    /// The LSTM's memory, `[rows, size]`; a convolution's last inputs, `[rows, reach, inputs]`; empty for a
    /// GRU.
    pub memory: Vec<f32>,
}

impl States {
    pub fn zeros(layer: &Layer, rows: usize) -> Self {
        let memory = match layer.cell {
            Cell::Gru => 0,
            Cell::Lstm => layer.size,
            Cell::Convolution => layer.reach * layer.inputs,
        };
        Self { hidden: vec![0.0; rows * layer.size], memory: vec![0.0; rows * memory] }
    }
}

/// What a window stores for the backward pass, step-major: entry `(step, row)` is at `step * rows + row`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape {
    rows: usize,
    /// Input projections, then gates, then gradients of the projections, `[entries, gates x size]`.
    gates: Vec<f32>,
    /// The GRU's inner product, the LSTM's `tanh` of the memory, `[entries, size]`; the convolution's other
    /// tap, `[entries, inputs]`.
    inner: Vec<f32>,
    /// The memory before each step, `[entries, size]` (LSTM).
    memory: Vec<f32>,
    /// The state before each step, after a reset where a sequence begins, `[entries, size]`.
    pub before: Vec<f32>,
    /// The state after each step, `[entries, size]`.
    pub after: Vec<f32>,
    /// `Z_t`, then a step's gradients, `[rows, gates x size]`.
    through: Vec<f32>,
    state: Vec<f32>,
    state_memory: Vec<f32>,
}

impl Tape {
    /// After the backward pass: the gradient of the state before the window, `[rows, size]`.
    fn first_state(&self) -> &[f32] {
        &self.state
    }
}

impl Layer {
    /// One step of one sequence: `x` updates `hidden` and, for an LSTM, `memory`. In an order of its own,
    /// so that nothing else changes a bit. `more` may add to the input projections.
    pub fn step(&self, x: &[f32], hidden: &mut [f32], memory: &mut [f32], more: impl FnOnce(&mut [f32])) {
        if self.cell == Cell::Convolution {
            return self.convolve_step(x, hidden, memory);
        }
        let mut gates = self.bias.clone();
        accumulate(&mut gates, x, &self.input);
        more(&mut gates);
        let mut through = vec![0.0; gates.len()];
        accumulate(&mut through, hidden, &self.hidden);
        let (before, mut inner) = (hidden.to_vec(), vec![0.0; self.size]);
        match self.cell {
            Cell::Gru => gru_forward(&mut gates, &through, &self.inner, &mut inner, &before, hidden),
            Cell::Lstm | Cell::Convolution => lstm_forward(&mut gates, &through, &mut inner, memory, hidden),
        }
    }

    /// Runs `rows` sequences over a window of inputs `x` (`[entries, inputs]`). `start` is 1 where a sequence
    /// begins, 0 elsewhere. `states` are those before the window on entry and those after
    /// it on return. `enter(step, before, gates)` may change a step's states and input projections (not a
    /// convolution's, whose steps do not wait for each other).
    pub fn forward(
        &self,
        x: &[f32],
        start: &[f32],
        rows: usize,
        states: &mut States,
        tape: &mut Tape,
        mut enter: impl FnMut(usize, &mut [f32], &mut [f32]),
    ) {
        if self.cell == Cell::Convolution {
            return self.convolve(x, start, rows, states, tape);
        }
        let (size, width, entries) = (self.size, self.width(), start.len());
        let lstm = self.cell == Cell::Lstm;
        tape.rows = rows;
        tape.gates.resize(entries * width, 0.0);
        for column in [&mut tape.inner, &mut tape.before, &mut tape.after] {
            column.resize(entries * size, 0.0);
        }
        tape.memory.resize(if lstm { entries * size } else { 0 }, 0.0);
        tape.through.resize(rows * width, 0.0);
        tape.gates.chunks_exact_mut(width).for_each(|gates| gates.copy_from_slice(&self.bias));
        product(&mut tape.gates, width, Matrix::new(x, self.inputs), Matrix::new(&self.input, width), true);
        for step in 0..entries / rows {
            let at = step * rows;
            let before = &mut tape.before[at * size..(at + rows) * size];
            before.copy_from_slice(if step == 0 {
                &states.hidden
            } else {
                &tape.after[(at - rows) * size..at * size]
            });
            for (row, _) in start[at..at + rows].iter().enumerate().filter(|(_, start)| **start > 0.0) {
                before[row * size..(row + 1) * size].fill(0.0);
                if lstm {
                    states.memory[row * size..(row + 1) * size].fill(0.0);
                }
            }
            if lstm {
                tape.memory[at * size..(at + rows) * size].copy_from_slice(&states.memory);
            }
            enter(step, before, &mut tape.gates[at * width..(at + rows) * width]);
            product(
                &mut tape.through,
                width,
                Matrix::new(before, size),
                Matrix::new(&self.hidden, width),
                false,
            );
            let gates = tape.gates[at * width..(at + rows) * width].chunks_exact_mut(width);
            let inner = tape.inner[at * size..(at + rows) * size].chunks_exact_mut(size);
            let after = tape.after[at * size..(at + rows) * size].chunks_exact_mut(size);
            let all = gates
                .zip(tape.through.chunks_exact(width))
                .zip(inner.zip(before.chunks_exact(size)).zip(after));
            for (row, ((gates, through), ((inner, before), after))) in all.enumerate() {
                if lstm {
                    lstm_forward(
                        gates,
                        through,
                        inner,
                        &mut states.memory[row * size..(row + 1) * size],
                        after,
                    );
                } else {
                    gru_forward(gates, through, &self.inner, inner, before, after);
                }
            }
        }
        states.hidden.copy_from_slice(&tape.after[(entries - rows) * size..]);
    }

    /// The backward pass through the window that [`forward`](Self::forward) stored on `tape`, from the
    /// gradients of the states before and after each step (`[entries, size]`; empty for none). Adds to
    /// `gradients` and, where asked, sets `dx` (`[entries, inputs]`). The state before the window
    /// counts as given. `leave(step, gates, state)` is given the gradients of a step's input projections
    /// and may change that of the states before it.
    #[allow(clippy::too_many_arguments)] // One backward pass is one idea.
    #[allow(clippy::too_many_lines)] // One pass, step by step.
    pub fn backward(
        &self,
        transposed: &Transposed,
        x: &[f32],
        start: &[f32],
        d_before: &[f32],
        d_after: &[f32],
        tape: &mut Tape,
        gradients: &mut Self,
        dx: Option<&mut [f32]>,
        mut leave: impl FnMut(usize, &[f32], &mut [f32]),
    ) {
        if self.cell == Cell::Convolution {
            return self.convolve_back(transposed, x, start, d_before, d_after, tape, gradients, dx);
        }
        let (size, width, entries, rows) = (self.size, self.width(), start.len(), tape.rows);
        let lstm = self.cell == Cell::Lstm;
        tape.state.clear();
        tape.state.resize(rows * size, 0.0);
        tape.state_memory.clear();
        tape.state_memory.resize(if lstm { rows * size } else { 0 }, 0.0);
        for step in (0..entries / rows).rev() {
            let at = step * rows;
            let span = at * size..(at + rows) * size;
            if !d_after.is_empty() {
                add(&mut tape.state, &d_after[span.clone()], 1.0);
            }
            let gates = &mut tape.gates[at * width..(at + rows) * width];
            let inner = &mut tape.inner[span.clone()];
            let before = &tape.before[span.clone()];
            for row in 0..rows {
                let of = row * size..(row + 1) * size;
                let (gates, state) =
                    (&mut gates[row * width..(row + 1) * width], &mut tape.state[of.clone()]);
                if lstm {
                    lstm_backward(
                        gates,
                        &inner[of.clone()],
                        &tape.memory[span.start + of.start..span.start + of.end],
                        state,
                        &mut tape.state_memory[of],
                    );
                } else {
                    gru_backward(gates, &mut inner[of.clone()], &before[of], state);
                }
            }
            // The gradient of the previous state: through the products, and for a GRU what the update gate
            // passed.
            if lstm {
                product(
                    &mut tape.state,
                    size,
                    Matrix::new(gates, width),
                    Matrix::new(&transposed.hidden, size),
                    false,
                );
            } else {
                let (outer, new) = transposed.hidden.split_at(2 * size * size);
                product(
                    &mut tape.state,
                    size,
                    Matrix::part(gates, width, 0, 2 * size),
                    Matrix::new(outer, size),
                    true,
                );
                product(&mut tape.state, size, Matrix::new(inner, size), Matrix::new(new, size), true);
            }
            if !d_before.is_empty() {
                add(&mut tape.state, &d_before[span], 1.0);
            }
            leave(step, gates, &mut tape.state);
            for (row, _) in start[at..at + rows].iter().enumerate().filter(|(_, start)| **start > 0.0) {
                tape.state[row * size..(row + 1) * size].fill(0.0);
                if lstm {
                    tape.state_memory[row * size..(row + 1) * size].fill(0.0);
                }
            }
        }
        let gates = Matrix::new(&tape.gates, width);
        let before = Matrix::new(&tape.before, size).t();
        if lstm {
            product(&mut gradients.hidden, width, before, gates, true);
        } else {
            product(
                &mut gradients.hidden,
                width,
                before,
                Matrix::part(&tape.gates, width, 0, 2 * size),
                true,
            );
            product(&mut gradients.hidden[2 * size..], width, before, Matrix::new(&tape.inner, size), true);
            tape.inner.chunks_exact(size).for_each(|inner| add(&mut gradients.inner, inner, 1.0));
        }
        tape.gates.chunks_exact(width).for_each(|gates| add(&mut gradients.bias, gates, 1.0));
        product(&mut gradients.input, width, Matrix::new(x, self.inputs).t(), gates, true);
        if let Some(dx) = dx {
            product(dx, self.inputs, gates, Matrix::new(&transposed.input, self.inputs), false);
        }
    }
}

#[cfg(test)]
mod tests;
