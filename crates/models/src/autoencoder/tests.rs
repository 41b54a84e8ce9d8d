use super::*;
use crate::engine::tensors::NamedTensor;
use crate::{Device, FitContext};
use foretaste_data::{Histories, rng};
use rand::RngExt;

/// Five users over six items.
fn tiny() -> Rows {
    let items = vec![0, 2, 5, 1, 2, 0, 1, 3, 4, 5, 3, 4];
    let values = vec![5.0, 3.0, 4.0, 1.0, 2.0, 4.0, 3.0, 5.0, 2.0, 1.0, 4.0, 2.0];
    Rows::users(&Histories::new(vec![0, 3, 5, 9, 10, 12], items, values, (0..12).collect::<Vec<_>>(), 6), 3.0)
}

fn objective(optimizer: Optimizer, refeeding: usize) -> Objective {
    Objective {
        optimizer,
        batch: 5,
        regularization: 0.3,
        mean: refeeding > 0,
        dropout: if refeeding > 0 { 0.4 } else { 0.0 },
        refeeding,
        drop_last: false,
    }
}

fn deep(width: usize) -> Shape {
    Shape::mirrored(width, &[4, 3], Activation::Selu, Activation::Selu)
}

/// Half the penalty plus the squared errors of all ratings, by the plain code.
fn loss(network: &Network, data: &Rows, regularization: f64) -> f64 {
    let mut sum = 0.0;
    for row in 0..data.len() {
        let (columns, values) = data.row(row);
        let mut sums = network.empty();
        columns.iter().zip(values).for_each(|(c, v)| network.take_in(&mut sums, *c, *v));
        let hidden = network.hidden(&sums);
        sum += columns
            .iter()
            .zip(values)
            .map(|(c, v)| f64::from(network.output(&hidden, *c).unwrap() - v).powi(2))
            .sum::<f64>();
    }
    let weights =
        network.input.iter().chain(&network.output).chain(network.layers.iter().flat_map(|(w, _)| w));
    sum + 0.5 * regularization * weights.map(|w| f64::from(*w).powi(2)).sum::<f64>()
}

#[test]
fn slopes_equal_differences_and_values_burns() {
    for activation in [Activation::Identity, Activation::Sigmoid, Activation::Relu, Activation::Selu] {
        for x in [-2.0_f32, -0.3, 0.4, 1.7] {
            #[cfg(feature = "burn")]
            assert!((activation.of(x) - activation.on_burn(x, &Device::flex())).abs() < 1e-6);
            let slope = (activation.of(x + 1e-3) - activation.of(x - 1e-3)) / 2e-3;
            assert!((slope - activation.slope(activation.of(x))).abs() < 1e-3, "{activation:?} {x}");
        }
    }
}

/// One step of plain gradient descent (momentum's first) on all rows moves every parameter against
/// the finite difference of the loss, in both forms of the wide layers.
#[test]
fn gradients_equal_finite_differences() {
    let data = tiny();
    let device = Device::flex();
    // The other form comes with burn.
    for native in if cfg!(feature = "burn") { &[true, false][..] } else { &[true] } {
        for shape in [deep(6), Shape::mirrored(6, &[3], Activation::Sigmoid, Activation::Identity)] {
            let mut training =
                Training::on(shape.clone(), objective(Optimizer::Momentum, 0), &data, 3, &device, *native);
            let before = training.network().unwrap();
            let rate = 1e-3;
            training.epoch(0, rate, &FitContext::new(1, &device)).unwrap();
            let after = tensors_of(&training.network().unwrap());
            let names = tensors_of(&before);
            let mut moved = 0;
            for (tensor, new) in names.iter().zip(&after) {
                for at in 0..tensor.data.len() {
                    let shifted = |by: f32| {
                        let mut tensors = names.clone();
                        tensors.iter_mut().find(|t| t.name == tensor.name).unwrap().data[at] += by;
                        loss(&from_tensors(&shape, &tensors), &data, 0.3)
                    };
                    let gradient = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
                    let step = f64::from((new.data[at] - tensor.data[at]) / rate);
                    assert!(
                        (step + gradient).abs() < 0.02 + 0.02 * gradient.abs(),
                        "native {native}, {} {at}: {step} {gradient}",
                        tensor.name
                    );
                    moved += usize::from(gradient.abs() > 0.1);
                }
            }
            assert!(moved > 20, "{moved}");
        }
    }
}

fn from_tensors(shape: &Shape, tensors: &[NamedTensor]) -> Network {
    let get = |name: &str| tensors.iter().find(|t| t.name == name).unwrap().data.clone();
    let layers = (0..shape.sizes.len() - 1)
        .map(|layer| (get(&format!("layer.{layer}")), get(&format!("layer_bias.{layer}"))))
        .collect();
    Network {
        shape: shape.clone(),
        input: get("input"),
        input_bias: get("input_bias"),
        output: get("output"),
        output_bias: get("output_bias"),
        layers,
    }
}

/// All weights after some epochs with dropout and re-feeding.
#[cfg(feature = "burn")]
fn trained(device: &Device, native: bool, optimizer: Optimizer) -> (f64, Vec<NamedTensor>) {
    let data = tiny();
    let mut training = Training::on(deep(6), objective(optimizer, 2), &data, 3, device, native);
    let mut squares = 0.0;
    for epoch in 0..4 {
        squares = training.epoch(epoch, 0.02, &FitContext::new(1, device)).unwrap();
    }
    (squares, tensors_of(&training.network().unwrap()))
}

#[cfg(feature = "burn")]
fn assert_close(a: &(f64, Vec<NamedTensor>), b: &(f64, Vec<NamedTensor>)) {
    assert!((a.0 - b.0).abs() < 1e-3 * a.0.abs(), "{} {}", a.0, b.0);
    for (x, y) in a.1.iter().zip(&b.1) {
        assert_eq!((&x.name, x.data.len()), (&y.name, y.data.len()));
        for (p, q) in x.data.iter().zip(&y.data) {
            assert!((p - q).abs() < 2e-4 + 2e-3 * p.abs(), "{}: {p} {q}", x.name);
        }
    }
}

/// Native code over ratings and dense products by burn's autodiff train the same network, dropout and
/// re-feeding included.
#[cfg(feature = "burn")]
#[test]
fn native_and_dense_forms_agree() {
    let device = Device::flex();
    for optimizer in [Optimizer::Adam, Optimizer::Momentum] {
        assert_close(&trained(&device, true, optimizer), &trained(&device, false, optimizer));
    }
}

/// The dense form on another device trains the network the native form trains. Runs where an adapter
/// is there: CI brings a software Vulkan driver and names it in `FORETASTE_PARITY_DEVICE`.
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_parity() {
    let Some(other) = Device::for_parity() else { return };
    assert_close(
        &trained(&Device::flex(), true, Optimizer::Momentum),
        &trained(&other, false, Optimizer::Momentum),
    );
}

#[test]
fn transposing_twice_changes_nothing() {
    let mut random = rng(3, "rows");
    let mut rows = Rows { offsets: vec![0], columns: vec![], values: vec![], width: 9 };
    for _ in 0..20 {
        let items: Vec<u32> = (0..9).filter(|_| random.random_range(0..3) == 0).collect();
        let values: Vec<f32> = items.iter().map(|_| random.random_range(1.0..5.0)).collect();
        rows.push(&items, values.as_slice().into(), 0.0);
    }
    assert_eq!(transposed(&transposed(&rows)), rows);
    // A later rating of the same item replaces the earlier one.
    rows.push(&[4, 2, 4], [1.0, 2.0, 3.0][..].into(), 0.0);
    assert_eq!(rows.row(20), ([2, 4].as_slice(), [2.0, 3.0].as_slice()));
}
