//! One window of a batch on the CPU: forward, backward, gradients.
//!
//! The rows of a batch are independent through the window, so they are cut into chunks of a fixed
//! size, each a task of its own from the gathered embeddings to the gradients; the chunks' gradients
//! are added up in order, so that threads change no bit.

use super::batch::{Places, Prepared};
use super::gradients::Gradients;
use super::next::{Head, Shared};
use super::noise::Noise;
use super::weights::{Dense, ITEM_INPUT, ITEM_NEXT, ITEM_OUTPUT, Sizes, USER, Weights};
use super::{Errors, Goal};
use crate::engine::kernels::{Matrix, add, dot, product_into};
use crate::engine::sequence::{Climb, Layer, States, Tape, Transposed, sigmoids, transpose};
use rayon::prelude::*;

/// Rows of a batch that are computed as one task; decides the order of sums.
const CHUNK: usize = 32;

/// Buffers of one chunk, reused for every batch. Entries are step-major.
struct Work {
    states: Vec<States>,
    tapes: Vec<Tape>,
    climb: Climb,
    start: Vec<f32>,
    when: Vec<f32>,
    /// `x_t`, `[entries, inputs]`.
    x: Vec<f32>,
    /// Gradients of a layer's inputs; the first layer's items' part of it.
    dx: Vec<f32>,
    spare: Vec<f32>,
    /// `gamma`, `[entries, size]`, then its gradient before the sigmoid.
    gamma: Vec<f32>,
    /// `(gamma h, w)`, `[entries, size + when]`.
    decoded: Vec<f32>,
    /// Queries, and their gradients, `[entries, factors + 2]`.
    query: Vec<f32>,
    d_query: Vec<f32>,
    /// Gradient of the loss by each prediction.
    slopes: Vec<f32>,
    /// Gradient of the states that are decoded.
    d_state: Vec<f32>,
    next: Head,
    gradients: Dense,
    squares: f64,
}

/// Computes windows; keeps the rows' states between them.
pub(super) struct Native {
    sizes: Sizes,
    rows: usize,
    work: Vec<Work>,
    transposed: Vec<Transposed>,
    /// The states' rows of `W_o` and of `W_n`, transposed.
    queries: [Vec<f32>; 2],
}

impl Native {
    /// For batches of this many rows.
    pub fn new(sizes: Sizes, rows: usize) -> Self {
        let layers = Dense::zeros(&sizes).layers;
        let work = |first: usize| {
            let rows = CHUNK.min(rows - first);
            Work {
                states: layers.iter().map(|layer| States::zeros(layer, rows)).collect(),
                tapes: vec![Tape::default(); sizes.depth],
                climb: Climb::new(sizes.levels, rows, sizes.size),
                start: Vec::new(),
                when: Vec::new(),
                x: Vec::new(),
                dx: Vec::new(),
                spare: Vec::new(),
                gamma: Vec::new(),
                decoded: Vec::new(),
                query: Vec::new(),
                d_query: Vec::new(),
                slopes: Vec::new(),
                d_state: Vec::new(),
                next: Head::default(),
                gradients: Dense::zeros(&sizes),
                squares: 0.0,
            }
        };
        Self {
            sizes,
            rows,
            work: (0..rows).step_by(CHUNK).map(work).collect(),
            transposed: vec![Transposed::default(); sizes.depth],
            queries: [Vec::new(), Vec::new()],
        }
    }

    /// Resets all states.
    pub fn reset(&mut self) {
        for work in &mut self.work {
            for states in &mut work.states {
                states.hidden.fill(0.0);
                states.memory.fill(0.0);
            }
            work.climb.states.iter_mut().flatten().for_each(|state| state.fill(0.0));
        }
    }

    /// Runs the next window; `gradients` become those of the mean loss over the batch's full number of
    /// entries, so that a half-empty batch has half the gradient.
    pub fn window(
        &mut self,
        weights: &Weights,
        batch: &Prepared,
        goal: Goal,
        noise: Noise,
        gradients: &mut Gradients,
    ) -> Errors {
        let sizes = self.sizes;
        self.transposed.iter_mut().zip(&weights.dense.layers).for_each(|(t, layer)| t.update(layer));
        for (to, (query, width)) in self
            .queries
            .iter_mut()
            .zip([(&weights.dense.query, sizes.query()), (&weights.dense.next, sizes.next())])
        {
            transpose(&query[..query.len().min(sizes.size * width)], width, to);
        }
        let rows_of = |table: usize, ids: &[u32]| {
            let width = weights.width(table);
            let mut rows = vec![0.0; ids.len() * width];
            rows.par_chunks_mut(width)
                .zip(ids)
                .with_min_len(64)
                .for_each(|(out, id)| weights.item(table, *id, out));
            rows
        };
        let items = &batch.items.distinct;
        let tables =
            [rows_of(ITEM_INPUT, items), rows_of(ITEM_OUTPUT, if sizes.rates { items } else { &[] })];
        let next = Shared::new(goal, weights, batch);
        let context = Context {
            sizes,
            weights,
            batch,
            tables: &tables,
            rows: self.rows,
            goal,
            noise,
            transposed: &self.transposed,
            queries: &self.queries,
            next: &next,
        };
        self.work.par_iter_mut().enumerate().for_each(|(chunk, work)| work.run(&context, chunk * CHUNK));
        self.collect(weights, batch, gradients);
        Errors {
            squares: self.work.iter().map(|work| work.squares).sum(),
            losses: self.work.iter().map(|work| work.next.losses).sum(),
        }
    }

    /// Adds the chunks' gradients up.
    fn collect(&self, weights: &Weights, batch: &Prepared, gradients: &mut Gradients) {
        let sizes = self.sizes;
        let (d, q) = (sizes.factors, sizes.query());
        for (at, tensor) in gradients.dense.tensors_mut().into_iter().enumerate() {
            tensor.fill(0.0);
            self.work.iter().for_each(|work| add(tensor, work.gradients.tensors()[at], 1.0));
        }
        let place = |entry: u32| {
            let (step, row) = (entry as usize / self.rows, entry as usize % self.rows);
            let work = &self.work[row / CHUNK];
            (work, step * CHUNK.min(self.rows - row / CHUNK * CHUNK) + row % CHUNK)
        };
        let sum =
            |places: &Places, width: usize, out: &mut Vec<f32>, each: &(dyn Fn(u32, &mut [f32]) + Sync)| {
                out.clear();
                out.resize(places.distinct.len() * width, 0.0);
                out.par_chunks_mut(width)
                    .enumerate()
                    .with_min_len(16)
                    .for_each(|(at, out)| places.entries(at).iter().for_each(|entry| each(*entry, out)));
            };
        let inputs = sizes.inputs();
        sum(&batch.items, d, &mut gradients.tables[ITEM_INPUT], &|entry, out| {
            let (work, at) = place(entry);
            add(out, &work.dx[at * inputs..at * inputs + d], 1.0);
        });
        if sizes.rates {
            sum(&batch.items, d + 1, &mut gradients.tables[ITEM_OUTPUT], &|entry, out| {
                let (work, at) = place(entry);
                add(out, &work.query[at * q..=at * q + d], work.slopes[at]);
            });
        }
        if sizes.ranks {
            let (n, width) = (batch.batch.items.len() as u32, sizes.next());
            sum(&batch.asked, width, &mut gradients.tables[ITEM_NEXT], &|entry, out| {
                if entry < n {
                    let (work, at) = place(entry);
                    add(out, &work.next.query[at * width..(at + 1) * width], work.next.slopes[at]);
                } else {
                    let at = (entry - n) as usize;
                    self.work
                        .iter()
                        .for_each(|work| add(out, &work.next.samples[at * width..(at + 1) * width], 1.0));
                }
            });
        }
        if !weights.tables[USER].is_empty() {
            sum(&batch.users, q, &mut gradients.tables[USER], &|entry, out| {
                let (work, at) = place(entry);
                add(out, &work.d_query[at * q..(at + 1) * q], 1.0);
            });
        }
        gradients.spread(weights, batch);
    }
}

/// Data shared by all chunks.
struct Context<'a> {
    sizes: Sizes,
    weights: &'a Weights,
    batch: &'a Prepared,
    /// Rows of the batch's distinct items, attributes added.
    tables: &'a [Vec<f32>; 2],
    rows: usize,
    goal: Goal,
    noise: Noise,
    transposed: &'a [Transposed],
    queries: &'a [Vec<f32>; 2],
    next: &'a Shared<'a>,
}

impl Work {
    /// The rows of the batch from `first` on.
    #[allow(clippy::too_many_lines)] // The equations of a window, in their order.
    fn run(&mut self, context: &Context, first: usize) {
        let Context { sizes, weights, batch, .. } = *context;
        let (d, h, w, inputs) = (sizes.factors, sizes.size, sizes.when, sizes.inputs());
        let rows = CHUNK.min(context.rows - first);
        let steps = batch.batch.items.len() / context.rows;
        let entries = steps * rows;
        // The position of a chunk's entry in the batch.
        let outer = |entry: usize| entry / rows * context.rows + first + entry % rows;
        self.start.clear();
        self.start.extend((0..entries).map(|entry| batch.batch.start[outer(entry)]));
        self.when.clear();
        (0..steps).for_each(|step| {
            let from = (step * context.rows + first) * w;
            self.when.extend_from_slice(&batch.when[from..from + rows * w]);
        });
        self.x.resize(entries * inputs, 0.0);
        for (entry, x) in self.x.chunks_exact_mut(inputs).enumerate() {
            let at = outer(entry);
            let place = batch.items.place[at] as usize;
            let item = &context.tables[ITEM_INPUT][place * d..(place + 1) * d];
            super::inputs::input(
                item,
                batch.values[at],
                &self.when[entry * w..entry * w + w - 1],
                sizes.ratings,
                x,
            );
            context.noise.inputs(at, sizes.ratings, d, x);
        }
        self.climb.begin();
        for at in 0..sizes.depth {
            let (below, above) = self.tapes.split_at_mut(at);
            let x = below.last().map_or(self.x.as_slice(), |tape| &tape.after);
            let enter = |step: usize, before: &mut [f32], gates: &mut [f32]| {
                if at == 0 && sizes.levels > 0 {
                    let from = step * context.rows + first;
                    let start = &self.start[step * rows..(step + 1) * rows];
                    self.climb.enter(
                        &weights.dense.levels,
                        step,
                        start,
                        &batch.crossed[from..from + rows],
                        before,
                        gates,
                    );
                }
            };
            weights.dense.layers[at].forward(
                x,
                &self.start,
                rows,
                &mut self.states[at],
                &mut above[0],
                enter,
            );
        }

        // The state before each interaction, discounted by time, with the features of time.
        let top = &self.tapes[sizes.depth - 1].before;
        self.decoded.resize(entries * (h + w), 0.0);
        if sizes.gate {
            self.gamma.resize(entries * h, 0.0);
            product_into(
                &mut self.gamma,
                h,
                Matrix::new(&self.when, w),
                Matrix::new(&weights.dense.gate, h),
                false,
            );
            sigmoids(&mut self.gamma);
        }
        for (entry, decoded) in self.decoded.chunks_exact_mut(h + w).enumerate() {
            let state = &top[entry * h..(entry + 1) * h];
            if sizes.gate {
                let gamma = &self.gamma[entry * h..(entry + 1) * h];
                decoded.iter_mut().zip(state.iter().zip(gamma)).for_each(|(out, (s, g))| *out = s * g);
            } else {
                decoded[..h].copy_from_slice(state);
            }
            decoded[h..].copy_from_slice(&self.when[entry * w..(entry + 1) * w]);
            context.noise.state(outer(entry), &mut decoded[..h]);
        }
        self.gradients.tensors_mut().into_iter().for_each(|t| t.fill(0.0));
        self.d_state.resize(entries * h, 0.0);
        if sizes.rates {
            self.rate(context, entries, outer);
        }
        if sizes.ranks {
            self.next.run(context.next, &self.decoded, h + w, outer, &mut self.gradients.next);
            let d_query = Matrix::new(&self.next.d_query, sizes.next());
            product_into(&mut self.d_state, h, d_query, Matrix::new(&context.queries[1], h), sizes.rates);
        }

        // Backward pass.
        let top = &self.tapes[sizes.depth - 1].before;
        for (entry, d_state) in self.d_state.chunks_exact_mut(h).enumerate() {
            context.noise.state(outer(entry), d_state);
            if sizes.gate {
                let state = &top[entry * h..(entry + 1) * h];
                let gamma = &mut self.gamma[entry * h..(entry + 1) * h];
                for (d, (g, s)) in d_state.iter_mut().zip(gamma.iter_mut().zip(state)) {
                    let slope = *d * s * *g * (1.0 - *g);
                    *d *= *g;
                    *g = slope;
                }
            }
        }
        if sizes.gate {
            product_into(
                &mut self.gradients.gate,
                h,
                Matrix::new(&self.when, w).t(),
                Matrix::new(&self.gamma, h),
                true,
            );
        }
        for at in (0..sizes.depth).rev() {
            let (below, above) = self.tapes.split_at_mut(at);
            let x = below.last().map_or(self.x.as_slice(), |tape| &tape.after);
            let layer: &Layer = &weights.dense.layers[at];
            let (d_before, d_after): (&[f32], &[f32]) =
                if at + 1 == sizes.depth { (&self.d_state, &[]) } else { (&[], &self.dx) };
            let mut dx = std::mem::take(&mut self.spare);
            dx.resize(entries * layer.inputs, 0.0);
            let leave = |step: usize, gates: &[f32], state: &mut [f32]| {
                if at == 0 && sizes.levels > 0 {
                    let start = &self.start[step * rows..(step + 1) * rows];
                    self.climb.leave(
                        &weights.dense.levels,
                        step,
                        start,
                        gates,
                        state,
                        &mut self.gradients.levels,
                    );
                }
            };
            let gradients = &mut self.gradients.layers[at];
            layer.backward(
                &context.transposed[at],
                x,
                &self.start,
                d_before,
                d_after,
                &mut above[0],
                gradients,
                Some(&mut dx),
                leave,
            );
            self.spare = std::mem::replace(&mut self.dx, dx);
        }
        for (entry, dx) in self.dx.chunks_exact_mut(inputs).enumerate() {
            let at = outer(entry);
            context.noise.inputs(at, sizes.ratings, d, dx);
            super::inputs::input_back(batch.values[at], sizes.ratings, d, dx);
        }
    }

    /// Predictions of ratings, the loss's slopes, and the backward pass to the decoded states.
    fn rate(&mut self, context: &Context, entries: usize, outer: impl Fn(usize) -> usize) {
        let Context { sizes, weights, batch, goal, .. } = *context;
        let (d, h, q) = (sizes.factors, sizes.size, sizes.query());
        let inputs = h + sizes.when;
        self.query.resize(entries * q, 0.0);
        product_into(
            &mut self.query,
            q,
            Matrix::new(&self.decoded, inputs),
            Matrix::new(&weights.dense.query, q),
            false,
        );
        let share = goal.rating_share / batch.batch.items.len() as f32;
        self.slopes.clear();
        self.d_query.resize(entries * q, 0.0);
        self.squares = 0.0;
        for (entry, (query, d_query)) in
            self.query.chunks_exact_mut(q).zip(self.d_query.chunks_exact_mut(q)).enumerate()
        {
            let at = outer(entry);
            if batch.batch.mask[at] == 0.0 {
                self.slopes.push(0.0);
                d_query.fill(0.0);
                continue;
            }
            if let Some(user) = weights.row(USER, batch.batch.users[at]) {
                add(query, user, 1.0);
            }
            let place = batch.items.place[at] as usize;
            let item = &context.tables[ITEM_OUTPUT][place * (d + 1)..(place + 1) * (d + 1)];
            let error = dot(&query[..=d], item) + query[d + 1] - batch.values[at] * goal.deviation;
            self.squares += f64::from(error) * f64::from(error);
            let slope = 2.0 * error * batch.weights[at] * share;
            self.slopes.push(slope);
            d_query[..=d].iter_mut().zip(item).for_each(|(out, f)| *out = slope * f);
            d_query[d + 1] = slope;
        }
        product_into(
            &mut self.gradients.query,
            q,
            Matrix::new(&self.decoded, inputs).t(),
            Matrix::new(&self.d_query, q),
            true,
        );
        product_into(
            &mut self.d_state,
            h,
            Matrix::new(&self.d_query, q),
            Matrix::new(&context.queries[0], h),
            false,
        );
    }
}
