//! Files to rows: the interaction columns by name, checked, with their order of arrival.

use crate::{ClusterError, Result};
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit as ArrowUnit};
use datafusion::common::Column;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::prelude::{CsvReadOptions, DataFrame, Expr, ParquetReadOptions, SessionContext, cast, lit};
use foretaste_data::{ColumnMapping, DataError, TimeUnit};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

/// What is read, and how.
#[derive(Debug, Clone)]
pub struct Input {
    /// A Parquet or CSV file, or a folder of them: a path, or the address of a store.
    pub address: String,
    /// Names of the columns.
    pub columns: ColumnMapping,
    /// Unit of time stamps that are plain numbers.
    pub unit: TimeUnit,
}

/// Name of the view that [`Input::arrive`] leaves in a context.
pub(crate) const ARRIVED: &str = "arrived";

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Rows, duplicates included.
    pub rows: u64,
    /// Files.
    pub files: usize,
}

impl Input {
    /// Lists the files, maps their columns, and checks every row; what follows reads the view `arrived`:
    /// `user_id`, `item_id`, `timestamp`, `event_type`, `event_value`, and `file` and `place`, by which rows
    /// are ordered as they came.
    ///
    /// # Errors
    /// [`ClusterError::Data`] for a column that is missing or of another kind, and for rows that break a
    /// rule, by their number.
    pub async fn arrive(&self, context: &SessionContext) -> Result<Arrived> {
        let files = self.files(context).await?;
        let mut all: Option<DataFrame> = None;
        for (number, name) in files.iter().enumerate() {
            let rows = self.file(context, name, number).await?;
            all = Some(match all {
                Some(before) => before.union(rows)?,
                None => rows,
            });
        }
        let all = all.ok_or_else(|| {
            DataError::file(
                &self.address,
                "holds no .parquet and no .csv file",
                "name the file or its folder",
            )
        })?;
        context.register_table(ARRIVED, all.into_view())?;
        let rows = self.check(context).await?;
        Ok(Arrived { rows, files: files.len() })
    }

    /// Addresses of the files, by name.
    async fn files(&self, context: &SessionContext) -> Result<Vec<String>> {
        let url = ListingTableUrl::parse(&self.address)?;
        let root = url.object_store();
        let store = context.runtime_env().object_store(&root)?;
        let found: Vec<_> = match store.head(url.prefix()).await {
            Ok(file) => vec![file],
            Err(_) => store.list(Some(url.prefix())).try_collect().await.map_err(|e| {
                DataError::file(
                    &self.address,
                    format!("cannot be listed ({e})"),
                    "check the address, and \
                    the store's settings in the environment",
                )
            })?,
        };
        let mut names: Vec<String> = found.into_iter().map(|file| file.location.to_string()).collect();
        if names.iter().any(|name| name.contains("/_temporary/")) {
            return Err(DataError::file(
                &self.address,
                "holds _temporary: the job that writes it has not ended, or \
                    failed",
                "wait for it, or run it again",
            )
            .into());
        }
        names.retain(|name| {
            (name.ends_with(".parquet") || name.ends_with(".csv"))
                && !name.rsplit('/').next().unwrap_or(name).starts_with(['.', '_'])
        });
        names.sort();
        Ok(names.into_iter().map(|name| format!("{}{name}", root.as_str())).collect())
    }

    /// The rows of one file, numbered as they stand there.
    async fn file(&self, context: &SessionContext, name: &str, number: usize) -> Result<DataFrame> {
        let csv = name.ends_with(".csv");
        let mut rows = if csv {
            context.read_csv(name, CsvReadOptions::new()).await?
        } else {
            context.read_parquet(name, ParquetReadOptions::default()).await?
        };
        let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        let at = self.columns.find(name, &names)?;
        if csv {
            // The engine infers kinds from the first rows: right for moments; an id is text, whatever it
            // looks like.
            let inferred = rows.schema().field(at.timestamp).data_type().clone();
            let kind = |column: usize| if column == at.timestamp { inferred.clone() } else { DataType::Utf8 };
            let fields: Vec<Field> =
                names.iter().enumerate().map(|(column, name)| Field::new(name, kind(column), true)).collect();
            rows = context.read_csv(name, CsvReadOptions::new().schema(&Schema::new(fields))).await?;
        }
        let column = |at: usize| Expr::Column(Column::from_name(&names[at]));
        let text = |at: usize| cast(column(at), DataType::Utf8);
        let id = |at: usize| datafusion::functions::expr_fn::btrim(vec![text(at)]);
        let kind = rows.schema().field(at.timestamp).data_type().clone();
        let per_second = self.unit.per_second();
        let time = match kind {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => cast(
                cast(column(at.timestamp), DataType::Timestamp(ArrowUnit::Second, None)),
                DataType::Int64,
            ),
            _ if per_second > 1 => cast(column(at.timestamp), DataType::Int64) / lit(per_second),
            _ => cast(column(at.timestamp), DataType::Int64),
        };
        let event = at
            .event_type
            .map_or_else(|| cast(lit(datafusion::scalar::ScalarValue::Null), DataType::Utf8), text);
        let value = at.value.map_or_else(
            || cast(lit(datafusion::scalar::ScalarValue::Null), DataType::Float32),
            |at| cast(column(at), DataType::Float32),
        );
        let rows = rows.select(vec![
            id(at.user).alias("user_id"),
            id(at.item).alias("item_id"),
            time.alias("timestamp"),
            event.alias("event_type"),
            value.alias("event_value"),
            lit(number as i64).alias("file"),
        ])?;
        Ok(rows.window(vec![row_number().alias("place")])?)
    }

    /// Refuses what the native reader refuses; answers the number of rows.
    async fn check(&self, context: &SessionContext) -> Result<u64> {
        let tomorrow = foretaste_data::ReadOptions::default().time_limit();
        let question = format!(
            "SELECT count(*), count(*) FILTER (WHERE user_id IS NULL OR item_id IS NULL OR user_id = '' OR \
             item_id = ''), \
             count(*) FILTER \
             (WHERE \"timestamp\" IS NULL), count(*) FILTER (WHERE \"timestamp\" < 0), count(*) FILTER \
                 (WHERE \"timestamp\" >= {tomorrow}), \
             count(*) FILTER (WHERE event_value IN ('Infinity', '-Infinity')) FROM {ARRIVED}"
        );
        let answer = context.sql(&question).await?.collect().await?;
        let counts: Vec<i64> =
            answer[0].columns().iter().map(|column| column.as_primitive::<Int64Type>().value(0)).collect();
        let broken = [
            "an empty user or item id",
            "no time stamp",
            "a time stamp before 1970",
            "a time stamp after tomorrow",
            "an infinite value",
        ];
        if let Some((count, rule)) = counts[1..].iter().zip(broken).find(|(count, _)| **count > 0) {
            let way = "read it with `foretaste import`, which names the rows, or leave them out";
            return Err(DataError::file(&self.address, format!("has {count} rows with {rule}"), way).into());
        }
        if counts[0] == 0 {
            return Err(ClusterError::Data(DataError::file(
                &self.address,
                "holds no interactions",
                "is this the right file?",
            )));
        }
        Ok(counts[0] as u64)
    }
}
