use super::*;
use crate::interactions::RawColumns;
use proptest::prelude::*;

fn table(rows: &[(u32, u32, i64)]) -> Interactions {
    let mut raw = RawColumns::default();
    for (user, item, time) in rows {
        raw.users.push(raw.user_names.intern(user.to_string().as_bytes()));
        raw.items.push(raw.item_names.intern(item.to_string().as_bytes()));
        raw.timestamps.push(*time);
        raw.values.push(3.0);
    }
    Interactions::from_raw(raw).unwrap().0
}

fn rows() -> impl Strategy<Value = Vec<(u32, u32, i64)>> {
    proptest::collection::vec((0_u32..8, 0_u32..30, 0_i64..500), 20..120)
}

const RULES: [SplitRule; 7] = [
    SplitRule::HoldOut { test: 0.2 },
    SplitRule::KFold { folds: 4, fold: 2 },
    SplitRule::PerUserShare { train: 0.7 },
    SplitRule::LeaveLast { test: 1 },
    SplitRule::LastSession { gap: 40 },
    SplitRule::HeldUsers { users: 0.3, asked: 0.2 },
    SplitRule::Cut { test: 0.2 },
];

proptest! {
    /// Every row has one role, parts hold exactly their rows, equal seeds give equal roles, and
    /// roles never look at the values.
    #[test]
    fn parts_partition_the_rows(rows in rows(), seed in 0_u64..50) {
        let data = table(&rows);
        for rule in RULES {
            let validation = if matches!(rule, SplitRule::PerUserShare { .. }) { 0.0 } else { 0.1 };
            let Ok(split) = rule.split(&data, seed, validation) else { continue };
            let parts = split.parts(&data);
            prop_assert_eq!(parts.train.len(), split.count(Role::Train));
            prop_assert_eq!(parts.validation.len(), split.count(Role::Validation));
            prop_assert_eq!(parts.test.len(), split.count(Role::Test));
            prop_assert_eq!(parts.given.len(), split.count(Role::Given));
            let used = [&parts.train, &parts.validation, &parts.test, &parts.given].map(Histories::len);
            prop_assert_eq!(used.iter().sum::<usize>() + split.count(Role::Unused), data.len());
            let mut other = data.clone();
            other.values.change(|_, _| 1.0);
            prop_assert_eq!(&rule.split(&other, seed, validation).unwrap().roles, &split.roles);
        }
    }

    /// What `leaks_time` promises: with a cut no training row is later than a test row; with a
    /// per-user rule none of the same user is.
    #[test]
    fn no_rule_leaks_more_than_it_says(rows in rows(), seed in 0_u64..50) {
        let data = table(&rows);
        for rule in RULES {
            let Ok(split) = rule.split(&data, seed, 0.0) else { continue };
            let times = |role| (0..data.len()).filter(|r| split.roles[*r] == role).map(|r| (data.users[r],
                data.timestamps.at(r))).collect::<Vec<_>>();
            let (train, test) = (times(Role::Train), times(Role::Test));
            match rule.regime() {
                Regime::Future => {
                    prop_assert!(!rule.leaks_time());
                    prop_assert!(train.iter().map(|r| r.1).max() < test.iter().map(|r| r.1).min());
                }
                Regime::PerUser => for (user, time) in &test {
                    prop_assert!(train.iter().filter(|(u, _)| u == user).all(|(_, t)| t <= time));
                },
                Regime::Random => prop_assert!(rule.leaks_time()),
            }
        }
    }

    /// The folds of one seed divide the rows among them.
    #[test]
    fn folds_divide_the_rows(rows in rows(), seed in 0_u64..50, folds in 2_usize..6) {
        let data = table(&rows);
        let mut tested = vec![0; data.len()];
        for fold in 0..folds {
            let split = SplitRule::KFold { folds, fold }.split(&data, seed, 0.0).unwrap();
            for (count, role) in tested.iter_mut().zip(&split.roles) {
                *count += usize::from(*role == Role::Test);
            }
        }
        prop_assert!(tested.iter().all(|n| *n == 1));
    }
}

#[test]
fn deep_recommender_rule_by_hand() {
    // User 1: 10 rows, of which floor(7) train; user 2: one row, dropped; item 99 only ever in a
    // user's last part, dropped.
    let mut rows: Vec<(u32, u32, i64)> = (0..9).map(|i| (1, i, i64::from(i))).collect();
    rows.push((1, 99, 9));
    rows.push((2, 0, 5));
    rows.extend((0..10).map(|i| (3, (i + 5) % 10, i64::from(i))));
    let data = table(&rows);
    let held: Vec<Role> = (0..40)
        .map(|seed| SplitRule::PerUserShare { train: 0.7 }.split(&data, seed, 0.0))
        .filter_map(Result::ok)
        .map(|split| {
            assert_eq!(split.roles[..7], [Role::Train; 7]);
            assert_eq!(split.roles[7], split.roles[8], "a user's rest goes one way");
            assert_eq!(split.roles[9], Role::Unused, "item 99 has no training row");
            assert_eq!(split.roles[10], Role::Unused, "user 2 has one row");
            split.roles[7]
        })
        .collect();
    assert!(held.contains(&Role::Test) && held.contains(&Role::Validation), "a fair coin shows both sides");
}

#[test]
fn leave_last_by_hand() {
    let data = table(&[(1, 1, 1), (1, 2, 2), (1, 3, 3), (2, 1, 1)]);
    let split = SplitRule::LeaveLast { test: 1 }.split(&data, 0, 0.0).unwrap();
    assert_eq!(split.roles, [Role::Train, Role::Train, Role::Test, Role::Train]);
}

#[test]
fn last_session_by_hand() {
    // User 1: sessions of two, two and three rows; user 2: one session; user 3: its last session has one row.
    // Item 9 is only ever tested.
    let data = table(&[
        (1, 1, 0),
        (1, 2, 5),
        (1, 3, 100),
        (1, 4, 105),
        (1, 1, 200),
        (1, 9, 205),
        (1, 2, 206),
        (2, 3, 0),
        (2, 4, 1),
        (3, 1, 0),
        (3, 2, 1),
        (3, 3, 900),
    ]);
    let split =
        |validation: f64| SplitRule::LastSession { gap: 30 }.split(&data, 0, validation).unwrap().roles;
    let roles = split(0.0);
    assert_eq!(
        roles[..7],
        [Role::Train, Role::Train, Role::Train, Role::Train, Role::Given, Role::Unused, Role::Test]
    );
    assert_eq!(roles[7..], [Role::Train; 5]);
    let roles = split(0.999_999);
    assert_eq!(
        roles[..7],
        [Role::Train, Role::Train, Role::Train, Role::Validation, Role::Given, Role::Unused, Role::Test]
    );
    assert_eq!(roles[7..], [Role::Train; 5], "a user's only other session trains");
}

#[test]
fn held_users_by_hand() {
    let data =
        table(&(0..10).flat_map(|user| (0..10).map(move |i| (user, i, i64::from(i)))).collect::<Vec<_>>());
    let roles = SplitRule::HeldUsers { users: 0.2, asked: 0.1 }.split(&data, 4, 0.25).unwrap().roles;
    let kinds: Vec<(&Role, &Role)> = roles.chunks(10).map(|rows| (&rows[0], &rows[9])).collect();
    let count = |kind| kinds.iter().filter(|k| **k == kind).count();
    assert_eq!(count((&Role::Given, &Role::Test)), 2);
    assert_eq!(count((&Role::Train, &Role::Validation)), 2, "a quarter of eight users");
    assert_eq!(count((&Role::Train, &Role::Train)), 6);
    assert!(roles.chunks(10).all(|rows| rows[..9].iter().all(|role| *role == rows[0])));
}

#[test]
fn impossible_settings_are_refused() {
    let data = table(&[(1, 1, 1), (1, 2, 2)]);
    for rule in [
        SplitRule::HoldOut { test: 1.5 },
        SplitRule::KFold { folds: 3, fold: 3 },
        SplitRule::LeaveLast { test: 0 },
        SplitRule::LeaveLast { test: 9 },
    ] {
        assert!(rule.split(&data, 0, 0.0).is_err(), "{}", rule.name());
    }
    assert!(SplitRule::HoldOut { test: 0.5 }.split(&data, 0, 1.0).is_err());
}
