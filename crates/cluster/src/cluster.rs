//! A scheduler and executors of this build, for who has no Ballista cluster yet, and for tests.

use crate::engine::runtime;
use crate::{ClusterError, Result};
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::utils::default_session_builder;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn failed(what: &str, error: &impl std::fmt::Display) -> ClusterError {
    ClusterError::Usage(format!("the {what} stopped: {error}"))
}

/// Ballista's own session, with stores by address.
fn session(config: SessionConfig) -> datafusion::error::Result<SessionState> {
    let state = SessionStateBuilder::new_from_existing(default_session_builder(config)?);
    Ok(state.with_runtime_env(runtime(None)?).build())
}

/// Serves as scheduler at `address` until it is stopped. An executor that is silent for `patience` counts as
/// lost: its tasks go to others.
///
/// # Errors
/// [`ClusterError::Usage`] when the address is taken, or the scheduler fails.
pub async fn scheduler(address: SocketAddr, patience: Duration) -> Result<()> {
    let seconds = patience.as_secs().max(2);
    let config = SchedulerConfig {
        bind_host: address.ip().to_string(),
        external_host: address.ip().to_string(),
        bind_port: address.port(),
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        executor_timeout_seconds: seconds,
        expire_dead_executor_interval_seconds: 1,
        no_executors_grace_period_seconds: seconds,
        // It lists the files of a plan itself.
        override_session_builder: Some(Arc::new(session)),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await.map_err(|e| failed("scheduler", &e))?;
    start_server(cluster, address, Arc::new(config)).await.map_err(|e| failed("scheduler", &e))
}

/// Works for the scheduler at `scheduler` until it is stopped: `ports` serve results and tasks, `threads`
/// tasks run at a time, results of stages lie in `folder`.
///
/// # Errors
/// [`ClusterError::Usage`] when a port is taken or the scheduler is not reached.
pub async fn executor(
    scheduler: SocketAddr,
    ports: [u16; 2],
    threads: usize,
    memory: Option<usize>,
    folder: &Path,
) -> Result<()> {
    let config = ExecutorProcessConfig {
        port: ports[0],
        grpc_port: ports[1],
        scheduler_host: scheduler.ip().to_string(),
        scheduler_port: scheduler.port(),
        scheduler_connect_timeout_seconds: 20,
        vcores: threads,
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: Some(folder.display().to_string()),
        executor_heartbeat_interval_seconds: 1,
        override_runtime_producer: Some(Arc::new(move |_| runtime(memory))),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config)).await.map_err(|e| failed("executor", &e))
}
