use super::*;
#[cfg(feature = "burn")]
use crate::Device;
#[cfg(feature = "burn")]
use crate::engine::parameter::{on_device, read};
use crate::engine::recurrent::CellWeights;
#[cfg(feature = "burn")]
use crate::engine::unrolled::{Carried, unroll};
#[cfg(feature = "burn")]
use burn_tensor::Tensor;
use foretaste_data::rng;
use rand::RngExt;

const CELLS: [Cell; 2] = [Cell::Gru, Cell::Lstm];
const ROWS: usize = 3;
const STEPS: usize = 5;
const INPUTS: usize = 4;
const SIZE: usize = 6;

struct Case {
    layer: Layer,
    x: Vec<f32>,
    start: Vec<f32>,
    first: States,
    /// Weights of the states before and after each step in the loss, which is their weighted sum.
    before: Vec<f32>,
    after: Vec<f32>,
}

fn case(cell: Cell) -> Case {
    let mut random = rng(8, "sequence");
    let mut draw =
        |n: usize, reach: f32| -> Vec<f32> { (0..n).map(|_| random.random_range(-reach..reach)).collect() };
    let mut layer = Layer::zeros(cell, INPUTS, SIZE);
    for tensor in layer.tensors_mut() {
        let values = draw(tensor.len(), 0.6);
        tensor.copy_from_slice(&values);
    }
    let entries = ROWS * STEPS;
    let mut first = States::zeros(&layer, ROWS);
    first.hidden = draw(ROWS * SIZE, 0.5);
    first.memory = draw(first.memory.len(), 0.5);
    let mut start = vec![0.0; entries];
    // The second sequence begins with the window, the third within it.
    (start[1], start[2 * ROWS + 2]) = (1.0, 1.0);
    Case {
        layer,
        x: draw(entries * INPUTS, 1.0),
        start,
        first,
        before: draw(entries * SIZE, 1.0),
        after: draw(entries * SIZE, 1.0),
    }
}

fn run(case: &Case) -> (Tape, States) {
    let (mut tape, mut states) = (Tape::default(), case.first.clone());
    case.layer.forward(&case.x, &case.start, ROWS, &mut states, &mut tape, |_, _, _| {});
    (tape, states)
}

fn loss(case: &Case) -> f64 {
    let (tape, _) = run(case);
    let sum = |states: &[f32], weights: &[f32]| {
        states.iter().zip(weights).map(|(s, w)| f64::from(s * w)).sum::<f64>()
    };
    sum(&tape.before, &case.before) + sum(&tape.after, &case.after)
}

fn gradients(case: &Case) -> (Layer, Vec<f32>) {
    let (mut tape, _) = run(case);
    let mut transposed = Transposed::default();
    transposed.update(&case.layer);
    let mut gradients = Layer::zeros(case.layer.cell, INPUTS, SIZE);
    let mut dx = vec![0.0; case.x.len()];
    case.layer.backward(
        &transposed,
        &case.x,
        &case.start,
        &case.before,
        &case.after,
        &mut tape,
        &mut gradients,
        Some(&mut dx),
        |_, _, _| {},
    );
    (gradients, dx)
}

/// States agree with the same cell step by step in plain code.
#[test]
fn a_window_equals_its_steps() {
    for cell in CELLS {
        let case = case(cell);
        let (tape, states) = run(&case);
        let gate = |matrix: &[f32], at: usize| -> Vec<f32> {
            matrix
                .chunks_exact(case.layer.width())
                .flat_map(|row| row[at * SIZE..(at + 1) * SIZE].to_vec())
                .collect()
        };
        let gates = 0..cell.gates().len();
        let plain = CellWeights {
            cell,
            size: SIZE,
            input: gates.clone().map(|g| gate(&case.layer.input, g)).collect(),
            input_bias: gates.clone().map(|g| gate(&case.layer.bias, g)).collect(),
            hidden: gates.map(|g| gate(&case.layer.hidden, g)).collect(),
            hidden_bias: case.layer.inner.clone(),
        };
        for row in 0..ROWS {
            let of = row * SIZE..(row + 1) * SIZE;
            let mut hidden = case.first.hidden[of.clone()].to_vec();
            let mut memory =
                if cell == Cell::Lstm { case.first.memory[of.clone()].to_vec() } else { vec![0.0; SIZE] };
            for step in 0..STEPS {
                let at = step * ROWS + row;
                if case.start[at] > 0.0 {
                    hidden.fill(0.0);
                    memory.fill(0.0);
                }
                plain.step(&case.x[at * INPUTS..(at + 1) * INPUTS], &mut hidden, &mut memory);
                let fused = &tape.after[at * SIZE..(at + 1) * SIZE];
                assert!(
                    hidden.iter().zip(fused).all(|(a, b)| (a - b).abs() < 1e-5),
                    "{cell:?} row {row} step {step}: {hidden:?} {fused:?}"
                );
            }
            assert!(
                hidden.iter().zip(&states.hidden[of]).all(|(a, b)| (a - b).abs() < 1e-5),
                "{cell:?} row {row}"
            );
        }
    }
}

/// Every gradient agrees with central differences.
#[test]
fn gradients_equal_finite_differences() {
    for cell in CELLS {
        let mut case = case(cell);
        let (exact, dx) = gradients(&case);
        let step = 5e-3_f32;
        let mut check = |name: &str, exact: f32, nudge: &dyn Fn(&mut Case, f32)| {
            nudge(&mut case, step);
            let up = loss(&case);
            nudge(&mut case, -2.0 * step);
            let down = loss(&case);
            nudge(&mut case, step);
            let numeric = (up - down) / (2.0 * f64::from(step));
            assert!(
                (numeric - f64::from(exact)).abs() < 2e-3 + 5e-3 * numeric.abs(),
                "{cell:?} {name}: {numeric} {exact}"
            );
        };
        for tensor in 0..4 {
            for i in 0..exact.tensors()[tensor].len() {
                check(&format!("tensor {tensor}[{i}]"), exact.tensors()[tensor][i], &|case, by| {
                    case.layer.tensors_mut()[tensor][i] += by;
                });
            }
        }
        for (i, exact) in dx.iter().enumerate() {
            check(&format!("x[{i}]"), *exact, &|case, by| case.x[i] += by);
        }
    }
}

/// Gradients agree with burn's autodiff through the unrolled cell.
#[cfg(feature = "burn")]
#[test]
fn gradients_equal_burns() {
    let device = Device::flex();
    for cell in CELLS {
        let case = case(cell);
        let width = case.layer.width();
        let column = |matrix: &[f32], at: usize| -> Vec<f32> {
            matrix.chunks_exact(width).flat_map(|row| row[at * SIZE..(at + 1) * SIZE].to_vec()).collect()
        };
        let leaf = |values: Vec<f32>| {
            let rows = values.len() / SIZE;
            on_device(values, [rows, SIZE], &device).autodiff().require_grad()
        };
        let gates = 0..cell.gates().len();
        let hidden: Vec<Tensor<2>> = gates.clone().map(|g| leaf(column(&case.layer.hidden, g))).collect();
        let x = on_device(case.x.clone(), [ROWS * STEPS, INPUTS], &device);
        let projections: Vec<Tensor<2>> = gates
            .map(|g| {
                x.clone().matmul(on_device(column(&case.layer.input, g), [INPUTS, SIZE], &device))
                    + on_device(column(&case.layer.bias, g), [1, SIZE], &device)
            })
            .map(Tensor::autodiff)
            .collect();
        let inner = (cell == Cell::Gru).then(|| leaf(case.layer.inner.clone()));
        let mut carried = Carried::zeros(ROWS, SIZE, &device);
        carried.hidden = on_device(case.first.hidden.clone(), [ROWS, SIZE], &device);
        if cell == Cell::Lstm {
            carried.memory = on_device(case.first.memory.clone(), [ROWS, SIZE], &device);
        }
        let keep = |step: usize| {
            Some(on_device(
                case.start[step * ROWS..(step + 1) * ROWS].iter().map(|s| 1.0 - s).collect(),
                [ROWS, 1],
                &device,
            ))
        };
        let unrolled = unroll(
            cell,
            &projections,
            &hidden,
            inner.as_ref(),
            STEPS,
            keep,
            |_, state| (state, None),
            carried,
        );
        let weighted = |states: &[Tensor<2>], weights: &[f32]| {
            (Tensor::cat(states.to_vec(), 0) * on_device(weights.to_vec(), [ROWS * STEPS, SIZE], &device))
                .sum_dim(0)
                .sum_dim(1)
        };
        let mut found = (weighted(&unrolled.before, &case.before) + weighted(&unrolled.after, &case.after))
            .reshape([1])
            .backward();
        let (exact, _) = gradients(&case);
        let mut same = |name: &str, leaf: &Tensor<2>, ours: Vec<f32>| {
            let theirs = read(name, &leaf.grad_remove(&mut found).unwrap()).unwrap().data;
            assert!(
                theirs.iter().zip(&ours).all(|(a, b)| (a - b).abs() < 1e-4 + 1e-4 * a.abs()),
                "{cell:?} {name}: {theirs:?} {ours:?}"
            );
        };
        hidden.iter().enumerate().for_each(|(g, leaf)| same("hidden", leaf, column(&exact.hidden, g)));
        inner.iter().for_each(|leaf| same("inner", leaf, exact.inner.clone()));
    }
}
