use super::*;
use foretaste_data::Vocabulary;
use proptest::prelude::*;

/// Attributes from a small table of text.
fn attributes(columns: &[&str], rows: &[&[&str]]) -> Attributes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.csv");
    let text = std::iter::once(columns.join(","))
        .chain(rows.iter().map(|row| row.join(",")))
        .collect::<Vec<_>>()
        .join("\n");
    std::fs::write(&path, text + "\n").unwrap();
    let ids: Vocabulary = rows.iter().map(|row| row[0]).collect();
    Attributes::from_table(&foretaste_data::catalogue::read(&path).unwrap(), &ids).unwrap()
}

fn allowed(filter: &str, user: u32, events: &[(u32, &str)]) -> Vec<u32> {
    let items = attributes(
        &["id", "genres", "year"],
        &[
            &["a", "Horror|War", "1990"],
            &["b", "Comedy", "2000"],
            &["c", "War", "2000"],
            &["d", "Drama", "1990"],
            &["e", "Comedy", "1990"],
            &["f", "Drama", "2000"],
            &["g", "War", "1990"],
            &["h", "Horror", "2000"],
        ],
    );
    let users = attributes(
        &["id", "age", "taste"],
        &[&["u", "18", "War"], &["v", "40", "Drama"], &["w", "40", "War"], &["x", "18", "Drama"]],
    );
    let parameters = HashMap::from([("genre".to_owned(), vec!["Drama".to_owned(), "War".to_owned()])]);
    let facts = Facts { items: Some(&items), users: Some(&users), events: &["watch", "click"] };
    let ready = filter.parse::<Filter>().unwrap().with(facts, &parameters).unwrap();
    let mask = ready.items(8, &Asked { user: Some(user), item: Some(1), events });
    (0..8).filter(|item| mask[*item as usize]).collect()
}

#[test]
fn filters_by_hand() {
    let cases: [(&str, &[u32]); 15] = [
        (r#"EXCLUDE ItemID WHERE Items.genres IN ("Horror", "War")"#, &[1, 3, 4, 5]),
        (r#"include itemid where items.GENRES in ("Comedy") and Items.Year >= 2000"#, &[1]),
        (
            r#"INCLUDE ItemID WHERE Items.genres IN ("Comedy") OR Items.genres IN ("War") AND Items.year<2000"#,
            &[0, 1, 4, 6],
        ),
        (r"INCLUDE ItemID WHERE Items.genres IN ($genre)", &[0, 2, 3, 5, 6]),
        (r#"INCLUDE ItemID WHERE Items.genres NOT IN ("War") AND Items.year = 1990"#, &[3, 4]),
        (r"EXCLUDE ItemID WHERE Items.year != 1990", &[0, 3, 4, 6]),
        (r#"EXCLUDE ItemID WHERE Interactions.event_type IN ("watch")"#, &[0, 1, 2, 4, 5, 6, 7]),
        (r#"EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")"#, &[0, 1, 2, 4, 5, 6]),
        (r#"EXCLUDE ItemID WHERE Items.genres IN ("Horror") IF CurrentUser.age < 20"#, &[1, 2, 3, 4, 5, 6]),
        (r#"EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("WATCH")"#, &[0, 1, 2, 4, 5, 6, 7]),
        (
            r#"INCLUDE ItemID WHERE Items.year = 2000 | EXCLUDE ItemID WHERE Items.genres IN ("War", "Drama")"#,
            &[1, 7],
        ),
        (r"INCLUDE ItemID WHERE Items.genres IN (CurrentUser.taste)", &[0, 2, 6]),
        (r"INCLUDE ItemID WHERE Items.genres IN (CurrentItem.genres)", &[1, 4]),
        (r"INCLUDE ItemID WHERE Items.year < CurrentItem.year", &[0, 3, 4, 6]),
        (r"EXCLUDE ItemID WHERE Items.year != 2000 IF CurrentItem.year = 2000", &[1, 2, 5, 7]),
    ];
    for (filter, expected) in cases {
        assert_eq!(allowed(filter, 0, &[(3, "watch"), (7, "click")]), expected, "{filter}");
    }
    assert_eq!(allowed(cases[8].0, 1, &[]).len(), 8, "the condition does not hold for this user");
    assert_eq!(allowed(cases[11].0, 1, &[]), [3, 5], "the second user likes dramas");
}

#[test]
fn unknown_values_are_told() {
    let items = attributes(&["id", "genres"], &[&["a", "x"], &["b", "y"], &["c", "x"], &["d", "y"]]);
    let facts = Facts { items: Some(&items), users: None, events: &["view"] };
    let told = |filter: &str| {
        let filter: Filter = filter.parse().unwrap();
        filter.with(facts, &HashMap::new()).unwrap().unknown().to_vec()
    };
    assert_eq!(
        told(r#"EXCLUDE ItemID WHERE Items.genres IN ("x", "z")"#),
        ["no Items.genres is \"z\"; known are x, y"]
    );
    assert_eq!(
        told(r#"EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View", "buy")"#),
        ["no Interactions.EVENT_TYPE is \"buy\"; known are view"]
    );
    assert!(told("EXCLUDE ItemID WHERE Items.genres < 3").is_empty());
    let parameters: Filter = "EXCLUDE ItemID WHERE Items.a IN ($B, $c, $B)".parse().unwrap();
    assert_eq!(parameters.parameters(), ["B", "c"]);
}

#[test]
fn errors_say_where() {
    let cases = [
        ("SHOW ItemID", 1, "INCLUDE or EXCLUDE"),
        ("EXCLUDE Item WHERE", 9, "ItemID is expected"),
        (
            "EXCLUDE ItemID WHERE Films.genre IN (\"a\")",
            22,
            "Items., Interactions., CurrentUser. or CurrentItem.",
        ),
        ("EXCLUDE ItemID WHERE Items.genre LIKE \"a\"", 34, "IN, NOT IN or a comparison"),
        ("EXCLUDE ItemID WHERE Items.genre IN (\"a\"", 41, ") is expected"),
        ("EXCLUDE ItemID WHERE Items.genre IN (\"a", 38, "has no end"),
        ("EXCLUDE ItemID WHERE Items.genre IN ($)", 39, "name of a parameter"),
        ("EXCLUDE ItemID WHERE Items.year < 3 IF Items.year < 3", 40, "CurrentUser or CurrentItem alone"),
        ("EXCLUDE ItemID WHERE Items.year < 3 ;", 37, "nothing may follow here but IF"),
    ];
    for (filter, at, reason) in cases {
        let error = filter.parse::<Filter>().unwrap_err().to_string();
        assert!(error.contains(&format!("column {at}:")) && error.contains(reason), "{filter}: {error}");
    }
    let items = attributes(&["id", "genres"], &[&["a", "x"], &["b", "y"], &["c", "x"], &["d", "y"]]);
    let lookup = |filter: &str| {
        filter
            .parse::<Filter>()
            .unwrap()
            .with(Facts { items: Some(&items), ..Facts::default() }, &HashMap::new())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(lookup("EXCLUDE ItemID WHERE Items.year < 3").contains("no field year; known are genres"));
    assert!(
        lookup("EXCLUDE ItemID WHERE Items.genres IN ($g)")
            .contains("no value was given for the parameter $g")
    );
    assert!(lookup("EXCLUDE ItemID WHERE CurrentUser.age < 3").contains("nothing is known of users"));
}

fn clause() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "\"[ -~&&[^\"\\\\]]{0,8}\"",
        (-1e6_f64..1e6).prop_map(|n| n.to_string()),
        "\\$[a-z]{1,5}"
    ];
    let list = proptest::collection::vec(value.clone(), 1..4).prop_map(|values| values.join(", "));
    let test = prop_oneof![
        (prop_oneof![Just("IN"), Just("NOT IN")], list).prop_map(|(word, list)| format!("{word} ({list})")),
        (prop_oneof![Just("="), Just("!="), Just("<"), Just(">="), Just(">"), Just("<=")], value)
            .prop_map(|(sign, value)| format!("{sign} {value}")),
    ];
    (prop_oneof![Just("Items"), Just("Interactions"), Just("CurrentUser")], "[A-Za-z_]{1,8}", test)
        .prop_map(|(table, field, test)| format!("{table}.{field} {test}"))
}

fn written() -> impl Strategy<Value = String> {
    let joined = proptest::collection::vec((clause(), prop_oneof![Just(" AND "), Just(" OR ")]), 1..5);
    joined.prop_map(|parts| {
        let mut text = "EXCLUDE ItemID WHERE ".to_owned();
        for (at, (clause, word)) in parts.iter().enumerate() {
            if at > 0 {
                text.push_str(word);
            }
            text.push_str(clause);
        }
        text
    })
}

proptest! {
    /// A valid filter parses, prints and parses again to the same.
    #[test]
    fn shown_filters_are_read_again(text in written()) {
        let filter: Filter = text.parse().unwrap();
        let again: Filter = filter.to_string().parse().unwrap();
        prop_assert_eq!(filter.to_string(), again.to_string());
    }

    /// Parsing any text gives a filter, or an error at a position within it.
    #[test]
    fn nothing_breaks_the_parser(text in "\\PC{0,60}", good in written(), cut in 0_usize..200,
        noise in "[ -~]{0,3}") {
        let mut broken = good.clone();
        let at = cut.min(broken.len());
        broken.replace_range(at..(at + 2).min(broken.len()), &noise);
        for text in [text, broken] {
            if let Err(error) = text.parse::<Filter>() {
                prop_assert!(error.position <= text.len());
                prop_assert!(error.to_string().contains("column"));
            }
        }
    }
}
