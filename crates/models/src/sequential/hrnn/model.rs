//! A trained HRNN, and users' states: the filter's equations, one rating at a time.

use super::filter::classify;
use super::items::{Own, Vectors};
use super::lanes::Lane;
use super::parameters::Sizes;
use super::train::{Training, parameters};
use super::{Dense, Settings, correction, smooth};
use crate::engine::tensors::NamedTensor;
use crate::model::predict_rows;
use crate::{ModelSettings, Predictor, Reading, state};
use foretaste_data::History;

mod saved;

/// A trained HRNN.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    sizes: Sizes,
    dense: Dense,
    /// `(c, q)` of each item, and what it adds to a bag: `[items, 1 + tastes]` each.
    vectors: Vec<f32>,
    bags: Vec<f32>,
    /// `mu + beta`, `omega`, and the noise' variance, an item each; at the end, of an item not known.
    base: Vec<f32>,
    extra: Vec<f32>,
    noise: Vec<f32>,
    /// Levels of items over time, `[items, bins]`.
    bins: Vec<f32>,
    /// What attributes say of items' kinds, `[items, kinds]`.
    kinds: Vec<f32>,
    /// What each user added to the vectors of the items they rated in training: by the rating's being there
    /// and by its residual, `[users, 1 + tastes]` each, the items' scales, and the users' means.
    own: Own,
    scales: Vec<f32>,
    means: Vec<f32>,
    /// What attributes say of each user, `[users, 1 + tastes]`; empty without.
    priors: Vec<f32>,
}

/// A user's state.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// Mean and packed covariance after the last rating.
    pub(super) mean: Vec<f32>,
    pub(super) covariance: Vec<f32>,
    pub(super) bag: Vec<f32>,
    prior: Vec<f32>,
    streak: Vec<f32>,
    pub(super) count: f32,
    pub(super) surprise: f32,
    /// Time of the last rating, if there is one.
    pub(super) last: Option<i64>,
}

/// What is asked of a user at one time, whatever the item: what is expected of all, the weights of
/// `(c, q)` and of kinds, and the part of the log's time.
struct Query {
    level: f32,
    weights: Vec<f32>,
    streak: Vec<f32>,
    bin: usize,
}

impl Model {
    /// The model that training has come to.
    pub(super) fn trained(training: &Training, vectors: Vectors, priors: Vec<f32>) -> Self {
        let (layout, values, sizes) = (&training.layout, &training.values, training.sizes);
        let mean = values[layout.mean.start];
        let log_noise = values[layout.log_noise.start];
        let prior = (2.0 * values[layout.log_bias_deviation.start]).exp();
        let known = |item: usize| training.counts[item] > 0;
        let column = |of: &dyn Fn(usize) -> f32, unknown: f32| -> Vec<f32> {
            let items = (0..sizes.items).map(|item| if known(item) { of(item) } else { unknown });
            items.chain([unknown]).collect()
        };
        let at = |range: &std::ops::Range<usize>, item: usize| values[range.start + item];
        let k = sizes.shape.item();
        let mut own = vectors.own;
        for (user, rows) in own.raters.chunks_exact_mut(k).zip(own.ratings.chunks_exact_mut(k)).enumerate() {
            if training.train.range(user as u32).is_empty() {
                rows.0.fill(0.0);
                rows.1.fill(0.0);
            }
        }
        Self {
            settings: training.settings.clone(),
            sizes,
            dense: layout.dense(values, training.range),
            vectors: vectors.items,
            bags: vectors.bags,
            base: column(&|item| mean + at(&layout.bias, item), mean),
            extra: column(&|item| at(&layout.log_bias_variance, item).exp(), prior),
            noise: column(&|item| (log_noise + at(&layout.item_noise, item)).exp(), log_noise.exp()),
            bins: values[layout.bins.clone()].to_vec(),
            kinds: vectors.kinds,
            own,
            scales: training.raters.scales.clone(),
            means: training.raters.means.clone(),
            priors,
        }
    }

    /// Place of an item's numbers; the last one for an item that is not known.
    fn place(&self, item: u32) -> usize {
        (item as usize).min(self.sizes.items)
    }

    /// `(c, q)`; zeros for an item that is not known.
    fn vector(&self, item: u32) -> Option<&[f32]> {
        let k = self.sizes.shape.item();
        self.vectors.get(item as usize * k..(item as usize + 1) * k)
    }

    /// The same without what a trained user added to it by a rating.
    fn without<'a>(&'a self, user: u32, item: u32, value: f32, space: &'a mut Vec<f32>) -> Option<&'a [f32]> {
        let (vector, mean) = (self.vector(item)?, self.means.get(user as usize));
        let Some(mean) = mean else { return Some(vector) };
        space.clear();
        space.extend_from_slice(vector);
        self.own.leave_out(user, self.scales[item as usize], value - mean, space);
        Some(space)
    }

    /// The class of the idle gap up to `timestamp`.
    fn gap(&self, user: &User, timestamp: i64) -> usize {
        usize::from(self.settings.gap(user.last.map_or(0, |last| timestamp.saturating_sub(last))))
    }

    /// What a gap leaves of each level, and of tastes.
    fn drift(&self, user: &User, timestamp: i64) -> &[f32] {
        let (class, width) = (self.gap(user, timestamp), self.sizes.shape.levels + 1);
        &self.dense.drift[class * width..(class + 1) * width]
    }

    /// What a gap leaves of a streak.
    fn fade(&self, user: &User, timestamp: i64) -> f32 {
        self.dense.fade.get(self.gap(user, timestamp)).copied().unwrap_or(0.0)
    }

    /// The shares of the kinds of an item with the vector `vector`.
    fn kind(&self, item: u32, vector: Option<&[f32]>) -> Vec<f32> {
        let n = self.sizes.shape.kinds;
        let said = self.kinds.get(item as usize * n..(item as usize + 1) * n);
        let mut kinds =
            said.map_or_else(|| vec![Lane::ZERO; n], |said| said.iter().map(|x| Lane::splat(*x)).collect());
        let tastes: Vec<Lane> =
            vector.map_or_else(Vec::new, |v| v[1..].iter().map(|x| Lane::splat(*x)).collect());
        classify(&self.dense, &tastes, &mut kinds);
        kinds.iter().map(|kind| kind.to_array()[0]).collect()
    }

    /// The state of a user of whom nothing is known but attributes.
    pub(super) fn begin(&self, user: u32) -> User {
        let (shape, k) = (self.sizes.shape, self.sizes.shape.item());
        let mut covariance = Vec::with_capacity(shape.packed());
        for i in 0..shape.state() {
            covariance.extend(std::iter::repeat_n(0.0, i));
            covariance.push(self.prior_variance(i));
        }
        let at = user as usize * k;
        User {
            mean: vec![0.0; shape.state()],
            covariance,
            bag: self.dense.empty.clone(),
            streak: vec![0.0; shape.kinds],
            prior: self.priors.get(at..at + k).map_or_else(|| vec![0.0; k], <[f32]>::to_vec),
            count: 0.0,
            surprise: 0.0,
            last: None,
        }
    }

    /// Prior variance of an entry of the state.
    pub(super) fn prior_variance(&self, entry: usize) -> f32 {
        if entry < self.sizes.shape.levels { self.dense.variances[entry] } else { 1.0 }
    }

    /// The bag of a user without ratings.
    pub(super) fn empty(&self) -> &[f32] {
        &self.dense.empty
    }

    /// Takes in row `row` of the ratings that a user had at training; `clock` is -1 where time runs
    /// backwards.
    pub(super) fn take_known(
        &self,
        state: &mut User,
        user: u32,
        known: History<'_>,
        row: usize,
        clock: i64,
        space: &mut Vec<f32>,
    ) {
        let (item, value, time) = (known.items[row], known.values[row], known.timestamps.at(row));
        let vector = self.without(user, item, value, space);
        self.take(state, (item, vector), value, (clock * time, self.sizes.bins.of(time)));
    }

    /// Without drift, and with noise that is the same for all users.
    #[cfg(test)]
    pub(super) fn without_order(&mut self) {
        self.dense.drift.fill(1.0);
        self.dense.empty.fill(0.0);
        self.dense.n0 = f32::MAX;
    }

    /// What is asked of a user at a time, by the user's clock and in the log.
    fn query(&self, user: &User, (timestamp, bin): (i64, usize)) -> Query {
        self.ask(user, (self.drift(user, timestamp), self.fade(user, timestamp)), bin)
    }

    /// The same of a state of which the time since then leaves `a` and, of its streak, `fade`.
    fn ask(&self, user: &User, (a, fade): (&[f32], f32), bin: usize) -> Query {
        let levels = self.sizes.shape.levels;
        let root = 1.0 / (user.count + self.dense.kappa).sqrt();
        let level: f32 = user.mean[..levels].iter().zip(a).map(|(s, a)| s * a).sum();
        let weights = user.mean[levels..].iter().zip(&user.prior[1..]).zip(&user.bag[1..]);
        let weights = weights.map(|((mean, prior), bag)| a[levels] * mean + prior + bag * root);
        Query {
            level: level + user.prior[0] + user.bag[0] * root,
            weights: std::iter::once(1.0).chain(weights).collect(),
            streak: user.streak.iter().zip(&self.dense.streak).map(|(s, w)| fade * s * w).collect(),
            bin,
        }
    }

    /// The expected rating of an item at `timestamp`, of a state that has drifted to it.
    pub(super) fn predict_now(&self, user: &User, item: u32, timestamp: i64) -> f32 {
        let still = vec![1.0; self.sizes.shape.levels + 1];
        let query = self.ask(user, (&still, 1.0), self.sizes.bins.of(timestamp));
        self.expected(item, self.vector(item), &query)
    }

    /// The expected rating of an item with the vector `vector`.
    fn expected(&self, item: u32, vector: Option<&[f32]>, query: &Query) -> f32 {
        let (place, bins, n) = (self.place(item), self.sizes.bins.n, self.sizes.shape.kinds);
        let product = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        let match_ = vector.map_or(0.0, |vector| product(vector, &query.weights));
        let now = self.bins.get(place * bins + query.bin).copied().unwrap_or(0.0);
        let streak = if n > 0 { product(&self.kind(item, vector), &query.streak) } else { 0.0 };
        correction::bent_one(&self.dense, self.base[place] + now + query.level + match_ + streak)
    }

    /// Drifts a state to `timestamp`.
    pub(super) fn move_to(&self, user: &mut User, timestamp: i64) {
        let (shape, a) = (self.sizes.shape, self.drift(user, timestamp));
        let fade = self.fade(user, timestamp);
        user.streak.iter_mut().for_each(|streak| *streak *= fade);
        let of = |entry: usize| a[entry.min(shape.levels)];
        let mut row = 0;
        for i in 0..shape.state() {
            let ai = of(i);
            user.mean[i] *= ai;
            for j in 0..i {
                user.covariance[row + j] *= ai * of(j);
            }
            let own = &mut user.covariance[row + i];
            *own = *own * (ai * ai) + (1.0 - ai * ai) * self.prior_variance(i);
            row += i + 1;
        }
    }

    /// `u = P h` and `h'u` of a state that has drifted.
    fn gain(&self, user: &User, vector: Option<&[f32]>) -> (Vec<f32>, f32) {
        let shape = self.sizes.shape;
        let mut h = vec![1.0; shape.state()];
        match vector {
            Some(vector) => h[shape.levels..].copy_from_slice(&vector[1..]),
            None => h[shape.levels..].fill(0.0),
        }
        let mut u = vec![0.0; shape.state()];
        let mut row = 0;
        for i in 0..shape.state() {
            let (hi, p) = (h[i], &user.covariance[row..=row + i]);
            let mut sum = p[i] * hi;
            for j in 0..i {
                sum += p[j] * h[j];
                u[j] += p[j] * hi;
            }
            u[i] += sum;
            row += i + 1;
        }
        let variance = u.iter().zip(&h).map(|(u, h)| u * h).sum();
        (u, variance)
    }

    /// The user's share of the noise.
    fn user_noise(&self, user: &User) -> f32 {
        (self.dense.n0 + user.surprise) / (self.dense.n0 + user.count)
    }

    /// Takes a rating of an item with the vector `vector` in.
    fn take(
        &self,
        user: &mut User,
        (item, vector): (u32, Option<&[f32]>),
        value: f32,
        (timestamp, bin): (i64, usize),
    ) {
        let place = self.place(item);
        let expected = self.expected(item, vector, &self.query(user, (timestamp, bin)));
        let new = 1.0 - if user.last.is_some() { self.fade(user, timestamp) } else { 0.0 };
        self.move_to(user, timestamp);
        let (u, spread) = self.gain(user, vector);
        let noise = self.user_noise(user);
        let variance = spread + self.noise[place] * noise + self.extra[place];
        let error = value - expected;
        let warped =
            correction::warped_one(self.sizes.shape, &self.dense, [expected, error, variance, value]);
        let mut row = 0;
        for i in 0..u.len() {
            let share = u[i] / variance;
            user.mean[i] += share * warped;
            user.covariance[row..=row + i].iter_mut().zip(&u).for_each(|(p, u)| *p -= share * u);
            row += i + 1;
        }
        let k = self.sizes.shape.item();
        if let Some(add) = self.bags.get(item as usize * k..(item as usize + 1) * k) {
            user.bag.iter_mut().zip(add).for_each(|(bag, add)| *bag += add);
        }
        let n = self.sizes.shape.kinds;
        if n > 0 {
            let kind = self.kind(item, vector);
            user.streak.iter_mut().zip(kind).for_each(|(streak, kind)| *streak += new * kind);
        }
        user.count += 1.0;
        user.surprise += noise * error * error / variance;
        user.last = Some(timestamp);
    }
}

impl Predictor for Model {
    type State = User;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        parameters(self.sizes)
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        self.saved()
    }

    /// A new user is the prior. Of a trained user's rows, what the user added to the items' vectors is left
    /// out, as in training.
    fn start(&self, user: u32, known: History<'_>) -> User {
        let mut state = self.begin(user);
        let mut space = Vec::new();
        for row in 0..known.len() {
            self.take_known(&mut state, user, known, row, 1, &mut space);
        }
        state
    }

    fn update(&self, user: &mut User, item: u32, value: f32, timestamp: i64) {
        let bin = self.sizes.bins.of(timestamp);
        self.take(user, (item, self.vector(item)), value, (timestamp, bin));
    }

    fn predict(&self, user: &User, item: u32, timestamp: i64) -> f32 {
        let when = (timestamp, self.sizes.bins.of(timestamp));
        self.expected(item, self.vector(item), &self.query(user, when))
    }

    fn variance(&self, user: &User, item: u32, timestamp: i64) -> Option<f32> {
        let mut user = user.clone();
        self.move_to(&mut user, timestamp);
        let (_, spread) = self.gain(&user, self.vector(item));
        let place = self.place(item);
        Some(spread + self.noise[place] * self.user_noise(&user) + self.extra[place])
    }

    fn scores(&self, user: &User, timestamp: i64, out: &mut [f32]) {
        let query = self.query(user, (timestamp, self.sizes.bins.of(timestamp)));
        for (item, out) in out.iter_mut().enumerate() {
            *out = self.expected(item as u32, self.vector(item as u32), &query);
        }
    }

    fn predict_user(
        &self,
        user: u32,
        known: History<'_>,
        asked: History<'_>,
        reading: Reading,
        out: &mut [f32],
    ) {
        if smooth::is_between(known, asked) {
            smooth::predict_user(self, user, known, asked, reading, out);
            return;
        }
        predict_rows(self, self.start(user, known), asked, reading, out);
    }

    fn write_state(&self, user: &User) -> Vec<u8> {
        state::to_bytes(user)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<User> {
        let shape = self.sizes.shape;
        let fits = |user: &User| {
            user.mean.len() == shape.state()
                && user.covariance.len() == shape.packed()
                && user.bag.len() == shape.item()
                && user.prior.len() == shape.item()
                && user.streak.len() == shape.kinds
        };
        state::from_bytes(bytes).filter(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::{forward, predictions};
    use super::super::tests::{drawn, histories, small};
    use super::super::train::train_model;
    use super::*;
    use crate::engine::epochs::Trainer;
    use crate::{Device, FitContext};

    /// One rating at a time gives what lanes give, whole histories long.
    #[test]
    fn one_at_a_time_is_as_in_lanes() {
        let train = histories(40, 15, 60);
        let device = Device::flex();
        let context = FitContext::new(1, &device);
        let settings = Settings { update_dropout: 0.0, blind: 0.0, ..small() };
        let mut model = train_model(&settings, &train, &context).unwrap();
        let mut training = Training::new(&settings, &train, &context).unwrap();
        for epoch in 0..settings.epochs {
            training.epoch(epoch, &context).unwrap();
        }
        training.refresh();
        // Lanes draw biases, a state adds their variance: neither here.
        model.extra.fill(0.0);
        let dense = training.layout.dense(&training.values, training.range);
        let mut seen = 0;
        for mut group in drawn(&training) {
            group.draws.fill(0.0);
            training.gather(&mut group);
            let mut tape = Vec::new();
            forward(training.sizes.shape, &dense, &mut group, &mut tape);
            let found = predictions(training.sizes.shape, &group, &tape);
            for piece in &group.pieces {
                let history = train.user(piece.user);
                let (mut state, mut space) = (model.begin(piece.user), Vec::new());
                for n in 0..piece.len {
                    let entry = piece.entry(n);
                    let (_, expected, variance) = *found.iter().find(|of| of.0 == entry).unwrap();
                    let (item, value, time) = (history.items[n], history.values[n], history.timestamps.at(n));
                    let when = (time, model.sizes.bins.of(time));
                    let vector = model.without(piece.user, item, value, &mut space);
                    let own = model.expected(item, vector, &model.query(&state, when));
                    assert!((own - expected).abs() < 2e-4, "row {n}: {own} and {expected}");
                    let mut moved = state.clone();
                    model.move_to(&mut moved, time);
                    let spread = model.gain(&moved, vector).1;
                    let spread = spread + model.noise[item as usize] * model.user_noise(&moved);
                    assert!((spread - variance).abs() < 2e-4, "row {n}: {spread} and {variance}");
                    model.take(&mut state, (item, vector), value, when);
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, train.len());
    }
}
