//! Sequential models: histories in their order.

pub mod hrnn;
pub mod rnn;
pub mod rrn;
