//! Recurrent cells, step by step in plain code; `unrolled` runs a window of steps on a burn device.
//!
//! GRU (Cho et al. 2014, with the reset gate after the product) and LSTM (Hochreiter and Schmidhuber
//! 1997, with a forget gate), for a gate's input projection `x_g` and `z_g = h U_g`:
//!
//! ```text
//! GRU    r = sigmoid(x_r + z_r)   u = sigmoid(x_u + z_u)   n = tanh(x_n + r (z_n + b))
//!        h' = (1 - u) n + u h
//! LSTM   i, f, o = sigmoid(x + z)   g = tanh(x_g + z_g)   c' = f c + i g   h' = o tanh(c')
//! ```

use multiversion::multiversion;

/// A kind of cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Gated recurrent unit.
    Gru,
    /// Long short-term memory.
    Lstm,
    /// A causal temporal convolution, whose dilation doubles from layer to layer.
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

    /// First value of a gate's bias: the LSTM's forget gate starts open (Jozefowicz et al. 2015).
    pub(crate) fn first_bias(gate: &str) -> f32 {
        if gate == "forget" { 1.0 } else { 0.0 }
    }
}

/// A cell's weights in plain code, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CellWeights {
    pub cell: Cell,
    pub size: usize,
    /// `[inputs, size]` per gate.
    pub input: Vec<Vec<f32>>,
    /// `[size]` per gate.
    pub input_bias: Vec<Vec<f32>>,
    /// `[size, size]` per gate.
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
    /// One step: `x` updates `hidden` and the LSTM's `memory`.
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
                    *c = plain_sigmoid(gates[1][unit]) * *c
                        + plain_sigmoid(gates[0][unit]) * gates[3][unit].tanh();
                    *h = plain_sigmoid(gates[2][unit]) * c.tanh();
                }
            }
            Cell::Convolution => unreachable!("no recurrence"),
        }
    }
}
