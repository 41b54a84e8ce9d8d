use super::*;
use crate::sampler::test_rng;
use proptest::prelude::*;

const LAYERS: &str = r#"
constraints = ["size_2 <= size_1", "depth * size_1 <= 1024"]
depth = { type = "integer", low = 1, high = 3 }
size_1 = { type = "integer", low = 16, high = 512, log = true }
size_2 = { type = "integer", low = 16, high = 512, log = true, when = { depth = { at_least = 2 } } }
solver = { type = "categorical", choices = ["sgd", "als"] }
rate = { type = "float", low = 0.001, high = 0.1, log = true, when = { solver = "sgd" } }
share = { type = "float", low = 0.0, high = 1.0, step = 0.25 }
fast = { type = "bool" }
"#;

#[test]
fn draws_keep_ranges_conditions_and_constraints() {
    let space: Space = LAYERS.parse().unwrap();
    let mut rng = test_rng(1);
    let (mut with, mut without) = (0, 0);
    for _ in 0..500 {
        let point = space.draw(&mut rng).unwrap();
        let configuration = space.decode(&point);
        let again = space.check(&configuration).unwrap();
        assert!(
            point.iter().zip(&again).all(|(a, b)| a.total_cmp(b).is_eq() || (a - b).abs() < 1e-9),
            "{point:?} {again:?}"
        );
        let depth = configuration["depth"].number().unwrap();
        assert_eq!(configuration.contains_key("size_2"), depth >= 2.0);
        assert_eq!(configuration.contains_key("rate"), configuration["solver"] == Value::Text("sgd".into()));
        if let Some(second) = configuration.get("size_2") {
            assert!(second.number() <= configuration["size_1"].number());
            with += 1;
        } else {
            without += 1;
        }
        assert!(depth * configuration["size_1"].number().unwrap() <= 1024.0);
    }
    assert!(with > 50 && without > 50, "{with} {without}");
}

#[test]
fn what_is_wrong_is_named() {
    let fails = |text: &str| text.parse::<Space>().unwrap_err().to_string();
    assert!(fails("a = { type = \"float\", low = 2.0, high = 1.0 }").contains("a: low 2 and high 1"));
    assert!(fails("a = { type = \"float\", low = 0.0, high = 1.0, log = true }").contains("log scale"));
    assert!(fails("a = { type = \"number\" }").contains("a: "));
    assert!(fails("a = { type = \"bool\", when = { b = true } }").contains("a asks b, which is no setting"));
    let circle = "a = { type = \"bool\", when = { b = true } }\nb = { type = \"bool\", when = { a = true } }";
    assert!(fails(circle).contains("circle"));
    assert!(
        fails("constraints = [\"a <\"]\na = { type = \"bool\" }").contains("character 4"),
        "{}",
        fails("constraints = [\"a <\"]\na = { type = \"bool\" }")
    );
    assert!(fails("constraints = [\"a < c\"]\na = { type = \"bool\" }").contains("c is no setting"));
    assert!(fails("").contains("no setting"));

    let space: Space = LAYERS.parse().unwrap();
    let mut configuration = space.decode(&space.draw(&mut test_rng(3)).unwrap());
    configuration.insert("share".into(), Value::Float(0.3));
    assert!(
        space
            .check(&configuration)
            .unwrap_err()
            .to_string()
            .contains("share: 0.3 is not in [0, 1] in steps of 0.25")
    );
    configuration.insert("share".into(), Value::Float(0.5));
    configuration.remove("depth");
    assert!(space.check(&configuration).unwrap_err().to_string().contains("depth: is missing"));
    let impossible: Space =
        "constraints = [\"a > 2\"]\na = { type = \"float\", low = 0.0, high = 1.0 }".parse().unwrap();
    assert!(impossible.draw(&mut test_rng(0)).unwrap_err().to_string().contains("a > 2"));
}

#[test]
fn bounds_are_overridden() {
    let space: Space = LAYERS.parse().unwrap();
    let narrow = space.clone().with_override("size_1=32..64").unwrap().with_override("solver=als").unwrap();
    for seed in 0..50 {
        let configuration = narrow.decode(&narrow.draw(&mut test_rng(seed)).unwrap());
        assert!(
            (32.0..=64.0).contains(&configuration["size_1"].number().unwrap())
                && !configuration.contains_key("rate")
        );
    }
    assert!(space.clone().with_override("size_3=1..2").unwrap_err().to_string().contains("size_1"));
    assert!(space.with_override("size_1=many").is_err());
}

proptest! {
    /// Every value decodes from its own place, and every place lies in the cell of its value.
    #[test]
    fn encoding_is_undone(unit in 0.0..1.0_f64, low in 1_i64..40, span in 0_i64..500, log: bool) {
        let domains = [
            Domain::Integer { low, high: low + span, log, step: 1 },
            Domain::Float { low: low as f64, high: (low + span) as f64, log, step: None },
            Domain::Float { low: 0.0, high: 2.0, log: false, step: Some(0.1) },
            Domain::Integer { low: -5, high: 30, log: false, step: 7 },
            Domain::Categorical(vec![Value::Flag(true), Value::Integer(3), Value::Text("x".into())]),
        ];
        for domain in domains {
            let value = domain.decode(unit);
            let place = domain.encode(&value).unwrap();
            let (again, near) = (domain.decode(place), |a: &Value, b: &Value| match (a.number(), b.number()) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
                _ => a == b,
            });
            prop_assert!(near(&again, &value), "{domain:?}: {value} {again}");
            if let Some((from, to)) = domain.cell(unit).filter(|_| domain.cells() != Some(1)) {
                prop_assert!(from - 1e-9 <= unit && unit <= to + 1e-9 && from <= place && place <= to);
            }
        }
    }

    /// Whatever a constraint's text, reading it ends in a constraint or an error.
    #[test]
    fn any_text_is_read(text in ".{0,24}") {
        let _ = text.parse::<Constraint>();
    }
}

proptest! {
    /// No limit lies beside the longest lengths: near places have near rates, so that what depends on the
    /// rate is smooth over the whole range.
    #[test]
    fn lengths_are_searched_by_their_rate(low in 0.01_f64..5.0, times in 2.0_f64..1e4, a in 0.0_f64..1.0,
        step in 0.0_f64..0.01) {
        let domain = Domain::Rate { low, high: low * times, whole: false };
        let rate = |unit: f64| match domain.decode(unit) {
            Value::Float(0.0) => 0.0,
            Value::Float(length) => 1.0 / length,
            other => panic!("{other:?}"),
        };
        let b = (a + step).min(1.0);
        // The steepest part is at 1, where a place's share of the logarithm is the rate's.
        let steepest = times.ln() * times / (times - 1.0) / low;
        prop_assert!((rate(b) - rate(a)).abs() <= 1.01 * steepest * (b - a) + 1.0 / (1000.0 * low * times));
        prop_assert!(rate(b) >= rate(a) && rate(0.0) == 0.0);
        let value = domain.decode(a);
        let place = domain.encode(&value).unwrap();
        prop_assert!(value == Value::Float(0.0) || (place - a).abs() < 1e-6, "{} {}", place, a);
    }
}

#[test]
fn a_rate_by_hand() {
    let domain = Domain::Rate { low: 1.0, high: 100.0, whole: true };
    assert_eq!(domain.decode(0.0), Value::Integer(0));
    assert_eq!(domain.decode(1.0), Value::Integer(1));
    // 100^0.5 = 10: (10 - 1) / 99 of the highest rate.
    assert_eq!(domain.decode(0.5), Value::Integer(11));
    assert_eq!(domain.encode(&Value::Integer(0)), Some(0.0));
    assert_eq!(domain.encode(&Value::Float(3.0)), None);
    assert!(domain.check().is_ok() && Domain::Rate { low: 0.0, high: 1.0, whole: false }.check().is_err());
    let narrow = domain.narrowed("2..50").unwrap();
    assert_eq!(narrow, Domain::Rate { low: 2.0, high: 50.0, whole: true });
}
