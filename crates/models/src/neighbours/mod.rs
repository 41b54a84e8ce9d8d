//! Neighbourhood models: similar items, users or sessions.

pub mod ease;
pub mod sessionknn;
pub mod sims;
pub mod userknn;
