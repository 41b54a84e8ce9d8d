//! The plans: sessions of every idle gap, splits, vocabularies.

use crate::Result;
use crate::arrive::ARRIVED;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::{DataFrame, SessionContext};
use foretaste_data::{IdleGaps, Vocabulary};
use std::fmt::Write;

/// How many rows [`sessions`] has: asked of the engine by a plan of its own, so that a result that lost rows
/// on its way, or has them twice, is found out.
///
/// # Errors
/// [`crate::ClusterError::Engine`] for a plan that fails.
pub async fn rows(context: &SessionContext) -> Result<u64> {
    let counted = context.sql(&format!("WITH {} SELECT count(*) FROM kept", kept())).await?.collect().await?;
    Ok(counted[0].column(0).as_primitive::<Int64Type>().value(0) as u64)
}

/// Which rows test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cut {
    /// Each user's last rows, of users with more than those.
    LeaveLast(usize),
    /// The newest share of all rows; a second is never divided.
    Newest(f64),
}

/// Users in the house order: whole numbers by value, before all other names.
const HOUSE_ORDER: &str = "NOT (name ~ '^(0|[1-9][0-9]*)$'), CASE WHEN name ~ '^(0|[1-9][0-9]*)$' THEN \
    octet_length(name) ELSE 0 END, name";

fn house_order(column: &str) -> String {
    HOUSE_ORDER.replace("name", column)
}

/// The log without rows whose user, item and time a later row has.
fn kept() -> String {
    format!(
        "paired AS (SELECT *, lead(item_id) OVER same AS next_item, lead(\"timestamp\") OVER same AS \
         next_time FROM {ARRIVED} \
         WINDOW same AS (PARTITION BY user_id ORDER BY \"timestamp\", item_id, file, place)), \
         kept AS (SELECT * FROM paired WHERE NOT coalesce(next_item = item_id AND next_time \
         = \"timestamp\", false))"
    )
}

/// The sessions of `gaps`, in the columns of the public schema and in its order; `further` columns beside
/// them.
fn sessions_of(gaps: &IdleGaps, further: &str, condition: &str) -> String {
    const OF_USER: &str = "(PARTITION BY user_id ORDER BY \"timestamp\", file, place ROWS BETWEEN UNBOUNDED \
        PRECEDING AND CURRENT ROW)";
    let (mut marks, mut numbers) = (String::new(), String::new());
    for (level, gap) in gaps.seconds().iter().enumerate() {
        let _ = write!(marks, ", coalesce(idle > {gap}, true) AS new_session_{level}");
        let number = format!("sum(CAST(new_session_{level} AS BIGINT)) OVER {OF_USER} - 1");
        let _ = write!(numbers, ", CAST({number} AS INT) AS session_{level}, new_session_{level}");
    }
    format!(
        "WITH {kept}, \
         idle AS (SELECT *, \"timestamp\" - lag(\"timestamp\") OVER {OF_USER} AS idle FROM kept), \
         marked AS (SELECT *{marks} FROM idle), \
         numbered AS (SELECT user_id, \
         item_id, \"timestamp\", event_type, event_value{numbers}, file, place{further} FROM \
             marked) \
         SELECT * FROM numbered {condition} ORDER BY {order}, \"timestamp\", file, place",
        kept = kept(),
        order = house_order("user_id"),
    )
}

/// The columns of the public schema, in its order.
fn public(rows: DataFrame) -> Result<DataFrame> {
    let further: Vec<String> = rows
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .filter(|n| ["file", "place", "from_last", "of_all"].contains(&n.as_str()))
        .collect();
    let further: Vec<&str> = further.iter().map(String::as_str).collect();
    Ok(rows.drop_columns(&further)?)
}

/// The sessions of `gaps` over what arrived: the columns of the public schema, by user, time and arrival.
///
/// # Errors
/// [`crate::ClusterError::Engine`] for a plan that the engine refuses.
pub async fn sessions(context: &SessionContext, gaps: &IdleGaps) -> Result<DataFrame> {
    public(context.sql(&sessions_of(gaps, "", "")).await?)
}

/// As [`sessions`], the rows that train and those that test apart.
///
/// # Errors
/// [`crate::ClusterError::Engine`] for a plan that the engine refuses or that fails.
pub async fn split(context: &SessionContext, gaps: &IdleGaps, cut: Cut) -> Result<[DataFrame; 2]> {
    let (further, test) = match cut {
        Cut::LeaveLast(n) => {
            let newest_first = "PARTITION BY user_id ORDER BY \"timestamp\" DESC, file DESC, place DESC";
            let further = format!(
                ", row_number() OVER ({newest_first}) AS from_last, count(*) OVER \
                (PARTITION BY user_id) AS of_all"
            );
            (further, format!("from_last <= {n} AND of_all > {n}"))
        }
        Cut::Newest(share) => {
            // As the native split rounds.
            let at = (rows(context).await? as f64 * (1.0 - share)).round() as i64;
            let question = format!(
                "WITH {} SELECT \"timestamp\" FROM kept ORDER BY \"timestamp\" LIMIT 1 \
                OFFSET {at}",
                kept()
            );
            let found = context.sql(&question).await?.collect().await?;
            let from = found
                .iter()
                .find(|b| b.num_rows() > 0)
                .map_or(i64::MAX, |b| b.column(0).as_primitive::<Int64Type>().value(0));
            (String::new(), format!("\"timestamp\" >= {from}"))
        }
    };
    let part = |condition: String| sessions_of(gaps, &further, &condition);
    let (train, test) = (part(format!("WHERE NOT ({test})")), part(format!("WHERE {test}")));
    Ok([public(context.sql(&train).await?)?, public(context.sql(&test).await?)?])
}

/// The names of users and of items, in the house order.
///
/// # Errors
/// [`crate::ClusterError::Engine`] for a plan that fails.
pub async fn vocabulary(context: &SessionContext) -> Result<[Vocabulary; 2]> {
    let mut found = [Vocabulary::default(), Vocabulary::default()];
    for (names, column) in found.iter_mut().zip(["user_id", "item_id"]) {
        let question = format!(
            "WITH names AS (SELECT DISTINCT {column} AS name FROM {ARRIVED}) SELECT name \
            FROM names ORDER BY {}",
            house_order("name")
        );
        let batches = context.sql(&question).await?.collect().await?;
        let columns: Vec<_> =
            batches.iter().map(|batch| batch.column(0).as_string::<i32>().clone()).collect();
        *names = columns.iter().flat_map(|column| column.iter().flatten()).collect();
    }
    Ok(found)
}
