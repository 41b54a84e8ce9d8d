//! A `PostgreSQL` server for tests: started from the machine's packages, gone with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A server of the machine's own packages in a folder of its own.
pub struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    /// Creates and starts one; `None` if no package provides it, which must not happen in CI.
    pub fn start() -> Option<Self> {
        let started = Self::made();
        assert!(
            started.is_some() || std::env::var_os("CI").is_none(),
            "no PostgreSQL server is installed (apt-get install postgresql)"
        );
        started
    }

    /// Makes and starts one that accepts encrypted connections alone; its certificate is in the file
    /// returned.
    #[allow(dead_code)] // Not of every test.
    pub fn encrypted() -> Option<(Self, PathBuf)> {
        let server = Self::start()?;
        server.down();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        let data = server.data();
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
        std::fs::write(data.join("server.crt"), cert.pem()).unwrap();
        let key = data.join("server.key");
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&key, private).unwrap();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(&key).status().unwrap().success());
        }
        let settings = data.join("postgresql.conf");
        let text = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(&settings, text + "\nssl = on\n").unwrap();
        server.up();
        let certificate = server.folder.path().join("server.crt");
        std::fs::write(&certificate, cert.pem()).unwrap();
        Some((server, certificate))
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("postgres://foretaste@127.0.0.1:{}/postgres", self.port)
    }

    fn made() -> Option<Self> {
        let mut versions: Vec<PathBuf> =
            std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|e| e.path().join("bin")).collect();
        versions.retain(|programs| programs.join("initdb").exists());
        versions.sort();
        let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let server = Self {
            programs: versions.pop()?,
            folder: tempfile::Builder::new().prefix("foretaste-postgres").tempdir().ok()?,
            port,
        };
        if is_root() {
            assert!(
                Command::new("chown").arg("postgres").arg(server.folder.path()).status().unwrap().success()
            );
        }
        server.call("initdb", &["-A", "trust", "-U", "foretaste", "--no-sync"]);
        server.up();
        Some(server)
    }

    /// Runs one of its programs, as the user of the package where we are root: the server refuses root.
    fn call(&self, program: &str, arguments: &[&str]) {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let status = command
            .args(arguments)
            .arg("-D")
            .arg(self.data())
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it.
    pub fn up(&self) {
        let options = format!("-p {} -k {} -h 127.0.0.1", self.port, self.folder.path().display());
        self.call(
            "pg_ctl",
            &["start", "-w", "-o", &options, "-l", self.folder.path().join("log").to_str().unwrap()],
        );
    }

    /// Stops it abruptly, as a power cut would.
    pub fn down(&self) {
        self.call("pg_ctl", &["stop", "-w", "-m", "immediate"]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists() {
            self.down();
        }
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}
