//! From gradients by rows to gradients by items.

use super::lanes::Group;
use super::parameters::Sizes;
use rayon::prelude::*;

/// Gradients summed over the rows of each item that has some in a step, always in the same order.
pub(super) struct Touched {
    pub items: Vec<u32>,
    /// Place of each item in `items`, or `u32::MAX`.
    places: Vec<u32>,
    /// By `(c, q)`, by what it adds to the bag, by its drawn bias' deviation, by its noise, by its level in
    /// each part of the time, by its kind.
    pub sums: Vec<f32>,
    pub width: usize,
}

impl Touched {
    pub fn new(groups: &[Group], sizes: Sizes) -> Self {
        let k = sizes.shape.item();
        let kinds = sizes.shape.kinds;
        let width = 2 * k + 2 + sizes.bins.n + kinds;
        let entries = || {
            groups.iter().enumerate().flat_map(|(at, group)| {
                let pieces = group.pieces.iter();
                pieces.flat_map(move |piece| (0..piece.len).map(move |n| (at, piece.entry(n))))
            })
        };
        let mut ends = vec![0_u32; sizes.items];
        entries().for_each(|(group, entry)| ends[groups[group].items[entry] as usize] += 1);
        let items: Vec<u32> = (0..sizes.items as u32).filter(|item| ends[*item as usize] > 0).collect();
        let mut places = vec![u32::MAX; sizes.items];
        items.iter().enumerate().for_each(|(place, item)| places[*item as usize] = place as u32);
        let mut end = 0;
        let mut starts = Vec::with_capacity(items.len() + 1);
        for item in &items {
            starts.push(end as usize);
            let n = std::mem::replace(&mut ends[*item as usize], end);
            end += n;
        }
        starts.push(end as usize);
        let mut sorted = vec![(0_u32, 0_u32); end as usize];
        for (group, entry) in entries() {
            let next = &mut ends[groups[group].items[entry] as usize];
            sorted[*next as usize] = (group as u32, entry as u32);
            *next += 1;
        }
        let mut sums = vec![0.0_f32; items.len() * width];
        sums.par_chunks_mut(width).enumerate().with_min_len(32).for_each(|(place, sums)| {
            for (group, entry) in &sorted[starts[place]..starts[place + 1]] {
                let (group, entry) = (&groups[*group as usize], *entry as usize);
                let (vector, rest) = sums.split_at_mut(k);
                let (add, rest) = rest.split_at_mut(k);
                let from = &group.vectors[entry * k..(entry + 1) * k];
                vector.iter_mut().zip(from).for_each(|(sum, from)| *sum += from);
                let bag = &group.bags[entry * k..(entry + 1) * k];
                add.iter_mut().zip(bag).for_each(|(sum, from)| *sum += from);
                rest[0] += from[0] * group.draws[entry];
                rest[1] += group.noise_gradient[entry];
                let from = &group.kinds[entry * kinds..(entry + 1) * kinds];
                rest[2 + sizes.bins.n..].iter_mut().zip(from).for_each(|(sum, from)| *sum += from);
                let from = group.vectors[entry * k];
                if sizes.bins.n > 0 {
                    rest[2 + usize::from(group.bins[entry])] += from;
                }
            }
        });
        Self { items, places, sums, width }
    }

    /// The sums of an item; `None` where it has no rows.
    pub fn of(&self, item: usize) -> Option<&[f32]> {
        let place = self.places[item] as usize;
        (place < self.items.len()).then(|| &self.sums[place * self.width..(place + 1) * self.width])
    }
}
