//! Recurrent cells, unrolled over a window on a burn device.
//!
//! Slicing a step out of a tracked tensor costs a full-size gradient a step, so the graph is split
//! between the input projections and the recurrence: the recurrence runs over leaves of its own,
//! and their gradients, put together, are the gradient of the projections.

use crate::Device;
use crate::engine::recurrent::Cell;
use burn_tensor::{Gradients, Tensor, activation::sigmoid};

/// Hidden units, and the LSTM's memory, `[rows, size]` each.
#[derive(Clone)]
pub(crate) struct Carried {
    pub hidden: Tensor<2>,
    pub memory: Tensor<2>,
}

impl Carried {
    pub fn zeros(rows: usize, size: usize, device: &Device) -> Self {
        Self {
            hidden: Tensor::zeros([rows, size], device.burn()),
            memory: Tensor::zeros([rows, size], device.burn()),
        }
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

/// Runs a cell through a window. `projections` (one per gate, `[steps x rows, size]`, step-major) are
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
        let leaves: Vec<Tensor<2>> =
            cut.iter().map(|p| p.clone().narrow(0, step * rows, rows).autodiff().require_grad()).collect();
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

/// Continues the backward pass across the split: gradients of what the projections were computed from.
pub(crate) fn back(
    leaves: &[Vec<Tensor<2>>],
    projections: Vec<Tensor<2>>,
    gradients: &mut Gradients,
    device: &Device,
) -> Option<Gradients> {
    let take = |leaf: &Tensor<2>, gradients: &mut Gradients| {
        leaf.grad_remove(gradients).unwrap_or_else(|| Tensor::zeros(leaf.dims(), device.burn()))
    };
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
    pub fn back(
        &self,
        projections: Vec<Tensor<2>>,
        gradients: &mut Gradients,
        device: &Device,
    ) -> Option<Gradients> {
        back(&self.leaves, projections, gradients, device)
    }
}
