//! A device lent on loopback against the CPU backend itself.
#![cfg(feature = "remote")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use support::{foretaste, ratings, run, succeed, text};

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn remote_parity() {
    let folder = tempfile::tempdir().unwrap();
    let log = ratings(folder.path()).display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let train = |device: &str, out: &str| {
        format!("reproduce {log} --regime random --seeds 1 --models rnn,rrn --set rnn.epochs=2 --set rrn.epochs=2 --device {device} --out {out}")
    };
    let nobody = run(folder.path(), &train(&format!("remote:127.0.0.1:{port}"), "nobody"));
    assert!(!nobody.status.success() && text(&nobody.stderr).contains("device-server"), "{}", text(&nobody.stderr));

    let mut server = foretaste(folder.path(), &format!("device-server --listen 127.0.0.1:{port} --device flex"));
    let mut server = Server(server.stderr(Stdio::piped()).spawn().unwrap());
    let mut told = String::new();
    BufReader::new(server.0.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert!(told.contains("is lent at"), "{told}");
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
