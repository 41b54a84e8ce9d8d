use super::*;
use proptest::prelude::*;

proptest! {
    /// Whatever stands in them, columns give back what was put in, in one piece or in parts.
    #[test]
    fn columns_read_as_vectors(
        times in prop_oneof![proptest::collection::vec(0_i64..5_000_000_000, 0..40),
            proptest::collection::vec(-5_i64..5, 0..40), proptest::collection::vec(0_i64..9, 0..40)],
        levels in prop_oneof![Just(5_u32), Just(600)],
        seed in 0_u32..1000, at in 0.0_f64..1.0,
    ) {
        let rows = if levels > 64 { 600 } else { times.len() };
        let values: Vec<f32> = (0..rows as u32).map(|row| ((row * 7 + seed) % levels) as f32 / 2.0).collect();
        let (cut_time, cut) = ((times.len() as f64 * at) as usize, (rows as f64 * at) as usize);
        let (column, scores) = (Timestamps::from(times.clone()), Values::from(values.clone()));
        prop_assert_eq!(column.all().to_vec(), times.clone());
        prop_assert_eq!(scores.all().to_vec(), values.clone());
        prop_assert_eq!(column.iter().rev().collect::<Vec<_>>(), times.iter().rev()
            .copied().collect::<Vec<_>>());
        prop_assert!(scores.iter().rev().eq(values.iter().rev()));
        prop_assert!((0..rows).all(|row| scores[row] == values[row] && scores.all()[row] == values[row]));
        prop_assert!((0..times.len()).all(|row| column.at(row) == times[row]));

        let mut joined = Timestamps::from(times[..cut_time].to_vec());
        joined.extend(column.slice(cut_time..times.len()));
        prop_assert_eq!(&joined, &column);
        joined.cut(cut_time);
        prop_assert_eq!(joined.all().to_vec(), column.slice(cut_time..times.len()).to_vec());
        let mut joined = Values::from(values[..cut].to_vec());
        joined.extend(scores.slice(cut..rows));
        prop_assert_eq!(&joined, &scores);
        joined.cut(cut);
        prop_assert_eq!(joined.all().to_vec(), values[cut..].to_vec());

        let order: Vec<u32> = (0..times.len() as u32).rev().collect();
        prop_assert!(column.gathered(&order).iter().eq(times.iter().rev().copied()));
        let order: Vec<u32> = (0..rows as u32).rev().collect();
        prop_assert!(scores.gathered(&order).iter().eq(values.iter().rev()));
    }
}

#[test]
fn small_where_it_can_be() {
    let seconds: Timestamps = (0..10).chain([i64::from(u32::MAX)]).collect();
    assert!(matches!(seconds.0, Rows::Narrow(_)));
    assert!(matches!(Timestamps::from(vec![1, i64::from(u32::MAX) + 1]).0, Rows::Wide(_)));
    let stars: Values = (0..1000).map(|row| (row % 64) as f32).collect();
    assert!(matches!(stars.rows, Rows::Narrow(_)) && stars.levels.len() == 64);
    // Not a number is a value like others; so is a zero of either sign.
    let odd = Values::from(vec![f32::NAN, 0.0, -0.0, 1.0]);
    assert!(odd[0].is_nan() && odd[1].is_sign_positive() && odd[2].is_sign_negative());
    // Each has few levels, together they have too many.
    let (mut joined, more) =
        (stars.clone(), (0..1000).map(|row| 0.5 + (row % 60) as f32).collect::<Values>());
    joined.extend(more.all());
    assert!(matches!(joined.rows, Rows::Wide(_)) && joined.iter().eq(stars.iter().chain(more.iter())));
    let mut changed = stars.clone();
    changed.change(|row, value| value + row as f32 / 1000.0);
    assert!(matches!(changed.rows, Rows::Wide(_)) && changed[999] == stars[999] + 0.999);
}
