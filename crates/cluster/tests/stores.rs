//! Logs in an object store: an S3 server of another project's making on loopback, with signed requests.
#![cfg(feature = "stores")]

#[cfg(feature = "ballista")]
#[path = "common/cluster.rs"]
mod cluster;
mod common;

use common::{assert_equal, native, parts};
use foretaste_data::IdleGaps;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const KEY: &str = "key";
const SECRET: &str = "secret";
const LOG: &str = "s3://bucket/log/";

/// A bucket with a log in parts, served until the test ends.
struct Store {
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    expected: PathBuf,
}

impl Store {
    fn start(rows: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("root/bucket/log");
        parts(&log, rows, 3);
        let expected = native(&log, &gaps(), folder.path().join("native.parquet"));
        let endpoint = serve(&folder.path().join("root"));
        let settings = [
            ("AWS_ENDPOINT", &*endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", KEY),
        ]
        .into_iter()
        .chain([("AWS_SECRET_ACCESS_KEY", SECRET)])
        .map(|(name, value)| (name, value.to_string()))
        .collect();
        Self { folder, settings, expected }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out.parquet")
    }

    /// Sessions of `log` in this process; `further` settings win.
    fn sessions(&self, log: &str, further: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foretaste-cluster"));
        command
            .args(["sessions", log, "--out"])
            .arg(self.out())
            .envs(self.settings.iter().cloned())
            .envs(further.iter().copied());
        command.output().unwrap()
    }
}

fn gaps() -> IdleGaps {
    "60,86400,2592000".parse().unwrap()
}

/// Serves the buckets in `root` from a thread; answers the address.
fn serve(root: &Path) -> String {
    let mut service = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = service.build();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), service)
                        .await
                        .is_ok()
                });
            }
        });
    });
    address
}

#[test]
fn a_bucket_is_read_as_a_folder_is() {
    let store = Store::start(30_000);
    let output = store.sessions(LOG, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_equal(&store.out(), &store.expected);
}

#[cfg(feature = "ballista")]
#[test]
fn executors_read_the_bucket_themselves() {
    let store = Store::start(30_000);
    let settings: Vec<(&str, &str)> =
        store.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let cluster = cluster::Cluster::start(store.folder.path(), 2, &settings);
    let output = cluster.sessions(LOG, &store.out()).envs(settings).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_equal(&store.out(), &store.expected);
}

#[test]
fn a_store_that_refuses_is_told_and_leaves_nothing() {
    let store = Store::start(100);
    let told = |log: &str, settings: &[(&str, &str)]| {
        let output = store.sessions(log, settings);
        assert!(!output.status.success() && !store.out().exists());
        String::from_utf8(output.stderr).unwrap()
    };
    let wrong_key = told(LOG, &[("AWS_SECRET_ACCESS_KEY", "wrong")]);
    assert!(
        wrong_key.contains(LOG) && wrong_key.contains("cannot be listed") && wrong_key.contains("help:"),
        "{wrong_key}"
    );
    let no_bucket = told("s3://elsewhere/log/", &[]);
    assert!(no_bucket.contains("s3://elsewhere/log/") && no_bucket.contains("help:"), "{no_bucket}");
    let no_folder = told("s3://bucket/elsewhere/", &[]);
    assert!(no_folder.contains("holds no .parquet and no .csv file"), "{no_folder}");
}
