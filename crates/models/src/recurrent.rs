//! Recurrent cells, unrolled over a window on a burn device, and step by step in plain code.
//!
//! GRU (Cho et al. 2014, with the reset gate after the product) and LSTM (Hochreiter and Schmidhuber
//! 1997, with a forget gate), for a gate's input projection `x_g` and `z_g = h U_g`:
//!
//! ```text
//! GRU    r = sigmoid(x_r + z_r)   u = sigmoid(x_u + z_u)   n = tanh(x_n + r (z_n + b))   h' = (1 - u) n + u h
//! LSTM   i, f, o = sigmoid(x + z)   g = tanh(x_g + z_g)   c' = f c + i g   h' = o tanh(c')
//! ```
//!
//! Slicing a step out of a tracked tensor costs a full-size gradient a step, so the graph is cut
//! between the input projections and the recurrence: the recurrence runs over leaves of its own,
//! and their gradients, put together, are the gradient of the projections.

use crate::Device;
use burn_tensor::{Gradients, Tensor, activation::sigmoid};
use multiversion::multiversion;

/// A kind of cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Gated recurrent unit.
    Gru,
    /// Long short-term memory.
    Lstm,
    /// A causal temporal convolution, whose reach doubles from layer to layer.
    Convolution,
}

impl Cell {
    /// The gates, in the order of their parameters.
    pub(crate) fn gates(self) -> &'static [&'static str] {
        match self {
            Self::Gru => &["reset", "update", "new"],
            Self::Lstm => &["input", "forget", "output", "cell"],
            Self::Convolution => &["new", "pass"],
        }
    }

    /// First value of a gate's bias: the LSTM begins by remembering (Jozefowicz et al. 2015).
    pub(crate) fn first_bias(gate: &str) -> f32 {
        if gate == "forget" { 1.0 } else { 0.0 }
    }
}

/// Hidden units, and the LSTM's memory, `[rows, size]` each.
#[derive(Clone)]
pub(crate) struct Carried {
    pub hidden: Tensor<2>,
    pub memory: Tensor<2>,
}

impl Carried {
    pub fn zeros(rows: usize, size: usize, device: &Device) -> Self {
        Self { hidden: Tensor::zeros([rows, size], device.burn()), memory: Tensor::zeros([rows, size], device.burn()) }
    }
}

/// A window's states, tracked.
pub(crate) struct Unrolled {
    /// The state before each step, after a reset where a sequence begins.
    pub before: Vec<Tensor<2>>,
    /// The state after each step.
    pub after: Vec<Tensor<2>>,
    /// The state after the window, untracked.
    pub carried: Carried,
    leaves: Vec<Vec<Tensor<2>>>,
}

/// Runs a cell through a window. `projections` (one a gate, `[steps x rows, size]`, step-major) are
/// taken untracked; `hidden` are the gates' recurrent weights and `bias` the GRU's inner bias,
/// tracked; `keep(step)` is a column of 0 where a sequence begins and 1 elsewhere, if any begins.
/// `enter(step, state)` may change the state before a step and add to each gate's projection.
#[allow(clippy::too_many_arguments)] // A window is one idea; two callers.
pub(crate) fn unroll(
    cell: Cell,
    projections: &[Tensor<2>],
    hidden: &[Tensor<2>],
    bias: Option<&Tensor<2>>,
    steps: usize,
    keep: impl Fn(usize) -> Option<Tensor<2>>,
    mut enter: impl FnMut(usize, Tensor<2>) -> (Tensor<2>, Option<Vec<Tensor<2>>>),
    carried: Carried,
) -> Unrolled {
    let cut: Vec<Tensor<2>> = projections.iter().map(|p| p.clone().inner()).collect();
    let rows = cut[0].dims()[0] / steps;
    let (mut h, mut c) = (carried.hidden.autodiff(), carried.memory.autodiff());
    let mut unrolled = Unrolled {
        before: Vec::with_capacity(steps),
        after: Vec::with_capacity(steps),
        carried: Carried { hidden: h.clone().inner(), memory: c.clone().inner() },
        leaves: Vec::with_capacity(steps),
    };
    for step in 0..steps {
        if let Some(keep) = keep(step) {
            h = h * keep.clone();
            c = c * keep;
        }
        let more;
        (h, more) = enter(step, h);
        unrolled.before.push(h.clone());
        let leaves: Vec<Tensor<2>> = cut.iter().map(|p| p.clone().narrow(0, step * rows, rows).autodiff().require_grad()).collect();
        let at: Vec<Tensor<2>> = match more {
            None => leaves.clone(),
            Some(more) => leaves.iter().zip(more).map(|(leaf, more)| leaf.clone() + more).collect(),
        };
        let through = |gate: usize| h.clone().matmul(hidden[gate].clone());
        match cell {
            Cell::Gru => {
                let reset = sigmoid(at[0].clone() + through(0));
                let update = sigmoid(at[1].clone() + through(1));
                let candidate = match bias {
                    Some(bias) => through(2) + bias.clone(),
                    None => through(2),
                };
                let new = (at[2].clone() + reset * candidate).tanh();
                h = new.clone() + update * (h - new);
            }
            Cell::Lstm => {
                let gate = |place: usize| sigmoid(at[place].clone() + through(place));
                let (input, forget, output) = (gate(0), gate(1), gate(2));
                c = forget * c + input * (at[3].clone() + through(3)).tanh();
                h = output * c.clone().tanh();
            }
            Cell::Convolution => unreachable!("no recurrence to unroll"),
        }
        unrolled.after.push(h.clone());
        unrolled.leaves.push(leaves);
    }
    unrolled.carried = Carried { hidden: h.inner(), memory: c.inner() };
    unrolled
}

/// Goes back through the cut: gradients of whatever the projections came from.
pub(crate) fn back(leaves: &[Vec<Tensor<2>>], projections: Vec<Tensor<2>>, gradients: &mut Gradients, device: &Device) -> Option<Gradients> {
    let take = |leaf: &Tensor<2>, gradients: &mut Gradients| leaf.grad_remove(gradients).unwrap_or_else(|| Tensor::zeros(leaf.dims(), device.burn()));
    let mut loss: Option<Tensor<2>> = None;
    for (gate, projection) in projections.into_iter().enumerate() {
        let gradient = Tensor::cat(leaves.iter().map(|at| take(&at[gate], gradients)).collect(), 0);
        let part = projection * gradient;
        loss = Some(match loss {
            None => part,
            Some(sum) => sum + part,
        });
    }
    loss.map(|loss| loss.backward())
}

impl Unrolled {
    /// See [`back`].
    pub fn back(&self, projections: Vec<Tensor<2>>, gradients: &mut Gradients, device: &Device) -> Option<Gradients> {
        back(&self.leaves, projections, gradients, device)
    }
}

/// A cell's weights in plain code, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CellWeights {
    pub cell: Cell,
    pub size: usize,
    /// `[inputs, size]` a gate.
    pub input: Vec<Vec<f32>>,
    /// `[size]` a gate.
    pub input_bias: Vec<Vec<f32>>,
    /// `[size, size]` a gate.
    pub hidden: Vec<Vec<f32>>,
    /// The GRU's inner bias.
    pub hidden_bias: Vec<f32>,
}

/// `out += sum_j x_j W_j` over the rows of `matrix` (`[x.len(), out.len()]`), in row order.
#[multiversion(targets("x86_64+avx2", "aarch64+neon"))]
pub(crate) fn accumulate(out: &mut [f32], x: &[f32], matrix: &[f32]) {
    let width = out.len();
    for (x, row) in x.iter().zip(matrix.chunks_exact(width)) {
        for (out, weight) in out.iter_mut().zip(row) {
            *out += x * weight;
        }
    }
}

fn plain_sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl CellWeights {
    /// One step: `x` moves `hidden` and the LSTM's `memory`.
    pub fn step(&self, x: &[f32], hidden: &mut [f32], memory: &mut [f32]) {
        let mut gates = self.input_bias.clone();
        for (gate, out) in gates.iter_mut().enumerate() {
            accumulate(out, x, &self.input[gate]);
        }
        match self.cell {
            Cell::Gru => {
                let mut candidate = self.hidden_bias.clone();
                accumulate(&mut gates[0], hidden, &self.hidden[0]);
                accumulate(&mut gates[1], hidden, &self.hidden[1]);
                accumulate(&mut candidate, hidden, &self.hidden[2]);
                for (unit, h) in hidden.iter_mut().enumerate() {
                    let new = (gates[2][unit] + plain_sigmoid(gates[0][unit]) * candidate[unit]).tanh();
                    *h = new + plain_sigmoid(gates[1][unit]) * (*h - new);
                }
            }
            Cell::Lstm => {
                for (gate, out) in gates.iter_mut().enumerate() {
                    accumulate(out, hidden, &self.hidden[gate]);
                }
                for (unit, (h, c)) in hidden.iter_mut().zip(memory).enumerate() {
                    *c = plain_sigmoid(gates[1][unit]) * *c + plain_sigmoid(gates[0][unit]) * gates[3][unit].tanh();
                    *h = plain_sigmoid(gates[2][unit]) * c.tanh();
                }
            }
            Cell::Convolution => unreachable!("no recurrence"),
        }
    }
}
