//! Eight workers in eight processes, killed fifty times while they share a study of 200 trials: on `SQLite`,
//! and on `PostgreSQL`, whose server is stopped and started again in the middle. Runs with
//! `FORETASTE_SLOW_TESTS=1`.

mod server;

use foretaste_hpo::{Budget, State, Study, StudySettings, Trial, sampler, storage};
use server::Server;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TRIALS: usize = 200;
const WORKERS: usize = 8;
const KILLS: usize = 50;
const ADDRESS: &str = "FORETASTE_TEST_STORAGE";

fn join(address: &str) -> Study {
    let space =
        "x = { type = \"float\", low = -1.0, high = 1.0 }\nk = { type = \"integer\", low = 1, high = 9 }"
            .parse()
            .unwrap();
    let settings = StudySettings {
        name: "faults".into(),
        seed: 11,
        sampler: Box::new(sampler::Random),
        grace: Duration::from_secs(2),
        // Fifty kills may hit few trials; none may be given up for that.
        retries: 1000,
        ..StudySettings::default()
    };
    Study::open(storage::open(address).unwrap(), space, settings).unwrap()
}

/// The process that the tests start and kill, not a test.
#[test]
#[ignore = "a worker process of the other tests"]
fn worker_process() {
    let address = std::env::var(ADDRESS).expect("started by the other tests");
    join(&address)
        .optimize(&Budget::trials(TRIALS), |trial| {
            for step in 1..=4 {
                std::thread::sleep(Duration::from_millis(50));
                trial.report(step, step as f64)?;
            }
            // The result is the same whichever worker runs it.
            Ok((trial.seed() % 1000) as f64)
        })
        .unwrap();
}

struct Workers {
    address: String,
    skewed: bool,
    processes: Vec<Child>,
}

impl Workers {
    fn start(&mut self) {
        let program = std::env::current_exe().unwrap();
        // An hour ahead, where a program for that is at hand: clocks must not matter.
        let mut command = if self.skewed && self.processes.len() % 2 == 1 {
            let mut faked = Command::new("faketime");
            faked.args(["-f", "+1h"]).arg(program);
            faked
        } else {
            Command::new(program)
        };
        command
            .args(["--exact", "worker_process", "--ignored"])
            .env(ADDRESS, &self.address)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.processes.push(command.spawn().unwrap());
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Kills and replaces workers until all trials have ended; `meanwhile` is called once, in the middle.
fn torment(address: &str, meanwhile: impl FnOnce()) {
    let skewed = Command::new("faketime")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    let mut workers = Workers { address: address.to_owned(), skewed, processes: Vec::new() };
    (0..WORKERS).for_each(|_| workers.start());
    let watcher = join(address);
    let mut meanwhile = Some(meanwhile);
    let (start, mut seen) = (Instant::now(), 0);
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(60 + (kill as u64 * 37) % 90));
        if kill == KILLS / 2 {
            meanwhile.take().unwrap()();
        }
        let mut victim = workers.processes.remove((kill * 5) % workers.processes.len());
        victim.kill().unwrap();
        victim.wait().unwrap();
        workers.start();
        // The study is readable at every moment, and ended trials stay ended.
        let ended = watcher.trials().unwrap().iter().filter(|t| t.state.ended()).count();
        assert!(ended >= seen, "{ended} trials ended, there were {seen}");
        seen = ended;
    }
    assert!(seen < TRIALS, "the study was over before the last kill");
    while watcher.trials().unwrap().iter().filter(|t| t.state.ended()).count() < TRIALS {
        assert!(start.elapsed() < Duration::from_mins(4), "the study does not come to its end");
        std::thread::sleep(Duration::from_millis(200));
    }
    let trials = watcher.trials().unwrap();
    assert_eq!(trials.len(), TRIALS);
    assert!(trials.iter().enumerate().all(|(number, t)| t.number == number && t.state == State::Complete));
    assert!(trials.iter().any(|t| t.attempts > 1), "no kill met a trial");
    assert!(trials.iter().all(|t| t.reports.len() == 4), "reports are those of one attempt");
    ended_once(address);
    // The same study by one worker alone, undisturbed.
    let alone = Study::in_memory(
        watcher.space().clone(),
        StudySettings { seed: 11, sampler: Box::new(sampler::Random), ..StudySettings::default() },
    )
    .unwrap();
    alone.optimize(&Budget::trials(TRIALS), |trial| Ok((trial.seed() % 1000) as f64)).unwrap();
    let outcome =
        |trials: Vec<Trial>| trials.into_iter().map(|t| (t.configuration, t.value)).collect::<Vec<_>>();
    assert_eq!(outcome(trials), outcome(alone.trials().unwrap()));
}

/// The journal itself holds one end per trial.
fn ended_once(address: &str) {
    let events = storage::open(address).unwrap().read("faults", 0).unwrap();
    for number in 0..TRIALS {
        let ends = events
            .iter()
            .filter(|e| e.contains("\"event\":\"ended\"") && e.contains(&format!("\"trial\":{number},")))
            .count();
        assert_eq!(ends, 1, "trial {number}");
    }
}

#[allow(clippy::print_stderr)] // A skipped test says so.
fn slow() -> bool {
    let slow = std::env::var_os("FORETASTE_SLOW_TESTS").is_some();
    if !slow {
        assert!(std::env::var_os("CI").is_none(), "CI must set FORETASTE_SLOW_TESTS");
        eprintln!("skipped: FORETASTE_SLOW_TESTS is not set");
    }
    slow
}

#[test]
fn sqlite_survives_its_workers() {
    if !slow() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    torment(folder.path().join("faults.sqlite").to_str().unwrap(), || {});
}

#[test]
fn postgres_survives_its_workers_and_a_restart() {
    if !slow() {
        return;
    }
    let Some(server) = Server::start() else { return };
    torment(&server.address(), || {
        server.down();
        std::thread::sleep(Duration::from_secs(1));
        server.up();
    });
}
