//! Rating and event logs in; validated interactions, sessions, splits, histories and batches out.
//!
//! The data's way through this crate:
//!
//! ```text
//! raw files --read--> Interactions --store--> Parquet (interactions, sessions)
//!                          |
//!                          +--split--> roles --> Histories (train, validation, test) --> batches
//! ```
//!
//! Everything is a handful of flat columns: nothing per row is allocated. Users and items are `u32`
//! inside; their external names live in a [`Vocabulary`].

pub mod atomic;
mod attributes;
pub mod batch;
pub mod bounded;
pub mod catalogue;
mod columns;
pub mod embedded;
mod error;
pub mod histories;
mod interactions;
pub mod manifest;
mod order;
pub mod read;
mod seed;
pub mod sessions;
pub mod simulate;
pub mod split;
pub mod store;
mod time;
mod vocabulary;

pub use attributes::Attributes;
pub use columns::{TimeIter, TimeSlice, Timestamps, ValueIter, ValueSlice, Values};
pub use error::{BadRow, DataError, Result, RowCase};
pub use histories::{Histories, History, Membership};
pub use interactions::{EventTypes, Interactions, LoadReport, hex};
pub use manifest::Manifest;
pub use read::{ColumnMapping, Format, ReadOptions, TimeUnit, read};
pub use seed::{rng, stream_seed};
pub use sessions::IdleGaps;
pub use split::{Parts, Regime, Role, Split, SplitRule};
pub use time::{civil_from_days, days_from_civil, format_date};
pub use vocabulary::Vocabulary;
