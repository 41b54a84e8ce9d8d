//! Repository rules as tests.

use crate::Outcome;
use std::path::Path;
use xshell::{Shell, cmd};

/// Largest number of lines of a file.
const LONGEST: usize = 600;
/// Largest number of columns of a line; `clippy.toml` has the largest number of lines of a function.
const WIDEST: usize = 110;

/// Checks every tracked text file; reports all violations at once.
pub fn check(sh: &Shell) -> Outcome {
    let files = cmd!(sh, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    let mut breaches = Vec::new();
    for file in files.lines() {
        let Ok(text) = sh.read_file(file) else { continue };
        breaches.extend(rules(file, &text).into_iter().map(|rule| format!("{file}: {rule}")));
    }
    breaches.extend(arrows(sh));
    if breaches.is_empty() {
        Ok(())
    } else {
        Err(format!("repository rules are broken:\n  {}", breaches.join("\n  ")).into())
    }
}

fn rules(file: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let kind = Path::new(file).extension().and_then(|e| e.to_str()).unwrap_or("");
    let prose_or_code = ["rs", "toml", "md", "py", "sh", "yml"].contains(&kind);
    if prose_or_code {
        if !text.is_empty() && !text.ends_with('\n') {
            broken.push("does not end with a line end".to_owned());
        }
        if let Some(at) = text.lines().position(|line| line.ends_with([' ', '\t', '\r'])) {
            broken.push(format!("line {} ends with blanks", at + 1));
        }
    }
    if ["rs", "md"].contains(&kind) {
        broken.extend(wide(kind, text));
    }
    if kind != "rs" {
        return broken;
    }
    if text.contains("\u{2014}") {
        broken.push("holds a long dash; use a comma, a colon or two sentences".to_owned());
    }
    // A test module beside its code needs no introduction.
    let documented = text.starts_with("//!") || text.starts_with("#![doc = include_str!");
    if !documented && !file.ends_with("/tests.rs") {
        broken.push("has no module documentation".to_owned());
    }
    if text.lines().count() > LONGEST {
        broken.push(format!("has more than {LONGEST} lines; can it be split?"));
    }
    // Names are concatenated so that this file passes its own rules.
    for macro_name in ["todo", "unimplemented", "dbg"] {
        if text.contains(&format!("{macro_name}!(")) {
            broken.push(format!("holds {macro_name}!"));
        }
    }
    let library = file.contains("/src/")
        && !file.ends_with("/tests.rs")
        && !file.starts_with("xtask/")
        && !file.ends_with("main.rs");
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    if library && ["print", "println", "eprint", "eprintln"].iter().any(|p| code.contains(&format!(" {p}!(")))
    {
        broken.push("prints in a library; return it, or use tracing".to_owned());
    }
    broken
}

/// The first line that is too wide. Tables and blocks of code in Markdown are as wide as they must be, and so
/// is what stands in a raw string.
fn wide(kind: &str, text: &str) -> Option<String> {
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        let bare = line.trim_start_matches(['/', '!', ' ']);
        in_code ^= bare.starts_with("```");
        let free = bare.starts_with('|') || line.contains("r#\"") || (kind == "md" && in_code);
        if line.chars().count() > WIDEST && !free {
            return Some(format!("line {} is wider than {WIDEST} columns", at + 1));
        }
    }
    None
}

/// Dependencies between crates go in one direction.
fn arrows(sh: &Shell) -> Vec<String> {
    let allowed: [(&str, &[&str]); 8] = [
        ("data", &["ml-latest-small"]),
        ("cluster", &["data"]),
        ("metrics", &[]),
        // Its tests use its own contract suite.
        ("models", &["data", "metrics", "models"]),
        ("hpo", &[]),
        ("bench", &["data", "metrics", "models"]),
        ("automl", &["data", "metrics", "models", "bench", "hpo"]),
        ("cli", &["data", "metrics", "models", "hpo", "bench", "automl"]),
    ];
    let mut broken = Vec::new();
    for (name, may_know) in allowed {
        let path = format!("crates/{name}/Cargo.toml");
        let Ok(text) = sh.read_file(&path) else { continue };
        for line in text.lines() {
            if let Some(known) =
                line.strip_prefix("foretaste-").and_then(|rest| rest.split([' ', '=', '.']).next())
                && !may_know.contains(&known)
            {
                broken.push(format!("{path}: {name} must not depend on {known}"));
            }
        }
    }
    broken
}
