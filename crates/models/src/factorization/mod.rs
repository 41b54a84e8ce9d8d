//! Factorization: users and items as vectors.

pub mod fm;
pub mod ials;
pub mod pmf;
pub mod tsvd;
