//! Models of fields: features of any kind and their interactions.

pub mod deepfm;
