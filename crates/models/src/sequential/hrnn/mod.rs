//! HRNN: a recurrent network whose state is a Bayesian regression over items' vectors. It is what the talk
//! asks for: the evolution of interest and dis-interest, at several speeds at once.
//!
//! A user is a linear-Gaussian state, kept by an exact Kalman filter (Kalman 1960): `height` levels (how
//! high the user rates, each at a speed of its own) and `size` tastes. Idle time leads it back to the prior,
//! by a rate learned for each class of idle gap. For a rating of item `i` at time `t`:
//!
//! ```text
//! item      (c, q) = sums over who rated it (`items`), or free;  b ~ N(beta_i, omega_i), prior N(0, tau^2)
//!           h = (1, .., 1, q),  base = mu + b + b(t) + c     b(t): the item's level in a part of the time
//! drift     s <- a * s,  P <- aa' * P + diag((1 - a^2) p0)     a: by class of the gap since the last rating
//! bag       (o, w) = (z_0 + sum of m_j over the items rated before) / sqrt(n + kappa)
//! kind      g = softmax(G q + what the item's attributes say)
//! streak    y <- f y,   f: by the same class of gap, 0 before the first rating
//! predict   x = base + o + v_0 + h's + q'(w + v) + y'(l * g),   v: what the user's attributes say
//!           r^ = x + d . tanh(b (x - m) + c)     the scale's bend: its ends are ends
//!           S = h'Ph + exp(rho + rho_i) lam + omega_i,   lam = (n_0 + A) / (n_0 + n)
//! update    e = r - r^,  e' = e + what the correction learned (`correction`)
//!           s <- s + P h e' / S,  P <- P - P h h' P / S,  A <- A + lam e^2 / S,  y <- y + (1 - f) g
//! ```
//!
//! `y` is the share of each kind in the last ratings: a streak of one kind says something of the next of it,
//! weariness above all. A row's kinds are those of its own vector, which has not seen its own rating.
//!
//! A user without ratings is the prior, `s = 0` and `P = diag(p0)`. All parameters are learned end to end on
//! the predictive likelihood, `sum (e^2 / S + log S) / 2`, through whole histories; biases are drawn anew
//! for every row (Kingma and Welling 2014). Of each training history up to a share of `update_dropout` of
//! the ratings is not taken in, and of some (`blind`) none: so the network learns to predict from states that
//! are short, or old, or of no one yet. The way back through the filter is derived by hand (`backward`).
//!
//! `frozen` and `streaming` differ in whether predicted rows are taken in. Rows between known ratings,
//! as splits at random have them, are predicted from those before and after (`smooth`). One rating
//! costs the same however long the history is. `S` is the variance of the prediction
//! ([`crate::Predictor::variance`]).
//!
//! An item without training rows has `q = 0` and the prior's bias; an index out of range, the same.

mod backward;
mod correction;
#[cfg(feature = "burn")]
mod device;
mod filter;
mod items;
mod lanes;
mod model;
mod parameters;
mod settings;
mod smooth;
mod touched;
mod train;

pub use model::{Model, User};
pub use settings::{Items, Settings};
pub use train::fit;

const NAME: &str = "hrnn";

/// Sizes of the filter.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    levels: usize,
    tastes: usize,
    /// Classes of idle gaps.
    gaps: usize,
    /// Kinds of items.
    kinds: usize,
    /// Units of the correction, and of the scale's bend.
    hidden: usize,
    bend: usize,
}

impl Shape {
    fn new(settings: &Settings) -> Self {
        Self {
            levels: settings.height,
            tastes: settings.size,
            gaps: settings.gaps.len() + 1,
            kinds: settings.kinds,
            hidden: settings.depth * settings::UNITS,
            bend: settings.bend,
        }
    }

    /// Entries of a state.
    fn state(self) -> usize {
        self.levels + self.tastes
    }

    /// Entries of a covariance.
    fn packed(self) -> usize {
        self.state() * (self.state() + 1) / 2
    }

    /// Entries of `(c, q)`.
    fn item(self) -> usize {
        1 + self.tastes
    }
}

/// Parameters that all rows share, or their gradients.
#[derive(Debug, Clone, PartialEq)]
struct Dense {
    /// What a gap leaves of each level, and of tastes: `[gaps, levels + 1]`.
    drift: Vec<f32>,
    /// Prior variances of the levels; those of tastes are 1.
    variances: Vec<f32>,
    n0: f32,
    kappa: f32,
    /// The bag of a user without ratings, `[1 + tastes]`.
    empty: Vec<f32>,
    /// From an item's tastes to its kinds, `[tastes, kinds]` and `[kinds]`.
    kind_out: Vec<f32>,
    kind_bias: Vec<f32>,
    /// What a gap leaves of a streak, `[gaps]`, and what it does to the next rating, `[kinds]`.
    fade: Vec<f32>,
    streak: Vec<f32>,
    /// The correction: `[inputs, units]`, `[units]`, `[units]`.
    hidden: Vec<f32>,
    hidden_bias: Vec<f32>,
    hidden_out: Vec<f32>,
    /// The scale's bend: slopes, shifts and weights of its units.
    bend: Vec<f32>,
    bend_shift: Vec<f32>,
    bend_out: Vec<f32>,
    /// The rating scale.
    range: (f32, f32),
}

impl Dense {
    fn zeros(shape: Shape) -> Self {
        Self {
            drift: vec![0.0; shape.gaps * (shape.levels + 1)],
            variances: vec![0.0; shape.levels],
            n0: 0.0,
            kappa: 0.0,
            empty: vec![0.0; shape.item()],
            kind_out: vec![0.0; shape.tastes * shape.kinds],
            kind_bias: vec![0.0; shape.kinds],
            fade: vec![0.0; if shape.kinds > 0 { shape.gaps } else { 0 }],
            streak: vec![0.0; shape.kinds],
            hidden: vec![0.0; correction::INPUTS * shape.hidden],
            hidden_bias: vec![0.0; shape.hidden],
            hidden_out: vec![0.0; shape.hidden],
            bend: vec![0.0; shape.bend],
            bend_shift: vec![0.0; shape.bend],
            bend_out: vec![0.0; shape.bend],
            range: (0.0, 0.0),
        }
    }
}

#[cfg(test)]
mod tests;
