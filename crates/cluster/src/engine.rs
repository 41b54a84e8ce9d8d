//! Where plans run.

use crate::stores::Stores;
use crate::{ClusterError, Result};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

/// Where plans run.
#[derive(Debug, Clone)]
pub enum Engine {
    /// In this process, on its threads.
    Local {
        /// Bytes that sorts and windows may hold before they spill to disk; none holds all.
        memory: Option<usize>,
        /// Partitions worked on at a time; none is one a processor.
        threads: Option<usize>,
    },
    /// On a Ballista cluster.
    Ballista {
        /// `df://HOST:PORT` of its scheduler.
        scheduler: String,
        /// Partitions of a shuffle; none is the engine's own number.
        partitions: Option<usize>,
    },
}

/// Memory, and stores by address.
pub(crate) fn runtime(memory: Option<usize>) -> datafusion::error::Result<Arc<RuntimeEnv>> {
    let builder = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(Stores::default()));
    match memory {
        Some(bytes) => builder.with_memory_pool(Arc::new(FairSpillPool::new(bytes))).build_arc(),
        None => builder.build_arc(),
    }
}

/// What plans are made with.
fn state(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionState {
    SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build()
}

/// A file is read front to back by one task: that is what makes its rows' places known.
fn settled(config: SessionConfig) -> SessionConfig {
    config
        .set_bool("datafusion.optimizer.repartition_file_scans", false)
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
}

impl Engine {
    /// A context whose plans run there.
    ///
    /// # Errors
    /// [`ClusterError::Usage`] for an address that is none, and where this build has no Ballista.
    pub async fn context(&self) -> Result<SessionContext> {
        match self {
            Self::Local { memory, threads } => {
                let config = threads
                    .map_or_else(SessionConfig::new, |n| SessionConfig::new().with_target_partitions(n));
                // A sort sets memory aside for merging what it spilled, ten megabytes unless told otherwise.
                let aside = memory.map_or(10 << 20, |bytes| (bytes / 64).clamp(1 << 18, 10 << 20));
                let config =
                    settled(config).set_usize("datafusion.execution.sort_spill_reservation_bytes", aside);
                Ok(SessionContext::new_with_state(state(config, runtime(*memory)?)))
            }
            #[cfg(feature = "ballista")]
            Self::Ballista { scheduler, partitions } => {
                use ballista::prelude::{SessionConfigExt, SessionContextExt};
                if !scheduler.starts_with("df://") {
                    return Err(ClusterError::Usage(format!(
                        "--scheduler {scheduler}: write df://HOST:PORT"
                    )));
                }
                let config = settled(SessionConfig::new_with_ballista())
                    .set_bool("ballista.planner.adaptive.enabled", false);
                let config = match partitions {
                    Some(n) => config.with_target_partitions(*n),
                    None => config,
                };
                Ok(SessionContext::remote_with_state(scheduler, state(config, runtime(None)?)).await?)
            }
            #[cfg(not(feature = "ballista"))]
            Self::Ballista { .. } => Err(ClusterError::Usage(
                "this build has no Ballista\n  help: build it \
                with --features ballista"
                    .into(),
            )),
        }
    }
}
