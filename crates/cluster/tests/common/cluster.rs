//! A Ballista cluster on loopback: processes of this build.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_foretaste-cluster");

/// Processes that end with the test.
pub struct Cluster {
    scheduler: Child,
    pub executors: Vec<Child>,
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

pub fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn quiet(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Cluster {
    /// A scheduler and `executors` that work in `folder`, with `settings` in their environment.
    pub fn start(folder: &Path, executors: usize, settings: &[(&str, &str)]) -> Self {
        let [port] = free_ports();
        let address = format!("127.0.0.1:{port}");
        let scheduler = quiet(
            Command::new(PROGRAM)
                .args(["scheduler", "--address", &address, "--patience", "4"])
                .envs(settings.iter().copied()),
        );
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
            let arguments = [
                "executor",
                "--scheduler",
                &address,
                "--port",
                &results,
                "--task-port",
                &tasks,
                "--threads",
                "1",
                "--folder",
            ];
            quiet(Command::new(PROGRAM).args(arguments).arg(work).envs(settings.iter().copied()))
        });
        Self { executors: executors.collect(), scheduler, port }
    }

    /// The command that builds the sessions of `log` there.
    pub fn sessions(&self, log: impl AsRef<OsStr>, out: &Path) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["sessions".as_ref(), log.as_ref(), "--out".as_ref(), out.as_os_str()]);
        command.args([
            "--engine",
            "ballista",
            "--partitions",
            "8",
            "--deadline",
            "60",
            "--scheduler",
            &format!("df://127.0.0.1:{}", self.port),
        ]);
        command
    }
}
