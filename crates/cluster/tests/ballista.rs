//! Plans on a Ballista cluster of this machine's own: a scheduler and two executors, one of which is killed.
#![cfg(feature = "ballista")]

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use cluster::{Cluster, PROGRAM, free_ports};
use common::{assert_equal, native, parts};
use foretaste_data::IdleGaps;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The log, and the native builder's sessions of it.
fn log(folder: &Path, rows: u32) -> (PathBuf, PathBuf) {
    let log = folder.join("log");
    parts(&log, rows, 4);
    let gaps: IdleGaps = "60,86400,2592000".parse().unwrap();
    let expected = native(&log, &gaps, folder.join("native.parquet"));
    (log, expected)
}

#[test]
fn two_executors_build_what_the_native_builder_builds() {
    let folder = tempfile::tempdir().unwrap();
    let (log, expected) = log(folder.path(), 200_000);
    let cluster = Cluster::start(folder.path(), 2, &[]);
    let out = folder.path().join("cluster.parquet");
    let output = cluster.sessions(&log, &out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_equal(&out, &expected);
}

/// Whatever the moment: the rows are right, or a message says why there are none.
#[test]
fn an_executor_killed_in_the_middle_loses_nothing_silently() {
    let folder = tempfile::tempdir().unwrap();
    let (log, expected) = log(folder.path(), 600_000);
    for moment in [500, 1_500] {
        let mut cluster = Cluster::start(folder.path(), 2, &[]);
        let out = folder.path().join(format!("cluster-{moment}.parquet"));
        let running =
            cluster.sessions(&log, &out).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        cluster.executors[0].kill().unwrap();
        let output = running.wait_with_output().unwrap();
        if output.status.success() {
            assert_equal(&out, &expected);
        } else {
            let told = String::from_utf8_lossy(&output.stderr);
            let reasons = ["the engine failed", "out of order", "rows of"];
            assert!(reasons.iter().any(|reason| told.contains(reason)) && told.contains("help:"), "{told}");
            assert!(!out.exists(), "no part is taken for the whole");
        }
    }
}

#[test]
fn no_cluster_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = log(folder.path(), 1_000);
    let [port] = free_ports();
    let out = folder.path().join("out.parquet");
    let mut command = Command::new(PROGRAM);
    command.args(["sessions".as_ref(), log.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    let output = command
        .args(["--engine", "ballista", "--scheduler", &format!("df://127.0.0.1:{port}")])
        .output()
        .unwrap();
    assert!(!output.status.success() && !out.exists());
    assert!(String::from_utf8_lossy(&output.stderr).contains("help:"));
}
