//! Sequential models, which use the order of histories.

pub mod hrnn;
pub mod rnn;
pub mod rrn;
