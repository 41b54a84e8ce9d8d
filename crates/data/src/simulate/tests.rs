use super::*;
use crate::{ReadOptions, read};
use std::path::Path;

fn world(shape: Shape, without: &[&str], seed: u64) -> World {
    World::new(shape, Effects::without(without).unwrap(), seed)
}

fn written(world: &World, layout: Layout, folder: &Path) -> Statistics {
    write(world, layout, &folder.join("out"), |_| true).unwrap()
}

#[test]
fn what_is_published_is_consistent() {
    assert_eq!(published::NETFLIX.ratings(), 100_480_507);
    assert_eq!(published::MOVIELENS_20M.ratings(), 20_000_263);
    assert!(
        (published::NETFLIX.mean() - 3.6043).abs() < 1e-4
            && (published::MOVIELENS_20M.mean() - 3.5255).abs() < 1e-4
    );
}

/// Counts, stars and tails come near to the originals'.
#[test]
fn worlds_have_their_originals_shape() {
    for shape in [Shape::netflix(0.003).unwrap(), Shape::movielens_20m(0.01).unwrap()] {
        let published = shape.published.clone();
        let world = world(shape.clone(), &[], 0);
        let folder = tempfile::tempdir().unwrap();
        let statistics = written(&world, Layout::Parquet, folder.path());
        let (n, wanted) = (statistics.ratings() as f64, shape.ratings as f64);
        assert!((n / wanted - 1.0).abs() < 0.01, "{}: {n} of {wanted}", published.title);
        let table = statistics.table(&published);
        let figure = |row: &[String; 3], at: usize| row[at].trim_end_matches(" %").parse::<f64>().unwrap();
        for row in table.iter().filter(|row| row[0].ends_with("stars")) {
            assert!((figure(row, 1) - figure(row, 2)).abs() < 2.0, "{}: {row:?}", published.title);
        }
        let row = |name: &str| table.iter().find(|row| row[0] == name).unwrap();
        for name in ["ratings of a user, mean", "ratings of a user, median"] {
            let ratio = figure(row(name), 1) / figure(row(name), 2);
            // A small catalogue cuts the longest histories, and the others get their ratings.
            assert!((0.7..1.5).contains(&ratio), "{}: {:?}", published.title, row(name));
        }
        assert!((0.68..0.8).contains(&statistics.lowest_rmse()), "{}", statistics.lowest_rmse());
    }
}

/// Expectations are what the mean of many draws comes to, and no draw is needed to know them.
#[test]
fn expectations_are_means() {
    let world = world(Shape::netflix(0.001).unwrap(), &[], 3);
    let mut random = crate::rng(0, "draws");
    for x in [-1.0, 0.0, 0.4, 1.5] {
        let expected = world.rated(x, 0.0).1;
        let mean = (0..40_000).map(|_| f64::from(world.rated(x, people::normal(&mut random)).0)).sum::<f64>()
            / 40_000.0;
        assert!((mean - f64::from(expected)).abs() < 0.015, "{x}: {mean} {expected}");
    }
}

/// Reading the files gives back the events, in all layouts alike, with their expectations.
#[test]
fn files_hold_the_events() {
    for (shape, layouts) in [
        (Shape::netflix(0.001).unwrap(), [Layout::Netflix, Layout::Parquet]),
        (Shape::movielens_20m(0.001).unwrap(), [Layout::MovieLens, Layout::Parquet]),
    ] {
        let world = world(shape, &[], 1);
        let events: Vec<Vec<Event>> = world.events(0..world.shape.users);
        for layout in layouts {
            let folder = tempfile::tempdir().unwrap();
            let statistics = written(&world, layout, folder.path());
            let out = folder.path().join("out");
            let source = match layout {
                Layout::Netflix => out.join("training_set"),
                Layout::MovieLens => out.join("ratings.csv"),
                Layout::Parquet => out.join("interactions.parquet"),
            };
            let (table, _) = read(&source, &ReadOptions::default()).unwrap();
            assert_eq!(table.len() as u64, statistics.ratings(), "{layout:?}");
            let expected = truth(&out.join(TRUTH), &table).unwrap();
            let offsets = table.user_offsets();
            for user in [0, 7, world.shape.users - 1] {
                let index = table.user_ids.index(&world.user_id(user).to_string()).unwrap() as usize;
                let rows = offsets[index]..offsets[index + 1];
                let mut found: Vec<(String, i64, f32, f32)> = rows
                    .map(|row| {
                        (
                            table.item_ids.name(table.items[row]).to_owned(),
                            table.timestamps.at(row),
                            table.values[row],
                            expected[row],
                        )
                    })
                    .collect();
                let mut own: Vec<_> = events[user]
                    .iter()
                    .map(|e| (world.item_id(e.item as usize).to_string(), e.timestamp, e.value, e.expected))
                    .collect();
                found.sort_by(|a, b| a.0.cmp(&b.0));
                own.sort_by(|a, b| a.0.cmp(&b.0));
                assert_eq!(found, own, "{layout:?} user {user}");
            }
            assert!(expected.iter().all(|e| e.is_finite()));
        }
    }
}

/// A world is a function of shape, effects and seed; without an effect the rest stays.
#[test]
fn worlds_are_functions_of_their_seed() {
    let of = |without: &[&str], seed| world(Shape::netflix(0.001).unwrap(), without, seed).events(0..40);
    assert_eq!(of(&[], 5), of(&[], 5));
    assert_ne!(of(&[], 5), of(&[], 6));
    let items =
        |events: Vec<Vec<Event>>| events.concat().iter().map(|e| (e.item, e.timestamp)).collect::<Vec<_>>();
    assert_eq!(items(of(&["sessions"], 5)), items(of(&[], 5)), "moods move no choice of items");
    assert_ne!(of(&["sessions"], 5), of(&[], 5));
    for events in of(&[], 5) {
        assert!(events.windows(2).all(|pair| pair[0].timestamp <= pair[1].timestamp));
        let mut items: Vec<u32> = events.iter().map(|e| e.item).collect();
        items.sort_unstable();
        items.dedup();
        assert_eq!(items.len(), events.len(), "nobody rates an item twice");
    }
    assert!(Effects::without(&["mood"]).unwrap_err().to_string().contains("known are drift"));
    assert!(Shape::netflix(0.0).is_err());
}

#[test]
fn what_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(Shape::netflix(0.005).unwrap(), &[], 0);
    let out = folder.path().join("out");
    assert!(write(&world, Layout::Netflix, &out, |user| user == 0).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    std::fs::create_dir(&out).unwrap();
    assert!(
        write(&world, Layout::Netflix, &out, |_| true).unwrap_err().to_string().contains("is there already")
    );
}
