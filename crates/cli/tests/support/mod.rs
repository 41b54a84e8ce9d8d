//! What the tests of the program share.
#![allow(dead_code)] // Each takes what it needs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// The program with `arguments`, in `folder`.
pub fn foretaste(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foretaste"));
    command
        .current_dir(folder)
        .env("FORETASTE_DATA", folder.join("data-home"))
        .env_remove("FORETASTE_LOG")
        .args(arguments.split_whitespace());
    command
}

pub fn run(folder: &Path, arguments: &str) -> Output {
    foretaste(folder, arguments).output().unwrap()
}

/// Kills the program after a while; returns whether it had ended successfully by then.
pub fn ends_within(folder: &Path, arguments: &str, time: Duration) -> bool {
    let mut child = foretaste(folder, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(time);
    let _ = child.kill();
    child.wait().unwrap().success()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn succeed(folder: &Path, arguments: &str) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}\n{}", text(&output.stderr));
    text(&output.stdout)
}

/// Ratings of 60 users over 40 items with tastes to be found, four seconds to a rating.
pub fn ratings(folder: &Path) -> PathBuf {
    let mut csv = String::from("user,item,rating,timestamp\n");
    for user in 0..60_u32 {
        for step in 0..20_u32 {
            let item = (user * 13 + step * 7) % 40;
            let rating = 1 + (user % 3 + item % 2 * 2 + (user * item) % 2) % 5;
            csv.push_str(&format!(
                "{user},{item},{rating},{}\n",
                1_000_000_000 + user * 4_000 + step * step * 4
            ));
        }
    }
    let path = folder.join("ratings.csv");
    std::fs::write(&path, csv).unwrap();
    path
}

/// Names of a folder's files, in order.
pub fn list(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
