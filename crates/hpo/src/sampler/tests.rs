use super::*;
use crate::{Budget, State, Study, StudySettings, Trial};

const MIXED: &str = r#"
constraints = ["a <= 0.9"]
a = { type = "float", low = 0.0, high = 1.0 }
kind = { type = "categorical", choices = ["plain", "deep"] }
depth = { type = "integer", low = 1, high = 4, when = { kind = "deep" } }
rate = { type = "float", low = 0.001, high = 1.0, log = true }
"#;

fn mixed(trial: &mut crate::Running) -> Result<f64, crate::Halt> {
    let base = (trial.float("a")? - 0.3).powi(2) + (trial.float("rate")?.log10() + 2.0).powi(2);
    Ok(base
        + if trial.text("kind")? == "deep" { 0.1 * (trial.integer("depth")? - 3).pow(2) as f64 } else { 0.5 })
}

fn study(sampler: &str, space: &str, seed: u64) -> Study {
    let settings = StudySettings { sampler: sampler.parse().unwrap(), seed, ..StudySettings::default() };
    Study::in_memory(space.parse().unwrap(), settings).unwrap()
}

/// What holds for every sampler: proposals lie in the space, equal seeds make equal studies, others make
/// others, and the search comes near the best.
#[test]
fn every_sampler_keeps_the_contract() {
    for name in NAMES {
        let run = |seed: u64| {
            let study = study(name, MIXED, seed);
            study.optimize(&Budget::trials(40), mixed).unwrap();
            study
        };
        let (one, same, other) = (run(1), run(1), run(2));
        let configurations =
            |study: &Study| study.trials().unwrap().into_iter().map(|t| t.configuration).collect::<Vec<_>>();
        assert_eq!(configurations(&one), configurations(&same), "{name}");
        assert!(name == "grid" || configurations(&one) != configurations(&other), "{name}");
        for trial in one.trials().unwrap() {
            one.space().check(&trial.configuration).unwrap();
            assert_eq!(trial.state, State::Complete);
        }
        let best = one.best().unwrap().unwrap().value.unwrap();
        assert!(best < if ["auto", "gp", "tpe"].contains(&name) { 0.2 } else { 1.1 }, "{name}: {best}");
    }
    assert!("bayes".parse::<Box<dyn Sampler>>().err().unwrap().to_string().contains("auto, gp, tpe"));
}

/// A space of twelve configurations is gone through without repetition, and the grid ends.
#[test]
fn few_configurations_are_not_repeated() {
    let space = "a = { type = \"integer\", low = 1, high = 4 }\nb = { type = \"categorical\", choices = \
        [\"x\", \"y\", \"z\"] }";
    for name in NAMES {
        let study = study(name, space, 0);
        study.optimize(&Budget::trials(12), |trial| Ok(trial.integer("a")? as f64)).unwrap();
        let mut seen: Vec<String> =
            study.trials().unwrap().iter().map(|t| format!("{:?}", t.configuration)).collect();
        seen.sort();
        seen.dedup();
        // A grid takes three of the four numbers.
        let least = if name == "grid" { 9 } else { 12 };
        assert_eq!(seen.len(), least, "{name}");
    }
    let grid = study("grid", MIXED, 0);
    // Enqueued configurations take no place of the grid.
    grid.enqueue(&grid.space().decode(&[0.2, 0.25, 0.5, 0.3])).unwrap();
    // a has 0, 0.5 and 1, of which the constraint leaves two; kinds: plain, or deep with depths 1, 2 or 3, 4;
    // three rates.
    grid.optimize(&Budget::default(), mixed).unwrap();
    assert_eq!(grid.trials().unwrap().len(), 1 + 2 * (1 + 3) * 3);
}

/// Where trials fail, are pruned or pend, every sampler still proposes.
#[test]
fn trials_without_value_do_no_harm() {
    for name in NAMES {
        let study = study(name, MIXED, 3);
        // One that never ends, as of a worker that is still computing.
        let held = study.ask(None).unwrap().unwrap();
        for number in 1..24 {
            let mut trial = study.ask(None).unwrap().unwrap();
            let outcome = match number % 4 {
                0 => Err(crate::Halt::Failed("of its own".into())),
                1 => trial.report(1, 5.0).and(Err(crate::Halt::Pruned)),
                2 => Ok(f64::NAN),
                _ => mixed(&mut trial),
            };
            trial.tell(outcome).unwrap();
        }
        drop(held);
        let ended: Vec<Trial> = study.trials().unwrap().into_iter().filter(|t| t.state.ended()).collect();
        assert_eq!(ended.len(), 23, "{name}");
    }
}

/// The process proposes what a person would: between two good trials, not beside bad ones.
#[test]
fn a_parabola_is_found_in_few_trials() {
    let study = study(
        "gp",
        "x = { type = \"float\", low = -10.0, high = 10.0 }\ny = { type = \"float\", low = -10.0, high = \
         10.0 }",
        7,
    );
    study
        .optimize(&Budget::trials(25), |trial| {
            Ok((trial.float("x")? - 2.7).powi(2) + (trial.float("y")? + 4.1).powi(2))
        })
        .unwrap();
    let best = study.best().unwrap().unwrap().value.unwrap();
    assert!(best < 1e-3, "{best}");
}

/// An enqueued point is taken as good: a search of few trials looks near it and improves on it where an even
/// spread does not.
#[test]
fn defaults_are_bettered_by_few_trials() {
    let space: String =
        (0..8).map(|n| format!("x{n} = {{ type = \"float\", low = 0.0, high = 1.0 }}\n")).collect();
    let loss = |trial: &mut crate::Running| -> Result<f64, crate::Halt> {
        let mut sum = 0.0;
        for n in 0..8 {
            sum += (trial.float(&format!("x{n}"))? - 0.4).powi(2);
        }
        Ok(sum)
    };
    let bettered = |asks: bool| {
        let asked = 8.0 * 0.08_f64.powi(2);
        let searches = (0..10).filter(|seed| {
            let study = study("auto", &space, *seed);
            if asks {
                study.enqueue(&study.space().decode(&[0.48; 8])).unwrap();
            }
            study.optimize(&Budget::trials(12), loss).unwrap();
            study.best().unwrap().unwrap().value.unwrap() < 0.999 * asked
        });
        searches.count()
    };
    let (near, even) = (bettered(true), bettered(false));
    assert!(
        near >= 8 && even == 0,
        "of ten searches {near} better what was asked for, {even} without asking"
    );
}
