use super::*;
use crate::storage::Memory;
use crate::{Budget, Halt};
use std::sync::atomic::AtomicBool;

const SPACE: &str =
    "x = { type = \"float\", low = -1.0, high = 1.0 }\nk = { type = \"integer\", low = 1, high = 9 }";

fn settings(seed: u64) -> StudySettings {
    StudySettings {
        seed,
        sampler: Box::new(crate::sampler::Random),
        grace: Duration::from_millis(300),
        ..StudySettings::default()
    }
}

fn join(journal: &Arc<dyn Journal>) -> Result<Study> {
    Study::open(Arc::clone(journal), SPACE.parse().unwrap(), settings(1))
}

fn value(trial: &mut Running) -> Result<f64, Halt> {
    Ok(trial.float("x")? + trial.integer("k")? as f64)
}

/// What holds for every storage.
fn contract(journal: &Arc<dyn Journal>) {
    // Places are taken once, in order, without gaps.
    assert!(
        journal.append("raw", 0, "a").unwrap()
            && !journal.append("raw", 0, "b").unwrap()
            && !journal.append("raw", 2, "c").unwrap()
    );
    assert!(journal.append("raw", 1, "ü \"quoted\" \\ \n").unwrap());
    assert_eq!(journal.read("raw", 0).unwrap(), ["a", "ü \"quoted\" \\ \n"]);
    assert_eq!(journal.read("raw", 1).unwrap().len(), 1);
    assert!(journal.read("raw", 7).unwrap().is_empty() && journal.read("other", 0).unwrap().is_empty());
    for _ in 0..3 {
        journal.beat("raw", "w").unwrap();
    }
    journal.beat("raw", "v").unwrap();
    assert_eq!(journal.beats("raw").unwrap(), [("v".to_owned(), 1), ("w".to_owned(), 3)]);
    assert_eq!(journal.studies().unwrap(), ["raw"]);

    // Two workers share a study; each sees what the other did.
    let (one, two) = (join(journal).unwrap(), join(journal).unwrap());
    assert_ne!(one.worker(), two.worker());
    let configuration = one.space().decode(&[0.5, 0.5]);
    one.enqueue(&configuration).unwrap();
    two.enqueue(&configuration).unwrap();
    let mut first = one.ask(None).unwrap().unwrap();
    assert_eq!((first.number(), first.configuration()), (0, &configuration));
    let second = two.ask(None).unwrap().unwrap();
    assert_eq!(second.number(), 1);
    assert!(one.ask(Some(2)).unwrap().is_none(), "two trials are all");
    first.report(1, 0.25).unwrap();
    first.report(2, f64::NAN).unwrap();
    first.tell(Ok(0.125)).unwrap();
    let seen = &two.trials().unwrap()[0];
    assert_eq!((seen.state, seen.value, seen.reports.len()), (State::Complete, Some(0.125), 2));
    second.tell(Err(Halt::Failed("no luck".into()))).unwrap();
    assert_eq!(one.trials().unwrap()[1].reason.as_deref(), Some("no luck"));

    // A trial that is given back restarts with the same seed; the worker that gave it back can do no more.
    let mut lazy = one.ask(None).unwrap().unwrap();
    let (number, seed, held) = (lazy.number(), lazy.seed(), lazy.configuration().clone());
    two.transact(|_| Ok(Some((Event::Released { trial: number, attempt: 1, lost: true }, ())))).unwrap();
    let again = two.ask(None).unwrap().unwrap();
    assert_eq!((again.number(), again.seed(), again.configuration()), (number, seed, &held));
    assert_eq!(lazy.report(1, 0.0), Err(Halt::Lost));
    assert!(matches!(lazy.tell(Ok(1.0)), Err(HpoError::Lost { .. })));
    again.tell(Ok(2.0)).unwrap();
    assert_eq!(one.trials().unwrap()[number].value, Some(2.0));

    // Eight threads with a hold each: every trial ends once, in order of its number.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| join(journal).unwrap().optimize(&Budget::trials(40), value).unwrap());
        }
    });
    let trials = one.trials().unwrap();
    assert_eq!(trials.len(), 40);
    assert!(trials.iter().all(|t| t.state.ended() && t.attempts >= 1));
    // A second run of another process finds it all, and another study beside it finds nothing.
    assert_eq!(format!("{:?}", join(journal).unwrap().trials().unwrap()), format!("{trials:?}"));
    let other = Study::open(
        Arc::clone(journal),
        SPACE.parse().unwrap(),
        StudySettings { name: "other".into(), ..settings(1) },
    )
    .unwrap();
    assert!(other.trials().unwrap().is_empty());
    assert_eq!(journal.studies().unwrap(), ["other", "raw", "study"]);

    // Workers whose settings differ cannot join.
    let differs = |space: &str, settings: StudySettings| {
        Study::open(Arc::clone(journal), space.parse().unwrap(), settings).err().unwrap().to_string()
    };
    assert!(differs(SPACE, settings(2)).contains("seed is 1, not 2"));
    assert!(
        differs(SPACE, StudySettings { sampler: Box::new(crate::sampler::Sobol), ..settings(1) })
            .contains("sampler is random, not sobol")
    );
    assert!(
        differs(SPACE, StudySettings { task: "another".into(), ..settings(1) }).contains("another objective")
    );
    assert!(differs("x = { type = \"bool\" }", settings(1)).contains("search space"));
    let newer = journal.read("study", 0).unwrap()[0].replace("\"format\":1", "\"format\":2");
    journal.append("newer", 0, &newer).unwrap();
    assert!(
        differs(SPACE, StudySettings { name: "newer".into(), ..settings(1) }).contains("journal format 2")
    );
    journal.append("foreign", 0, "{}").unwrap();
    assert!(
        differs(SPACE, StudySettings { name: "foreign".into(), ..settings(1) })
            .contains("event 0 cannot be read")
    );
}

#[test]
fn memory_keeps_the_contract() {
    contract(&(Arc::new(Memory::default()) as Arc<dyn Journal>));
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract(&crate::storage::open(folder.path().join("study.sqlite").to_str().unwrap()).unwrap());
    std::fs::write(
        folder.path().join("text"),
        "this is no database, and long enough to be seen as none".repeat(20),
    )
    .unwrap();
    let error = crate::storage::open(folder.path().join("text").to_str().unwrap()).err().unwrap().to_string();
    assert!(error.contains("text: cannot be opened as an SQLite file"), "{error}");
}

#[cfg(feature = "postgres")]
#[path = "../../tests/server/mod.rs"]
mod server;

#[cfg(feature = "postgres")]
#[test]
fn postgres_keeps_the_contract() {
    if std::env::var_os("FORETASTE_SLOW_TESTS").is_none() {
        return;
    }
    let Some(server) = server::Server::start() else { return };
    contract(&crate::storage::open(&server.address()).unwrap());
    // Stopped and started between two requests: nobody notices.
    let journal = crate::storage::open(&server.address()).unwrap();
    server.down();
    server.up();
    assert_eq!(journal.studies().unwrap().len(), 5);
    server.down();
    let gone = crate::storage::open(&server.address()).err().unwrap().to_string();
    assert!(gone.contains("postgres://foretaste@127.0.0.1") && gone.contains("help:"), "{gone}");
    server.up();
}

#[test]
fn many_workers_find_what_one_finds() {
    let run = |workers: usize| {
        let study = Study::in_memory(SPACE.parse().unwrap(), settings(5)).unwrap();
        study.optimize_in_parallel(workers, &Budget::trials(30), value).unwrap();
        study.trials().unwrap().into_iter().map(|t| (t.configuration, t.value)).collect::<Vec<_>>()
    };
    // Random draws do not look at outcomes: configurations and values must be the same, not only as many.
    assert_eq!(run(1), run(4));
}

#[test]
fn a_dead_workers_trial_is_begun_anew() {
    let journal: Arc<dyn Journal> = Arc::new(Memory::default());
    let (one, two) = (join(&journal).unwrap(), join(&journal).unwrap());
    // It holds a trial, its counter stands still and it never reports: what is left of a killed process.
    one.0.watch.lock().unwrap().beating = true;
    let held = std::mem::ManuallyDrop::new(one.ask(None).unwrap().unwrap());
    assert_eq!(two.optimize(&Budget::trials(5), value).unwrap(), 5);
    let trials = two.trials().unwrap();
    assert_eq!(
        (trials.len(), trials[held.number()].attempts, trials[held.number()].state),
        (5, 2, State::Complete)
    );
    // One whose workers die again and again fails in the end.
    let mut holds = Vec::new();
    for _ in 0..4 {
        let zombie = join(&journal).unwrap();
        zombie.0.watch.lock().unwrap().beating = true;
        holds.push(std::mem::ManuallyDrop::new(zombie.ask(Some(6)).unwrap().unwrap()));
        if holds.len() < 4 {
            while two.trials().unwrap()[5].state == State::Running {
                two.watch_over();
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    two.optimize(&Budget::trials(6), value).unwrap();
    let last = &two.trials().unwrap()[5];
    assert_eq!((last.state, last.attempts), (State::Failed, 4));
    assert!(last.reason.as_ref().unwrap().contains("lost 4 times"), "{last:?}");
}

#[test]
fn budgets_and_interruptions_end_a_search_that_goes_on_later() {
    let journal: Arc<dyn Journal> = Arc::new(Memory::default());
    let study = join(&journal).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let budget = Budget { stop: Some(Arc::new(move || asked.load(Ordering::Relaxed))), ..Budget::trials(9) };
    let ended = study
        .optimize(&budget, |trial| {
            if trial.number() == 4 {
                stop.store(true, Ordering::Relaxed);
                trial.report(1, 0.0)?;
            }
            value(trial)
        })
        .unwrap();
    assert_eq!(ended, 4);
    assert_eq!(study.trials().unwrap()[4].state, State::Waiting);
    assert_eq!(study.optimize(&Budget::trials(9), value).unwrap(), 5);
    let whole = Study::in_memory(SPACE.parse().unwrap(), settings(1)).unwrap();
    whole.optimize(&Budget::trials(9), value).unwrap();
    let outcome = |study: &Study| {
        study.trials().unwrap().into_iter().map(|t| (t.configuration, t.value)).collect::<Vec<_>>()
    };
    assert_eq!(outcome(&study), outcome(&whole));

    let start = std::time::Instant::now();
    let slow = |trial: &mut Running| {
        for step in 1.. {
            std::thread::sleep(Duration::from_millis(10));
            trial.report(step, 1.0)?;
        }
        Ok(0.0)
    };
    study.optimize(&Budget::time(Duration::from_millis(200)), slow).unwrap();
    assert!((150..600).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[test]
fn panics_and_pruning_end_a_trial() {
    let settings = StudySettings {
        pruner: Box::new(crate::pruner::Median { startup: 2, warmup: 0 }),
        direction: Direction::Maximize,
        ..settings(3)
    };
    let study = Study::in_memory(SPACE.parse().unwrap(), settings).unwrap();
    study
        .optimize(&Budget::trials(5), |trial| {
            assert!(trial.number() != 3, "out of order");
            let level = [3.0, 4.0, 1.0, 0.0, 9.0][trial.number()];
            for step in 1..=3 {
                trial.report(step, level)?;
            }
            Ok(level)
        })
        .unwrap();
    let trials = study.trials().unwrap();
    let states: Vec<State> = trials.iter().map(|t| t.state).collect();
    assert_eq!(states, [State::Complete, State::Complete, State::Pruned, State::Failed, State::Complete]);
    assert_eq!(trials[2].reports.len(), 1);
    assert!(trials[3].reason.as_ref().unwrap().contains("panicked: out of order"));
    assert_eq!(study.best().unwrap().unwrap().number, 4);
}

#[test]
fn importance_names_what_matters() {
    let study = Study::in_memory(SPACE.parse().unwrap(), settings(9)).unwrap();
    study
        .optimize(
            &Budget::trials(60),
            |trial| Ok(10.0 * trial.float("x")? + 0.1 * trial.integer("k")? as f64),
        )
        .unwrap();
    let shares = study.importance().unwrap();
    assert_eq!(shares[0].0, "x");
    assert!(shares[0].1 > 0.8 && shares[1].1 < 0.1, "{shares:?}");
}

/// A storage that can be away.
#[derive(Default)]
struct Away {
    memory: Memory,
    away: AtomicBool,
}

impl Away {
    fn there(&self) -> Result<&Memory> {
        if self.away.load(Ordering::Relaxed) {
            return Err(HpoError::Storage { storage: "memory".into(), reason: "away".into() });
        }
        Ok(&self.memory)
    }
}

impl Journal for Away {
    fn address(&self) -> String {
        "memory".into()
    }

    fn read(&self, study: &str, from: u64) -> Result<Vec<String>> {
        self.there()?.read(study, from)
    }

    fn append(&self, study: &str, place: u64, event: &str) -> Result<bool> {
        self.there()?.append(study, place, event)
    }

    fn beat(&self, study: &str, worker: &str) -> Result<()> {
        self.there()?.beat(study, worker)
    }

    fn beats(&self, study: &str) -> Result<Vec<(String, i64)>> {
        self.there()?.beats(study)
    }

    fn studies(&self) -> Result<Vec<String>> {
        self.there()?.studies()
    }
}

#[test]
fn an_outage_in_mid_trial_gives_the_trial_back_and_it_ends_once() {
    let storage = Arc::new(Away::default());
    let journal: Arc<dyn Journal> = Arc::clone(&storage) as _;
    let study = join(&journal).unwrap();
    let away = |away: bool| storage.away.store(away, Ordering::Relaxed);
    // While it reports, and still when it is given back.
    let first = study.optimize(&Budget::trials(1), |trial| {
        trial.report(1, 0.5)?;
        away(true);
        trial.report(2, 0.4)?;
        unreachable!("the storage is away");
    });
    assert!(matches!(first, Err(HpoError::Storage { .. })), "{first:?}");
    away(false);
    assert_eq!(study.trials().unwrap()[0].state, State::Running, "nobody could write that it waits");
    // When it ends: what it came to is written later.
    let second = study.optimize(&Budget::trials(1), |trial| {
        assert_eq!(trial.number(), 0);
        away(true);
        Ok(0.25)
    });
    assert!(matches!(second, Err(HpoError::Storage { .. })), "{second:?}");
    away(false);
    assert_eq!(study.optimize(&Budget::trials(1), value).unwrap(), 0, "nothing is left to do");
    let trials = study.trials().unwrap();
    assert_eq!((trials.len(), trials[0].state, trials[0].value), (1, State::Complete, Some(0.25)));
    assert_eq!(trials[0].attempts, 2);
    let events = journal.read("study", 0).unwrap();
    assert_eq!(events.iter().filter(|e| e.contains("\"event\":\"ended\"")).count(), 1, "{events:?}");
}

#[test]
fn an_outage_of_three_timeouts_loses_no_worker() {
    let storage = Arc::new(Away::default());
    let journal: Arc<dyn Journal> = Arc::clone(&storage) as _;
    let (one, two) = (join(&journal).unwrap(), join(&journal).unwrap());
    let held = one.ask(None).unwrap().unwrap();
    two.watch_over();
    for away in [true, false] {
        storage.away.store(away, Ordering::Relaxed);
        let start = std::time::Instant::now();
        while start.elapsed() < 3 * settings(1).grace {
            two.watch_over();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let trial = &two.trials().unwrap()[0];
    assert_eq!((trial.state, trial.attempts), (State::Running, 1));
    held.tell(Ok(1.0)).unwrap();
}
