//! Our ranking metrics beside those of ranx (`PyPI`) on the same random lists, which
//! `benches/rivals/metrics_ranx.py` wrote.

use foretaste_metrics::lists::{Judged, Metric};
use std::collections::HashMap;

#[derive(serde::Deserialize)]
struct Case {
    list: Vec<u32>,
    relevant: Vec<u32>,
    figures: HashMap<String, f64>,
}

#[test]
fn metrics_equal_those_of_ranx() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("ranx.json")).unwrap();
    assert!(cases.len() >= 50);
    for case in &cases {
        let judged = Judged::new(&case.list, &case.relevant);
        for (name, expected) in &case.figures {
            let (metric, k) = name.split_once('@').unwrap();
            let k: usize = k.parse().unwrap();
            let (metric, factor) = match metric {
                "precision" => (Metric::Precision(k), 1.0),
                "recall" => (Metric::Recall(k), 1.0),
                "hit_rate" => (Metric::HitRate(k), 1.0),
                "ndcg" => (Metric::Ndcg(k), 1.0),
                "mrr" => (Metric::Mrr(k), 1.0),
                // ranx divides by the number of relevant items, we by at most k of them.
                "map" => (Metric::Map(k), k.min(judged.relevant) as f64 / judged.relevant as f64),
                other => panic!("{other}"),
            };
            let found = metric.of(&judged) * factor;
            assert!((found - expected).abs() < 1e-9, "{name}: {found}, ranx {expected}; {judged:?}");
        }
    }
}
