//! Neighbours: items, users or sessions that are alike.

pub mod ease;
pub mod sessionknn;
pub mod sims;
pub mod userknn;
