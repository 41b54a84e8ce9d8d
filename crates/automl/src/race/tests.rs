use super::*;
use foretaste_data::{SplitRule, embedded};
use foretaste_hpo::storage::Memory;
use foretaste_models::{Device, Kind, Reading, pmf};

/// An entrant in a race whose budget is a minute; `check` sees both.
fn entered(settings: &str, kind: Kind, check: impl FnOnce(&Race, &mut Entrant)) {
    let table = embedded::load().unwrap().of_users(|name| name.len() < 2).unwrap();
    let parts = SplitRule::HoldOut { test: 0.1 }.split(&table, 0, 0.2).unwrap().parts(&table);
    let device = Device::flex();
    let data = SelectionData {
        train: parts.train,
        validation: parts.validation,
        scale: None,
        user_attributes: None,
        item_attributes: None,
        device: &device,
    };
    let folder = tempfile::tempdir().unwrap();
    let metric = Metric::rmse(Reading::Frozen);
    let race = Race {
        data: &data,
        metric: &metric,
        budget: Duration::from_mins(1),
        trials: None,
        sampled: true,
        seed: 0,
        journal: Arc::new(Memory::default()),
        folder: folder.path(),
        stop: Arc::new(|| false),
        log: &|_| {},
    };
    let candidate = Candidate::new("it", "It", kind.settings(settings.parse().unwrap()).unwrap()).unwrap();
    let (study, whole) = (race.study(&candidate, None).unwrap(), candidate.settings.clone());
    check(
        &race,
        &mut Entrant {
            candidate,
            trials: Vec::new(),
            stopped: None,
            shortened: None,
            whole,
            expected: None,
            study,
        },
    );
}

fn epochs(entrant: &Entrant) -> usize {
    let settings = entrant.candidate.settings.of::<pmf::Settings>().unwrap();
    settings.epochs
}

#[test]
fn who_is_expected_to_take_too_long_trains_for_fewer_passes() {
    entered("epochs = 100", Kind::PMF, |race, entrant| {
        // The cost is unknown, or it fits.
        assert!(race.fit_in(entrant, 1.0, 10.0).unwrap());
        entrant.expected = Some(7.0);
        assert!(race.fit_in(entrant, 1.0, 10.0).unwrap());
        assert_eq!((epochs(entrant), entrant.shortened), (100, None));
        // Twice as long as there is room for, of which four fifths are taken.
        entrant.expected = Some(20.0);
        assert!(race.fit_in(entrant, 1.0, 10.0).unwrap());
        assert_eq!((epochs(entrant), entrant.shortened), (40, Some(0.4)));
        // What took too long for little time may fit into more of it.
        assert!(race.fit_in(entrant, 0.1, 2.0).unwrap());
        assert_eq!(epochs(entrant), 80);
        assert!(race.fit_in(entrant, 1.0, 30.0).unwrap());
        assert_eq!((epochs(entrant), entrant.shortened), (100, None));
        // A tenth of the passes is the least.
        entrant.expected = Some(160.0);
        assert!(!race.fit_in(entrant, 1.0, 10.0).unwrap());
        assert!(
            matches!(&entrant.stopped, Some(Stopped::TooSlow(why)) if why.contains("20.0 times")),
            "{:?}",
            entrant.stopped
        );
    });
    // A model without passes runs to its limit.
    entered("", Kind::BIASES, |race, entrant| {
        entrant.expected = Some(20.0);
        assert!(race.fit_in(entrant, 1.0, 10.0).unwrap());
        assert_eq!(entrant.shortened, None);
    });
}

#[test]
fn a_larger_budget_revives_who_was_too_slow_or_failed() {
    for (why, revived) in [
        (Stopped::TooSlow("then".into()), true),
        (Stopped::Failed("then".into()), true),
        (Stopped::Behind("on a sample".into()), false),
    ] {
        for budget in [30.0, 60.0] {
            entered("", Kind::BIASES, |race, entrant| {
                let stopped = BTreeMap::from([(entrant.candidate.name.clone(), why.clone())]);
                let before = Remembered { budget, stopped, ..Remembered::default() };
                atomic::write(&race.folder.join(REMEMBERED), &serde_json::to_vec(&before).unwrap()).unwrap();
                let race = Race {
                    trials: Some(2),
                    journal: Arc::clone(&race.journal),
                    stop: Arc::clone(&race.stop),
                    ..*race
                };
                let standing = race.run(vec![entrant.candidate.clone()]).unwrap();
                let expected = revived && budget < 60.0;
                assert_eq!(!standing.kept.is_empty(), expected, "{why:?}, {budget} s before");
            });
        }
    }
}
