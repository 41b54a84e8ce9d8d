//! The program interrupted, killed, and out of disk space.

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{ends_within, foretaste, list, ratings, run, succeed, text};

/// Ctrl-C leaves a run that `--resume` finishes to the same bytes; finished cells are not run again.
#[cfg(unix)]
#[test]
#[allow(unsafe_code)]
fn an_interrupted_run_goes_on() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    ratings(folder);
    let arguments = "reproduce ./ratings.csv --seeds 2 --regime random --device flex --models \
        rolling-average,biases,pmf,biased-mf,rnn --set pmf.factors=4 --set biased-mf.epochs=3 --set \
        rnn.size=8 --set rnn.epochs=4000 --set rnn.patience=4000 --json"
        .to_string();
    let cells = |name: &str| std::fs::read_dir(folder.join(name).join("cells")).map_or(0, Iterator::count);
    // A file: a pipe that nobody reads would stop the run.
    let log = folder.join("killed.log");
    let mut child = foretaste(folder, &arguments)
        .args(["--out", "killed"])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    // Rolling Average, Biases, PMF and PMF with biases end at once, on both seeds; the RNN would take long.
    let begin = Instant::now();
    while cells("killed") < 8 && begin.elapsed().as_secs() < 120 {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let status = child.wait().unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(
        said.contains("--resume continues where it stopped") && said.lines().all(|l| l.starts_with('{')),
        "{said}"
    );
    assert_eq!(cells("killed"), 8);
    assert!(!folder.join("killed/results.json").exists(), "an unfinished run shows no results");

    let short =
        arguments.replace("rnn.epochs=4000", "rnn.epochs=2").replace("rnn.patience=4000", "rnn.patience=1");
    let resumed = run(folder, &format!("{short} --out killed --resume"));
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    let epochs = text(&resumed.stderr).lines().filter(|l| l.contains("\"model\":\"pmf\"")).count();
    let expected = text(&run(folder, &format!("{short} --out straight")).stderr)
        .lines()
        .filter(|l| l.contains("\"model\":\"pmf\""))
        .count();
    assert!(epochs < expected, "finished cells were not run again: {epochs} of {expected} epochs");
    for file in ["results.json", "results.parquet"] {
        assert_eq!(
            std::fs::read(folder.join("killed").join(file)).unwrap(),
            std::fs::read(folder.join("straight").join(file)).unwrap(),
            "{file}"
        );
    }
}

/// Killed at any moment, a conversion leaves an older file intact, and its next run cleans up and ends in the
/// same bytes.
#[test]
fn a_killed_conversion_ends_in_the_same_bytes() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    succeed(folder, "simulate netflix --scale 0.002 --out log");
    let works = [
        "sessions log/training_set --memory-limit 64MB",
        "sessions log/training_set",
        "import log/training_set --memory-limit 64MB",
        "import log/training_set",
    ];
    let expected: Vec<Vec<u8>> = works
        .iter()
        .map(|words| {
            succeed(folder, &format!("{words} --out whole.parquet"));
            std::fs::read(folder.join("whole.parquet")).unwrap()
        })
        .collect();
    for (turn, (words, expected)) in works.iter().zip(&expected).cycle().take(40).enumerate() {
        let out = words.split(' ').next().unwrap();
        ends_within(folder, &format!("{words} --out {out}"), Duration::from_millis(turn as u64 * 9));
        if let Ok(bytes) = std::fs::read(folder.join(out)) {
            assert!(bytes == *expected, "turn {turn}: a file is there whole or not at all");
        }
    }
    for (words, expected) in works.iter().zip(&expected) {
        let out = words.split(' ').next().unwrap();
        succeed(folder, &format!("{words} --out {out}"));
        assert!(std::fs::read(folder.join(out)).unwrap() == *expected, "{words}");
        assert!(!folder.join(format!(".spilled-{out}")).exists());
    }
}

/// Killed at twenty moments, a run is resumed with `--resume` and ends in the bytes of one that was not
/// killed.
#[test]
fn a_killed_run_ends_in_the_same_bytes() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    ratings(folder);
    let words = "reproduce ./ratings.csv --seeds 2 --regime random --device flex --save-models --models \
        pmf,t-svd,fm-mf,i-autorec,rnn,hrnn-alone,deepfm \
        --set pmf.epochs=6 --set pmf.factors=4 --set t-svd.factors=4 --set t-svd.epochs=4 --set \
        fm-mf.iterations=8 --set fm-mf.factors=4 --set i-autorec.size=8 --set i-autorec.epochs=4 \
        --set rnn.epochs=3 --set rnn.size=8 --set rnn.rows=8 --set hrnn-alone.epochs=3 --set \
        hrnn-alone.size=8 --set hrnn-alone.rows=8 --set deepfm.epochs=2 --set deepfm.size=8";
    let begin = Instant::now();
    succeed(folder, &format!("{words} --out straight"));
    let whole = begin.elapsed();
    let compare = |turn: u32| {
        for file in ["results.json", "results.parquet"] {
            let [killed, straight] =
                ["killed", "straight"].map(|run| std::fs::read(folder.join(run).join(file)).unwrap());
            assert!(killed == straight, "turn {turn}: {file}");
        }
        let weights = |run: &str| -> Vec<(String, Vec<u8>)> {
            let models = folder.join(run).join("models");
            // A save a minute later removes what a killed save left.
            let names = list(&models).into_iter().filter(|name| !name.starts_with('.'));
            names
                .map(|name| {
                    (name.clone(), std::fs::read(models.join(name).join("weights.safetensors")).unwrap())
                })
                .collect()
        };
        assert!(weights("killed") == weights("straight"), "turn {turn}: weights");
    };
    let mut ended = 0;
    for turn in 0..20_u32 {
        // From a moment after the start to a third of the whole run's time.
        if ends_within(
            folder,
            &format!("{words} --out killed --resume"),
            whole / 3 * (turn * 7 % 20 + 1) / 20,
        ) {
            ended += 1;
            compare(turn);
            std::fs::remove_dir_all(folder.join("killed")).unwrap();
        }
    }
    succeed(folder, &format!("{words} --out killed --resume"));
    compare(20);
    assert!(ended <= 15, "the runs must be killed before they end: {ended} of 20 were not");
}

/// A file that cannot be written whole is not written: a limit on file sizes simulates the full disk.
#[cfg(unix)]
#[test]
#[allow(unsafe_code)]
fn a_full_disk_is_told_and_leaves_nothing() {
    use std::os::unix::process::CommandExt;
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    succeed(folder, "simulate netflix --scale 0.001 --out log");
    let before = list(folder);
    for words in [
        "sessions log/training_set --out out.parquet",
        "sessions log/training_set --memory-limit 64MB --out out.parquet",
        "import log/training_set --out out.parquet",
        "simulate netflix --scale 0.001 --parquet --out other",
    ] {
        let mut command = foretaste(folder, words);
        let limited = || {
            let limit = libc::rlimit { rlim_cur: 60_000, rlim_max: 60_000 };
            unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            }
            Ok(())
        };
        let output = unsafe { command.pre_exec(limited) }.output().unwrap();
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains("File too large"), "{words}: {told}");
        assert_eq!(list(folder), before, "{words}");
    }
}

/// New files have the permissions that the user's umask allows, and one that is written anew keeps its own.
#[cfg(unix)]
#[test]
fn the_umask_is_respected() {
    use std::os::unix::fs::PermissionsExt;
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    ratings(folder);
    let import = || {
        let command = "umask 027; exec \"$0\" import ./ratings.csv --out out.parquet";
        let program = env!("CARGO_BIN_EXE_foretaste");
        let status = std::process::Command::new("sh")
            .args(["-c", command, program])
            .current_dir(folder)
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        std::fs::metadata(folder.join("out.parquet")).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(import(), 0o640);
    std::fs::set_permissions(folder.join("out.parquet"), PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(import(), 0o600);
}

/// A run of which a system, a regime and a seed fail writes and shows all the rest, exits with 1, and runs
/// only what failed once the cause is mended.
#[test]
fn a_part_that_fails_costs_nothing_else() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    ratings(folder);
    let outcomes = |run: &str| -> Vec<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(folder.join(run).join("results.json")).unwrap()).unwrap()
    };

    // A system that needs a table of users.
    let words = "reproduce ./ratings.csv --regime random --seeds 1 --models biases,fm-sgd --out one";
    let output = run(folder, words);
    let (shown, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(shown.contains("Biases") && shown.contains("FM, by gradient descent: failed: "), "{shown}");
    assert!(told.contains("1 of 2 trainings failed"), "{told}");
    assert_eq!(outcomes("one").len(), 1);
    let report = std::fs::read_to_string(folder.join("one/report.html")).unwrap();
    assert!(report.contains("failed: user_attributes are set"), "the report shows it");
    assert!(folder.join("one/failures.json").is_file());
    // Its advice works, and what is done is not done again.
    let mended = run(
        folder,
        &format!(
            "{words} --resume --json --set fm-sgd.user_attributes=false --set fm-sgd.item_attributes=false"
        ),
    );
    assert!(mended.status.success(), "{}", text(&mended.stderr));
    assert_eq!(outcomes("one").len(), 2);
    assert!(!folder.join("one/failures.json").exists());

    // A seed whose fold file is missing, a window without test rows, and that system.
    let rows = std::fs::read_to_string(folder.join("ratings.csv")).unwrap();
    std::fs::write(folder.join("f1.csv"), rows.lines().take(40).collect::<Vec<_>>().join("\n")).unwrap();
    let words = "reproduce ./ratings.csv --regime random,future --fold-file f{}.csv --seeds 2 --models \
                 biases,rolling-average,fm-sgd --out two";
    let output = run(folder, &format!("{words} --window netflix-full"));
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert_eq!(outcomes("two").len(), 2, "{shown}");
    assert!(shown.contains("Biases: seed 1 failed: f2.csv: does not exist; check the path"), "{shown}");
    assert!(shown.contains("netflix-full") && shown.contains("Biases: failed: "), "{shown}");
    let report = std::fs::read_to_string(folder.join("two/report.html")).unwrap();
    assert!(report.contains("f2.csv: does not exist") && report.contains("failed: user_attributes are set"));
    // One cause after the other is mended; what is done is not done again.
    std::fs::copy(folder.join("f1.csv"), folder.join("f2.csv")).unwrap();
    let output = run(folder, &format!("{words} --window netflix-full --resume"));
    assert_eq!((output.status.code(), outcomes("two").len()), (Some(1), 4));
    let set = "--set fm-sgd.user_attributes=false --set fm-sgd.item_attributes=false";
    succeed(folder, &format!("{words} --resume {set}"));
    assert!(outcomes("two").len() == 12 && !folder.join("two/failures.json").exists());
}
