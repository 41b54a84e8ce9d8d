//! A device lent on loopback against the CPU backend itself.
#![cfg(feature = "remote")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::{foretaste, ratings, run, succeed, text};

/// Lends the CPU until the test ends.
struct Server(Child);

impl Server {
    fn start(folder: &Path, port: u16) -> Self {
        let mut command = foretaste(folder, &format!("device-server --listen 127.0.0.1:{port} --device flex"));
        let mut server = Self(command.stderr(Stdio::piped()).spawn().unwrap());
        let mut told = String::new();
        BufReader::new(server.0.stderr.take().unwrap()).read_line(&mut told).unwrap();
        assert!(told.contains("is lent at"), "{told}");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn remote_parity() {
    let folder = tempfile::tempdir().unwrap();
    let log = ratings(folder.path()).display().to_string();
    let port = free_port();
    let train = |device: &str, out: &str| {
        format!("reproduce {log} --regime random --seeds 1 --models rnn,rrn --set rnn.epochs=2 --set rrn.epochs=2 --device {device} --out {out}")
    };
    let nobody = run(folder.path(), &train(&format!("remote:127.0.0.1:{port}"), "nobody"));
    assert!(!nobody.status.success() && text(&nobody.stderr).contains("device-server"), "{}", text(&nobody.stderr));

    let _server = Server::start(folder.path(), port);
    let errors = |device: &str, out: &str| -> Vec<f64> {
        succeed(folder.path(), &train(device, out));
        let results: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join(out).join("results.json")).unwrap()).unwrap();
        let of = |cell: &serde_json::Value| cell["errors"].as_array().unwrap().iter().map(|e| e["rmse"].as_f64().unwrap()).collect::<Vec<_>>();
        results.as_array().unwrap().iter().flat_map(of).collect()
    };
    let (near, far) = (errors("flex", "near"), errors(&format!("remote:127.0.0.1:{port}"), "far"));
    assert_eq!(near.len(), 4);
    for (near, far) in near.iter().zip(&far) {
        assert!((near - far).abs() < 1e-3, "{near} {far}");
    }
}

#[test]
fn a_server_that_goes_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (log, port) = (ratings(folder.path()).display().to_string(), free_port());
    let server = Server::start(folder.path(), port);
    let endless =
        format!("reproduce {log} --regime random --seeds 1 --models rnn --set rnn.epochs=100000 --validation 0 --device remote:127.0.0.1:{port} --out out");
    let mut running = foretaste(folder.path(), &endless).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let since = Instant::now();
    let patient = |what: &str| {
        assert!(since.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    };
    while !folder.path().join("out/checkpoints").is_dir() {
        assert!(running.try_wait().unwrap().is_none(), "training begins");
        patient("training begins");
    }
    std::thread::sleep(Duration::from_secs(1));
    drop(server);
    while running.try_wait().unwrap().is_none() {
        patient("training ends with its device");
    }
    let output = running.wait_with_output().unwrap();
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains(&format!("device remote:127.0.0.1:{port}: failed in the middle")) && told.contains("--resume"), "{told}");
}
