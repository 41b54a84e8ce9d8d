//! From histories to a design: the features of a rating's user, item and day.
//!
//! | block | features (groups) |
//! |---|---|
//! | user | the user; the bag of items they rated, each `1/sqrt(n)`; attributes |
//! | item | the item; the bag of users who rated it, each `1/sqrt(n)`; attributes |
//! | day | the day, as a category |
//!
//! The bags make SVD++ and "timeSVD++ flipped" of a factorization machine (Rendle, Zhang and Koren
//! 2019, section 4.2). `strict` bags hold training interactions; `transductive` bags, the
//! literature's, also those to be predicted (who rated what, never how).

use super::design::{Block, Design};
use super::{Bag, NAME, Settings};
use crate::engine::codes::Codes;
use crate::{FitContext, ModelError, Result};
use foretaste_data::{Attributes, Histories, Membership};

/// The position of each feature.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// Users with an index.
    pub users: usize,
    /// Items with an index.
    pub items: usize,
    /// Whether the user block has a bag of items.
    pub user_bag: bool,
    /// Days of training rows, ascending; empty without day features.
    pub days: Vec<i64>,
    /// Attribute codes of the users.
    pub user_codes: Codes,
    /// Items of the rows to be predicted, for a transductive user bag.
    pub membership: Membership,
}

/// The day (Unix days) of a time stamp.
fn day(timestamp: i64) -> i64 {
    timestamp.div_euclid(86_400)
}

/// Distinct ids, ascending, each with `1/sqrt(n)`.
fn bag(mut ids: Vec<u32>, first: usize) -> impl Iterator<Item = (u32, f32)> {
    ids.sort_unstable();
    ids.dedup();
    let weight = 1.0 / (ids.len().max(1) as f32).sqrt();
    ids.into_iter().map(move |id| (first as u32 + id, weight))
}

impl Layout {
    /// Features of the user block.
    pub fn user_features(&self) -> usize {
        self.users + if self.user_bag { self.items } else { 0 } + self.user_codes.n
    }

    /// A user's features besides their own id; `known` are the items they are known to have rated.
    pub fn user_part(&self, user: u32, known: &[u32]) -> Vec<(u32, f32)> {
        let mut part = Vec::new();
        let mut next = self.users;
        if self.user_bag {
            part.extend(bag(
                known
                    .iter()
                    .chain(self.membership.of(user))
                    .copied()
                    .filter(|i| (*i as usize) < self.items)
                    .collect(),
                next,
            ));
            next += self.items;
        }
        part.extend(self.user_codes.of(user as usize).iter().map(|code| (next as u32 + code, 1.0)));
        part
    }

    /// The part of the day block for a time stamp.
    pub fn day_part(&self, timestamp: i64) -> Option<usize> {
        self.days.binary_search(&day(timestamp)).ok()
    }
}

/// The regularization group of each feature: of the users' block, the items' and the days'.
fn groups(layout: &Layout, item_bag: bool, attributes: [&Option<Attributes>; 2]) -> [Vec<u32>; 3] {
    let mut next = 0;
    let mut group = |n: usize, target: &mut Vec<u32>| {
        target.extend(std::iter::repeat_n(next, n));
        next += 1;
    };
    let mut user_groups = Vec::new();
    group(layout.users, &mut user_groups);
    if layout.user_bag {
        group(layout.items, &mut user_groups);
    }
    let mut item_groups = Vec::new();
    group(layout.items, &mut item_groups);
    if item_bag {
        group(layout.users, &mut item_groups);
    }
    let mut day_groups = Vec::new();
    group(layout.days.len(), &mut day_groups);
    // One group per column of attributes.
    for (attributes, target) in attributes.into_iter().zip([&mut user_groups, &mut item_groups]) {
        let Some(attributes) = attributes else { continue };
        let columns: Vec<u32> = (0..attributes.n_codes() as u32).map(|c| attributes.column(c)).collect();
        target.extend(columns.iter().map(|column| next + column));
        next += columns.iter().max().map_or(0, |c| c + 1);
    }
    [user_groups, item_groups, day_groups]
}

/// Builds the design of the training rows and its layout.
pub(super) fn design(
    settings: &Settings,
    train: &Histories,
    context: &FitContext,
) -> Result<(Design, Layout)> {
    let missing = |what: &str| ModelError::Unserved { model: NAME, reason: what.to_owned() };
    let transductive = settings.user_bag == Bag::Transductive || settings.item_bag == Bag::Transductive;
    if transductive && context.membership.is_none() {
        return Err(missing(
            "transductive bags need the users and items to be predicted, and the caller gave none; use \
             strict bags",
        ));
    }
    let attributes = |wanted: bool, given: Option<&'_ Attributes>, of: &str| match given {
        Some(attributes) if wanted => Ok(Some(attributes.clone())),
        None if wanted => Err(missing(&format!(
            "{of}_attributes are set, and the data set has no table of {of}s; set {of}_attributes = \
             false"
        ))),
        _ => Ok(None),
    };
    let user_attributes = attributes(settings.user_attributes, context.user_attributes, "user")?;
    let item_attributes = attributes(settings.item_attributes, context.item_attributes, "item")?;
    let (users, items) = (train.n_users(), train.n_items());
    let asked = |bag: Bag| if bag == Bag::Transductive { context.membership } else { None };
    let mut days: Vec<i64> =
        if settings.day { train.timestamps().iter().map(day).collect() } else { Vec::new() };
    days.sort_unstable();
    days.dedup();
    let layout = Layout {
        users,
        items,
        user_bag: settings.user_bag != Bag::None,
        days,
        user_codes: Codes::new(user_attributes.as_ref(), users),
        membership: asked(settings.user_bag).cloned().unwrap_or_default(),
    };

    let item_bag = settings.item_bag != Bag::None;
    let [user_groups, item_groups, day_groups] =
        groups(&layout, item_bag, [&user_attributes, &item_attributes]);

    let mut user_block = Block::new(user_groups);
    for user in 0..users as u32 {
        user_block.push(std::iter::once((user, 1.0)).chain(layout.user_part(user, train.user(user).items)));
    }
    user_block.rows = train.row_users();

    let mut fans: Vec<Vec<u32>> = vec![Vec::new(); if item_bag { items } else { 0 }];
    if item_bag {
        for user in 0..users as u32 {
            let extra = asked(settings.item_bag).map_or(&[][..], |m| m.of(user));
            train
                .user(user)
                .items
                .iter()
                .chain(extra)
                .filter(|item| (**item as usize) < items)
                .for_each(|item| fans[*item as usize].push(user));
        }
    }
    let item_codes = Codes::new(item_attributes.as_ref(), items);
    let mut item_block = Block::new(item_groups);
    for item in 0..items {
        let mut part = vec![(item as u32, 1.0)];
        let mut next = items;
        if item_bag {
            part.extend(bag(std::mem::take(&mut fans[item]), next));
            next += users;
        }
        // Several values of one column share its weight.
        let codes = item_codes.of(item);
        part.extend(codes.iter().map(|code| (next as u32 + code, 1.0 / (codes.len() as f32).sqrt())));
        item_block.push(part);
    }
    item_block.rows = train.items().to_vec();

    let mut blocks = vec![user_block, item_block];
    if settings.day {
        let mut day_block = Block::new(day_groups);
        (0..layout.days.len() as u32).for_each(|day| day_block.push([(day, 1.0)]));
        day_block.rows = train.timestamps().iter().map(|t| layout.day_part(t).unwrap_or(0) as u32).collect();
        blocks.push(day_block);
    }
    Ok((Design::new(blocks)?, layout))
}
