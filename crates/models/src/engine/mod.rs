//! Building blocks of models: devices, tensors, kernels, layers of sequence networks, optimizers, training in
//! epochs, checkpoints, and the regression that folds users in.

pub(crate) mod checkpoint;
pub(crate) mod codes;
pub(crate) mod device;
pub(crate) mod epochs;
pub(crate) mod fold_in;
pub(crate) mod host;
pub(crate) mod kernels;
pub(crate) mod noise;
pub(crate) mod optimizer;
#[cfg(feature = "burn")]
pub(crate) mod parameter;
pub(crate) mod recurrent;
pub(crate) mod sequence;
pub(crate) mod standard;
pub(crate) mod tensors;
#[cfg(feature = "burn")]
pub(crate) mod unrolled;
