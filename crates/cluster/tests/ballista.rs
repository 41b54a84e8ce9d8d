//! Plans on a Ballista cluster of this machine's own: a scheduler and two executors, one of which is killed.
#![cfg(feature = "ballista")]

mod common;

use common::{assert_equal, native, parts};
use foretaste_data::IdleGaps;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_foretaste-cluster");

/// Processes that end with the test.
struct Cluster {
    scheduler: Child,
    executors: Vec<Child>,
    port: u16,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.executors.iter_mut().chain([&mut self.scheduler]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn quiet(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Cluster {
    fn start(folder: &Path, executors: usize) -> Self {
        let [port] = free_ports();
        let address = format!("127.0.0.1:{port}");
        let scheduler = quiet(Command::new(PROGRAM).args(["scheduler", "--address", &address, "--patience", "4"]));
        let since = Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(since.elapsed() < Duration::from_secs(30), "the scheduler listens");
            std::thread::sleep(Duration::from_millis(100));
        }
        let executors = (0..executors).map(|at| {
            let [results, tasks] = free_ports();
            let work = folder.join(format!("executor-{at}"));
            std::fs::create_dir_all(&work).unwrap();
            let (results, tasks) = (results.to_string(), tasks.to_string());
            let arguments = ["executor", "--scheduler", &address, "--port", &results, "--task-port", &tasks, "--threads", "1", "--folder"];
            quiet(Command::new(PROGRAM).args(arguments).arg(work))
        });
        Self { executors: executors.collect(), scheduler, port }
    }

    fn sessions(&self, log: &Path, out: &Path) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["sessions".as_ref(), log.as_os_str(), "--out".as_ref(), out.as_os_str()]);
        command.args(["--engine", "ballista", "--partitions", "8", "--deadline", "60", "--scheduler", &format!("df://127.0.0.1:{}", self.port)]);
        command
    }
}

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
    let cluster = Cluster::start(folder.path(), 2);
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
        let mut cluster = Cluster::start(folder.path(), 2);
        let out = folder.path().join(format!("cluster-{moment}.parquet"));
        let running = cluster.sessions(&log, &out).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
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
    let output = command.args(["--engine", "ballista", "--scheduler", &format!("df://127.0.0.1:{port}")]).output().unwrap();
    assert!(!output.status.success() && !out.exists());
    assert!(String::from_utf8_lossy(&output.stderr).contains("help:"));
}
