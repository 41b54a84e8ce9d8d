//! Simulated logs.
//!
//! [`World`] is a stated generative model with the sizes and the shape of a published data set, which knows
//! each rating's expectation, so that the lowest reachable error of a table is known. [`Simulation`] is a
//! plain log of any size, for speed measurements in which the ratings do not matter.

mod people;
mod published;
mod quick;
mod statistics;
mod things;
mod world;
mod write;

pub use people::Event;
pub use published::Published;
pub use quick::Simulation;
pub use statistics::Statistics;
pub use world::{Effects, Shape, World};
pub use write::{Layout, TRUTH, truth, write};

#[cfg(test)]
mod tests;
