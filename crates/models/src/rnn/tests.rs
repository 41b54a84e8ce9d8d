use super::network::window;
use super::parameters::Parameters;
use super::*;
use crate::Device;
use crate::optimizer::read;
use crate::recurrent::Carried;
use foretaste_data::Histories;
use foretaste_data::batch::{Batch, Batches};

/// Three users over five items, lengths 7, 4 and 2, and a batch of two rows and six steps that holds
/// a user's start in the middle of a row, a user's end, and padding.
fn tiny() -> (Settings, Scale, Histories) {
    let settings = Settings { size: 3, item_factors: 2, rows: 2, window: 6, ..Settings::default() };
    let items = vec![0, 1, 2, 3, 1, 0, 2, 3, 0, 1, 2, 4, 0];
    let values = vec![5.0, 3.0, 4.0, 1.0, 2.0, 4.0, 3.0, 5.0, 2.0, 1.0, 4.0, 3.0, 5.0];
    let times = vec![0, 10, 500, 510, 90_000, 90_005, 90_010, 3, 9, 2_000, 2_001, 7, 8];
    (settings, Scale { mean: 3.2, deviation: 1.3 }, Histories::new(vec![0, 7, 11, 13], items, values, times, 5))
}

fn batches(settings: &Settings, histories: &Histories) -> Vec<Batch> {
    let mut walk = Batches::new(histories, settings.rows, settings.window, 1, 0);
    let mut all = Vec::new();
    let mut batch = Batch::default();
    while walk.next_into(&mut batch) {
        all.push(batch.clone());
    }
    all
}

fn network(settings: &Settings, device: &Device) -> Parameters {
    Parameters::new(settings, &[0.3, -0.1, 0.2, 0.0, -0.4], 3, device)
}

/// Sum of squared errors by the plain code, which shares nothing with the burn code but the equations.
fn squares_by_replay(model: &Model, histories: &Histories) -> f64 {
    let mut sum = 0.0;
    for user in 0..histories.n_users() as u32 {
        let history = histories.user(user);
        let mut state = State::new(model);
        for row in 0..history.len() {
            let predicted = state.predict(history.items[row], history.timestamps[row]);
            sum += f64::from(predicted - history.values[row]).powi(2);
            state.reveal(history.items[row], history.values[row], history.timestamps[row]);
        }
    }
    sum
}

/// Windows with carried states and resets predict what the plain replay predicts.
#[test]
fn windows_equal_the_replay() {
    for cell in [Cell::Gru, Cell::Lstm] {
        windows_equal_the_replay_of(cell);
    }
}

fn windows_equal_the_replay_of(cell: Cell) {
    let (settings, scale, histories) = tiny();
    let settings = Settings { cell, ..settings };
    let device = Device::flex();
    let parameters = network(&settings, &device);
    let mut hidden = Carried::zeros(2, 3, &device);
    let mut squares = 0.0;
    let all = batches(&settings, &histories);
    assert!(all.len() > 1, "states must be carried for this test to mean anything");
    for batch in &all {
        let out = window(&parameters, &settings, scale, batch, hidden, &device);
        squares += f64::from(out.squares.into_scalar::<f32>());
        hidden = out.carried;
    }
    let model = Model { weights: Weights::new(&settings, parameters.values().unwrap()), settings, scale };
    let expected = squares_by_replay(&model, &histories);
    assert!((squares - expected).abs() < 1e-4 * expected, "{squares} {expected}");
}

/// The gradients of every parameter agree with central differences of the plain replay's loss.
#[test]
fn gradients_equal_finite_differences() {
    for cell in [Cell::Gru, Cell::Lstm] {
        gradients_equal_finite_differences_of(cell);
    }
}

fn gradients_equal_finite_differences_of(cell: Cell) {
    let (mut settings, scale, histories) = tiny();
    settings.cell = cell;
    // One window holds every history whole, so that no gradient is cut off.
    settings.window = 13;
    settings.rows = 1;
    let device = Device::flex();
    let parameters = network(&settings, &device);
    let all = batches(&settings, &histories);
    assert_eq!(all.len(), 1);
    let out = window(&parameters, &settings, scale, &all[0], Carried::zeros(1, 3, &device), &device);
    let gradients: Vec<NamedTensor> = out.dense.iter().chain(&out.tables).map(|g| read("", g).unwrap()).collect();
    let values = parameters.values().unwrap();
    let loss = |values: &[NamedTensor]| {
        let model = Model { weights: Weights::new(&settings, values.to_vec()), settings: settings.clone(), scale };
        squares_by_replay(&model, &histories) / 13.0
    };
    let mut checked = 0;
    for (p, gradient) in gradients.iter().enumerate() {
        assert_eq!(gradient.shape, values[p].shape, "all five items are touched, so rows and table agree");
        for i in 0..gradient.data.len() {
            let step = 2e-3_f32;
            let (mut up, mut down) = (values.clone(), values.clone());
            up[p].data[i] += step;
            down[p].data[i] -= step;
            let numeric = (loss(&up) - loss(&down)) / (2.0 * f64::from(step));
            let exact = f64::from(gradient.data[i]);
            assert!((numeric - exact).abs() < 2e-3 + 0.01 * exact.abs(), "{}[{i}]: {numeric} {exact}", values[p].name);
            checked += usize::from(exact != 0.0);
        }
    }
    assert!(checked > 100, "most gradients are not zero: {checked}");
}

/// The state never sees the rating it predicts: changing one rating moves later predictions only.
#[test]
fn a_prediction_does_not_see_its_own_rating() {
    let (settings, scale, histories) = tiny();
    let device = Device::flex();
    let parameters = network(&settings, &device);
    let model = Model { weights: Weights::new(&settings, parameters.values().unwrap()), settings, scale };
    let empty = Histories::new(vec![0; 4], vec![], vec![], vec![], 5);
    let before = (&model as &dyn RatingModel).predict(&empty, &histories, Reading::Streaming);
    let mut changed = histories.clone();
    changed.values_mut()[3] = 5.0;
    let after = (&model as &dyn RatingModel).predict(&empty, &changed, Reading::Streaming);
    assert_eq!(before[..4], after[..4]);
    assert_ne!(before[4..7], after[4..7]);
    assert_eq!(before[7..], after[7..], "other users stay");
}

/// Loss, gradients and ten training steps agree between `flex` and the wgpu backend. Runs where an
/// adapter is there: CI brings a software Vulkan driver and names it in `FORETASTE_PARITY_DEVICE`.
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_parity() {
    let Ok(name) = std::env::var("FORETASTE_PARITY_DEVICE") else {
        eprintln!("skipped: FORETASTE_PARITY_DEVICE names no device");
        return;
    };
    let other = Device::open(&name).unwrap();
    for cell in [Cell::Gru, Cell::Lstm] {
        parity_of(cell, &other);
    }
}

#[cfg(feature = "wgpu")]
fn parity_of(cell: Cell, other: &Device) {
    let (settings, scale, histories) = tiny();
    let settings = Settings { cell, ..settings };
    let all = batches(&settings, &histories);
    let run = |device: &Device| {
        let mut parameters = network(&settings, device);
        let mut hidden = Carried::zeros(2, 3, device);
        let out = window(&parameters, &settings, scale, &all[0], hidden, device);
        let first: Vec<NamedTensor> = out.dense.iter().chain(&out.tables).map(|g| read("gradient", g).unwrap()).collect();
        let loss = out.squares.into_scalar::<f32>();
        hidden = Carried::zeros(2, 3, device);
        for step in 0..10 {
            let out = window(&parameters, &settings, scale, &all[step % all.len()], hidden, device);
            parameters.step(out.dense, out.tables, &out.rows, 0.01, 0.01);
            hidden = out.carried;
        }
        (loss, first, parameters.values().unwrap())
    };
    let (loss, gradients, trained) = run(&Device::flex());
    let (other_loss, other_gradients, other_trained) = run(other);
    assert!((loss - other_loss).abs() < 1e-4 * loss.abs(), "{loss} {other_loss}");
    for (a, b) in gradients.iter().chain(&trained).zip(other_gradients.iter().chain(&other_trained)) {
        assert_eq!(a.shape, b.shape);
        for (x, y) in a.data.iter().zip(&b.data) {
            assert!((x - y).abs() < 1e-4 + 1e-3 * x.abs(), "{}: {x} {y}", a.name);
        }
    }
}
