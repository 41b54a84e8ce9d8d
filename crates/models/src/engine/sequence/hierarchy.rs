//! Sessions within sessions by hidden states (Quadrana et al. 2017, *Personalizing Session-based
//! Recommendations with Hierarchical Recurrent Neural Networks*), at any number of levels.
//!
//! Each level has a GRU of its own whose state `c_l` has seen whole sessions of the level below. Where
//! sessions of `k` levels begin, with `s_0` the state of the session that ended,
//!
//! ```text
//! s_l = GRU_l(s_l-1, c_l)                     l = 1 .. k          (the paper's GRU_usr)
//! c_k = s_k,   c_l = tanh(A_l+1 c_l+1 + a_l+1) for l < k
//! h   = tanh(A_1 c_1 + a_1)                                       (the paper's s_m+1,0)
//! ```
//!
//! and under `All` `c_1 V` joins the gates' input projections in every step. A user's first session
//! begins with zeros at every level.

use super::{Layer, States, Tape, Transposed};
use crate::engine::kernels::{Matrix, add, product_into as product};
use crate::engine::recurrent::Cell;

/// One level: its cell and its transfer to the level below.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    pub cell: Layer,
    /// `A` over `a`, `[size + 1, size]`.
    pub handover: Vec<f32>,
}

/// All levels' weights, or values of the same shape.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Levels {
    pub levels: Vec<Level>,
    /// `V`, `[size, gates x size]`; empty but under `All`.
    pub context: Vec<f32>,
}

impl Levels {
    pub fn zeros(height: usize, size: usize, all: bool) -> Self {
        let level =
            || Level { cell: Layer::zeros(Cell::Gru, size, size), handover: vec![0.0; (size + 1) * size] };
        let context = if all && height > 0 { vec![0.0; size * 3 * size] } else { Vec::new() };
        Self { levels: (0..height).map(|_| level()).collect(), context }
    }

    /// All values, in a fixed order.
    pub fn tensors(&self) -> impl Iterator<Item = &[f32]> {
        self.levels
            .iter()
            .flat_map(|level| level.cell.tensors().into_iter().chain([level.handover.as_slice()]))
            .chain([self.context.as_slice()])
    }

    /// See [`tensors`](Self::tensors).
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let levels = self
            .levels
            .iter_mut()
            .flat_map(|level| level.cell.tensors_mut().into_iter().chain([level.handover.as_mut_slice()]));
        levels.chain([self.context.as_mut_slice()])
    }

    /// The initial state of a session, and of a level, given the state above: `tanh(A c +
    /// a)`.
    fn hand(&self, level: usize, above: &[f32], out: &mut [f32]) {
        let (matrix, bias) = self.levels[level].handover.split_at(above.len() * out.len());
        out.copy_from_slice(bias);
        crate::engine::recurrent::accumulate(out, above, matrix);
        out.iter_mut().for_each(|v| *v = v.tanh());
    }

    /// Sessions of `crossed` levels begin: `hidden` is the state that ended and becomes the one that
    /// begins; `states` are the levels'.
    pub fn step(&self, crossed: usize, hidden: &mut [f32], states: &mut [Vec<f32>]) {
        if crossed == 0 {
            return;
        }
        let mut below = hidden.to_vec();
        let mut risen = Vec::new();
        for level in 0..crossed {
            let mut state = states[level].clone();
            self.levels[level].cell.step(&below, &mut state, &mut [], |_| {});
            below.clone_from(&state);
            risen.push(state);
        }
        states[crossed - 1].copy_from_slice(&risen[crossed - 1]);
        for level in (0..crossed - 1).rev() {
            let (low, high) = states.split_at_mut(level + 1);
            self.hand(level + 1, &high[0], &mut low[level]);
        }
        self.hand(0, &states[0], hidden);
    }
}

/// A boundary that was passed, for the backward pass.
struct Passed {
    step: usize,
    row: usize,
    /// The levels' cells: what went in, and the tape.
    cells: Vec<(Vec<f32>, Tape)>,
    /// The levels' states after it.
    states: Vec<Vec<f32>>,
    /// The session's state after it.
    hidden: Vec<f32>,
}

/// The levels' states through windows of several rows.
pub(crate) struct Climb {
    size: usize,
    rows: usize,
    /// `c_l`, a row and level: `[rows][levels][size]`.
    pub states: Vec<Vec<Vec<f32>>>,
    passed: Vec<Passed>,
    /// `c_1` in every step, `[entries, size]`, under `All`.
    context: Vec<f32>,
    /// Gradients of the levels' states.
    back: Vec<Vec<Vec<f32>>>,
}

impl Climb {
    pub fn new(height: usize, rows: usize, size: usize) -> Self {
        let zeros = vec![vec![vec![0.0; size]; height]; rows];
        Self { size, rows, back: zeros.clone(), states: zeros, passed: Vec::new(), context: Vec::new() }
    }

    /// Begins a window.
    pub fn begin(&mut self) {
        self.passed.clear();
        self.context.clear();
        self.back.iter_mut().flatten().for_each(|state| state.fill(0.0));
    }

    /// Before a step: `start` and `crossed` of its rows, the states `before` it and the input
    /// projections `gates`.
    pub fn enter(
        &mut self,
        levels: &Levels,
        step: usize,
        start: &[f32],
        crossed: &[u8],
        before: &mut [f32],
        gates: &mut [f32],
    ) {
        let size = self.size;
        for row in 0..self.rows {
            if start[row] > 0.0 {
                self.states[row].iter_mut().for_each(|state| state.fill(0.0));
            } else if crossed[row] > 0 {
                let hidden = &mut before[row * size..(row + 1) * size];
                let passed = self.pass(levels, step, row, usize::from(crossed[row]), hidden);
                self.passed.push(passed);
            }
        }
        if !levels.context.is_empty() {
            let from = self.context.len();
            self.states.iter().for_each(|states| self.context.extend_from_slice(&states[0]));
            product(
                gates,
                3 * size,
                Matrix::new(&self.context[from..], size),
                Matrix::new(&levels.context, 3 * size),
                true,
            );
        }
    }

    fn pass(
        &mut self,
        levels: &Levels,
        step: usize,
        row: usize,
        crossed: usize,
        hidden: &mut [f32],
    ) -> Passed {
        let states = &mut self.states[row];
        let mut below = hidden.to_vec();
        let mut cells = Vec::new();
        for level in 0..crossed {
            let mut tape = Tape::default();
            let mut state = States { hidden: states[level].clone(), memory: Vec::new() };
            levels.levels[level].cell.forward(&below, &[0.0], 1, &mut state, &mut tape, |_, _, _| {});
            cells.push((std::mem::replace(&mut below, state.hidden), tape));
        }
        states[crossed - 1].copy_from_slice(&below);
        for level in (0..crossed - 1).rev() {
            let (low, high) = states.split_at_mut(level + 1);
            levels.hand(level + 1, &high[0], &mut low[level]);
        }
        levels.hand(0, &states[0], hidden);
        Passed { step, row, cells, states: states[..crossed].to_vec(), hidden: hidden.to_vec() }
    }

    /// In the backward pass, after a step: `gates` are gradients of its input projections, `state` that of
    /// the states before it, which becomes that of the states that ended.
    pub fn leave(
        &mut self,
        levels: &Levels,
        step: usize,
        start: &[f32],
        gates: &[f32],
        state: &mut [f32],
        gradients: &mut Levels,
    ) {
        let size = self.size;
        if !levels.context.is_empty() {
            let context = &self.context[step * self.rows * size..(step + 1) * self.rows * size];
            product(
                &mut gradients.context,
                3 * size,
                Matrix::new(context, size).t(),
                Matrix::new(gates, 3 * size),
                true,
            );
            let mut back = vec![0.0; self.rows * size];
            product(
                &mut back,
                size,
                Matrix::new(gates, 3 * size),
                Matrix::new(&levels.context, 3 * size).t(),
                false,
            );
            self.back
                .iter_mut()
                .zip(back.chunks_exact(size))
                .for_each(|(to, from)| add(&mut to[0], from, 1.0));
        }
        while let Some(passed) = self.passed.pop_if(|passed| passed.step == step) {
            let hidden = &mut state[passed.row * size..(passed.row + 1) * size];
            fall(levels, passed, hidden, &mut self.back, gradients);
        }
        for (row, _) in start.iter().enumerate().filter(|(_, start)| **start > 0.0) {
            self.back[row].iter_mut().for_each(|state| state.fill(0.0));
        }
    }
}

/// Back through one boundary: `hidden` is the gradient of the state that began and becomes that of the one
/// that ended.
fn fall(
    levels: &Levels,
    mut passed: Passed,
    hidden: &mut [f32],
    back: &mut [Vec<Vec<f32>>],
    gradients: &mut Levels,
) {
    let size = hidden.len();
    let back = &mut back[passed.row];
    let crossed = passed.cells.len();
    // Down the hand-overs: from the session's state into `c_1`, from `c_l` into `c_l+1`.
    let hand = |level: usize,
                value: &[f32],
                gradient: &[f32],
                above: &[f32],
                into: &mut [f32],
                gradients: &mut Levels| {
        let slope: Vec<f32> = gradient.iter().zip(value).map(|(g, v)| g * (1.0 - v * v)).collect();
        let matrix = &levels.levels[level].handover[..size * size];
        let (of_matrix, of_bias) = gradients.levels[level].handover.split_at_mut(size * size);
        add(of_bias, &slope, 1.0);
        for (unit, row) in matrix.chunks_exact(size).enumerate() {
            into[unit] += crate::engine::kernels::dot(row, &slope);
            add(&mut of_matrix[unit * size..(unit + 1) * size], &slope, above[unit]);
        }
    };
    hand(0, &passed.hidden, hidden, &passed.states[0], &mut back[0], gradients);
    for level in 0..crossed - 1 {
        let (low, high) = back.split_at_mut(level + 1);
        hand(
            level + 1,
            &passed.states[level],
            &low[level],
            &passed.states[level + 1],
            &mut high[0],
            gradients,
        );
        low[level].fill(0.0);
    }
    // Up the cells in reverse.
    let mut risen = std::mem::replace(&mut back[crossed - 1], vec![0.0; size]);
    for level in (0..crossed).rev() {
        let cell = &levels.levels[level].cell;
        let (x, tape) = &mut passed.cells[level];
        let mut transposed = Transposed::default();
        transposed.update(cell);
        let mut dx = vec![0.0; size];
        cell.backward(
            &transposed,
            x,
            &[0.0],
            &[],
            &risen,
            tape,
            &mut gradients.levels[level].cell,
            Some(&mut dx),
            |_, _, _| {},
        );
        back[level].copy_from_slice(tape.first_state());
        risen = dx;
    }
    hidden.copy_from_slice(&risen);
}
