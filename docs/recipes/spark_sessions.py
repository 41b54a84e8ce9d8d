#!/usr/bin/env python3
"""Builds sessions on Apache Spark: the rows that `foretaste sessions` writes, as a folder of Parquet parts.

    pip install pyspark==4.3.0            # wants Java 17 or newer
    spark-submit spark_sessions.py ratings.csv sessions.parquet --gaps 60,86400,2592000
    foretaste reproduce sessions.parquet  # a folder of parts is read like a file

Reads Parquet or CSV with the columns user_id, item_id, timestamp (Unix seconds) and, where there is one, event_value (other
names: --user, --item, --time, --value), MovieLens' ratings.dat, and the folder of the Netflix Prize's mv_*.txt; from any
place that Spark reads. Rows are sorted by user (whole numbers by value, before other names), time and order of arrival;
of rows with equal user, item and time the last stays. Part files keep that order by name.
"""

import argparse

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as f

# Where a row came from: its file, the block of the file, its place there.
ARRIVAL = ["file", "block", "place"]


def arrived(rows):
    """The rows with their order of arrival."""
    return (
        rows.withColumn("file", f.col("_metadata.file_path"))
        .withColumn("block", f.col("_metadata.file_block_start"))
        .withColumn("place", f.monotonically_increasing_id())
    )


def read(spark, args):
    """user_id, item_id, timestamp, event_value and the order of arrival."""
    name = args.input.rstrip("/")
    if name.endswith(".parquet"):
        rows = arrived(spark.read.parquet(args.input))
    elif name.endswith((".csv", ".tsv")):
        rows = arrived(spark.read.csv(args.input, header=True, sep="\t" if name.endswith(".tsv") else ","))
    elif name.endswith("ratings.dat"):
        parts = f.split("value", "::")
        rows = arrived(spark.read.text(args.input))
        for at, column in enumerate([args.user, args.item, "event_value", args.time]):
            rows = rows.withColumn(column, parts[at])
    else:
        # "1:" on the first line, then user,rating,date: the movie is in the file's name.
        parts = f.split("value", ",")
        rows = arrived(spark.read.text(args.input, pathGlobFilter="mv_*.txt").where(~f.col("value").endswith(":") & (f.trim("value") != "")))
        movie = f.regexp_extract("file", r"mv_0*([0-9]+)\.txt$", 1)
        rows = rows.withColumn(args.user, parts[0]).withColumn(args.item, movie).withColumn("event_value", parts[1])
        rows = rows.withColumn(args.time, f.unix_timestamp(parts[2], "yyyy-MM-dd"))
    value = f.col(args.value if args.value in rows.columns else "event_value") if {args.value, "event_value"} & set(rows.columns) else f.lit(None)
    return rows.select(
        f.trim(f.col(args.user).cast("string")).alias("user_id"),
        f.trim(f.col(args.item).cast("string")).alias("item_id"),
        f.col(args.time).cast("long").alias("timestamp"),
        value.cast("float").alias("event_value"),
        *ARRIVAL,
    )


def sessions(rows, gaps):
    """Marks and numbers the sessions of every idle gap, shortest first."""
    last = Window.partitionBy("user_id", "item_id", "timestamp").orderBy(*[f.desc(c) for c in ARRIVAL])
    rows = rows.withColumn("nth", f.row_number().over(last)).where("nth = 1").drop("nth")
    of_user = Window.partitionBy("user_id").orderBy("timestamp", *ARRIVAL)
    idle = f.col("timestamp") - f.lag("timestamp").over(of_user)
    rows = rows.withColumn("idle", idle)
    for level, gap in enumerate(gaps):
        rows = rows.withColumn(f"new_session_{level}", f.coalesce(f.col("idle") > gap, f.lit(True)))
    for level in range(len(gaps)):
        begun = f.sum(f.col(f"new_session_{level}").cast("int")).over(of_user.rowsBetween(Window.unboundedPreceding, 0))
        rows = rows.withColumn(f"session_{level}", (begun - 1).cast("int"))
    return rows


def in_order(rows):
    """Users that are whole numbers come by value, before all other names."""
    number = f.col("user_id").rlike("^(0|[1-9][0-9]*)$")
    return rows.orderBy(~number, f.when(number, f.length("user_id")).otherwise(0), "user_id", "timestamp", *ARRIVAL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("output", help="folder of Parquet parts; must not exist")
    parser.add_argument("--gaps", default="60,86400,2592000", help="idle seconds, shortest first")
    parser.add_argument("--user", default="user_id")
    parser.add_argument("--item", default="item_id")
    parser.add_argument("--time", default="timestamp")
    parser.add_argument("--value", default="event_value")
    args = parser.parse_args()
    gaps = [int(gap) for gap in args.gaps.split(",")]
    spark = SparkSession.builder.appName("sessions").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    rows = in_order(sessions(read(spark, args), gaps))
    columns = [column for level in range(len(gaps)) for column in (f"session_{level}", f"new_session_{level}")]
    rows = rows.select("user_id", "item_id", "timestamp", f.lit(None).cast("string").alias("event_type"), "event_value", *columns)
    # Writes to _temporary and moves at the end: a folder that holds _SUCCESS is whole.
    rows.write.option("compression", "zstd").parquet(args.output)


if __name__ == "__main__":
    main()
