#![doc = include_str!("../README.md")]

pub mod atomic;
mod attributes;
pub mod batch;
pub mod bounded;
pub mod catalogue;
mod columns;
pub mod embedded;
mod error;
mod hint;
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
pub use hint::Hint;
pub use histories::{Histories, History, Membership};
pub use interactions::{EventTypes, Interactions, LoadReport, hex};
pub use manifest::Manifest;
pub use read::{ColumnMapping, Encoding, Format, Quoting, ReadOptions, TimeUnit, read};
pub use seed::{rng, stream_seed};
pub use sessions::IdleGaps;
pub use split::{Parts, Regime, Role, Split, SplitRule};
pub use time::{DateOrder, civil_from_days, days_from_civil, format_date};
pub use vocabulary::Vocabulary;
