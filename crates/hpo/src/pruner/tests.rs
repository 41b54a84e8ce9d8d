use super::*;
use crate::{Configuration, Report};

fn trial(number: usize, state: State, values: &[f64]) -> Trial {
    let reports = values.iter().enumerate().map(|(i, v)| Report { step: i as u64 + 1, value: *v }).collect();
    Trial {
        number,
        state,
        enqueued: false,
        configuration: Configuration::new(),
        value: None,
        reports,
        seconds: 0.0,
        attempts: 1,
        worker: String::new(),
        note: Vec::new(),
        reason: None,
    }
}

fn asks(pruner: &dyn Pruner, others: &[Trial], now: &Trial, sign: f64) -> bool {
    let mut trials = others.to_vec();
    trials.push(now.clone());
    let points = vec![Vec::new(); trials.len()];
    pruner.prunes(&History { trials: &trials, points: &points, sign, seed: 0 }, now)
}

/// What holds for every pruner: a trial without reports continues, and so does the best of many, in both
/// directions.
#[test]
fn the_best_goes_on() {
    for name in NAMES {
        let pruner: Box<dyn Pruner> = name.parse().unwrap();
        assert_eq!(pruner.name(), name);
        for sign in [1.0, -1.0] {
            let others: Vec<Trial> = (0..20)
                .map(|n| trial(n, State::Complete, &[2.0, 1.5 + n as f64, 1.4, 1.3].map(|v| v * sign)))
                .collect();
            assert!(!asks(pruner.as_ref(), &others, &trial(20, State::Running, &[]), sign), "{name}");
            for reports in 1..=4 {
                let best = [0.9, 0.8, 0.7, 0.6].map(|v| v * sign);
                assert!(
                    !asks(pruner.as_ref(), &others, &trial(20, State::Running, &best[..reports]), sign),
                    "{name} {reports}"
                );
            }
        }
    }
    assert!("halving".parse::<Box<dyn Pruner>>().is_err());
}

#[test]
fn median_by_hand() {
    let others: Vec<Trial> = [1.0, 2.0, 3.0, 4.0, 5.0]
        .iter()
        .enumerate()
        .map(|(n, v)| trial(n, State::Complete, &[9.0, *v]))
        .collect();
    let pruner = Median::default();
    assert!(!asks(&pruner, &others, &trial(9, State::Running, &[9.0, 3.0]), 1.0));
    assert!(asks(&pruner, &others, &trial(9, State::Running, &[9.0, 3.1]), 1.0));
    assert!(!asks(&pruner, &others, &trial(9, State::Running, &[99.0]), 1.0), "warm-up");
    assert!(
        !asks(&pruner, &others[..4], &trial(9, State::Running, &[9.0, 30.0]), 1.0),
        "too few are complete"
    );
}

#[test]
fn curve_by_hand() {
    let pruner = Curve::default();
    // The best learned slowly: after its second step it still came down by 0.4, the others by 0.1.
    let curves = [[9.0, 1.0, 0.6], [5.0, 0.8, 0.7], [5.0, 0.9, 0.8]];
    let others: Vec<Trial> = curves
        .iter()
        .enumerate()
        .map(|(n, c)| Trial { value: Some(c[2]), ..trial(n, State::Complete, c) })
        .collect();
    let ends =
        |others: &[Trial], values: &[f64]| asks(&pruner, others, &trial(3, State::Running, values), 1.0);
    assert!(!ends(&others, &[9.0, 1.09]), "as slow as the best, or a little slower");
    assert!(ends(&others, &[9.0, 1.11]), "further behind than anyone who caught up");
    assert!(ends(&others, &[9.0, 1.0, 0.61]), "at the end no decrease is left to expect");
    assert!(!ends(&others[..2], &[9.0, 8.0]), "two are too few");
    assert!(
        !ends(&others, &[11.0]) && ends(&others, &[11.2]),
        "from the first step the best came down by 8.4"
    );
    assert!(ends(&others, &[9.0, f64::NAN, f64::NAN]));
}

#[test]
fn halving_by_hand() {
    let pruner = SuccessiveHalving { first: 1, eta: 3 };
    let others: Vec<Trial> = (0..5).map(|n| trial(n, State::Pruned, &[1.0 + n as f64])).collect();
    // Six trials at the first rung: the best two continue.
    assert!(!asks(&pruner, &others, &trial(5, State::Running, &[1.5]), 1.0));
    assert!(asks(&pruner, &others, &trial(5, State::Running, &[2.5]), 1.0));
    // Between rungs nothing is decided.
    assert!(!asks(&pruner, &others, &trial(5, State::Running, &[1.5, 99.0]), 1.0));
    // At the second rung (step 3) only those who came so far count.
    let mut far = others.clone();
    far.push(trial(6, State::Complete, &[1.1, 1.0, 0.5]));
    far.push(trial(7, State::Complete, &[1.1, 1.0, 0.4]));
    assert!(asks(&pruner, &far, &trial(8, State::Running, &[1.0, 1.0, 0.6]), 1.0));
    assert!(
        !asks(&pruner, &far[..6], &trial(8, State::Running, &[1.0, 1.0, 0.6]), 1.0),
        "two at a rung are too few"
    );
    assert!(!asks(&pruner, &far, &trial(8, State::Running, &[1.0, 1.0, 0.3]), 1.0));
    assert!(asks(&pruner, &far, &trial(8, State::Running, &[f64::NAN]), 1.0), "no number is the worst");
}

#[test]
fn brackets_share_the_work() {
    let pruner = Hyperband::default();
    let mut counts = [0; 3];
    (0..3000).for_each(|n| counts[pruner.bracket(n) as usize] += 1);
    assert!(counts[0] > 3 * counts[1] && counts[1] > 2 * counts[2] && counts[2] > 50, "{counts:?}");
}

#[test]
fn patience_by_hand() {
    let pruner = Patience { reports: 2, least: 0.0 };
    assert!(!asks(&pruner, &[], &trial(0, State::Running, &[3.0, 2.0, 2.5]), 1.0));
    assert!(asks(&pruner, &[], &trial(0, State::Running, &[3.0, 2.0, 2.5, 2.1]), 1.0));
}

#[test]
fn settings_are_read_beside_the_name() {
    let read =
        |text: &str| text.parse::<Box<dyn Pruner>>().map(|pruner| pruner.name()).map_err(|e| e.to_string());
    assert_eq!(read("asha:first=1,eta=4").unwrap(), "asha");
    assert_eq!(read("patience:reports=2").unwrap(), "patience");
    for (wrong, reason) in [
        ("asha:eta", "write a name and numbers"),
        ("asha:first=x", "write a name"),
        ("none:eta=3", "no setting \"eta\""),
        ("half", "known are"),
    ] {
        let error = read(wrong).unwrap_err();
        assert!(error.contains(reason), "{wrong}: {error}");
    }
}
