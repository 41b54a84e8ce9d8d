#!/usr/bin/env python3
"""Measures DuckDB on building sessions: MovieLens `ratings.dat`, or a folder of Netflix's `mv_*.txt`, in; sessions in Parquet out.

The work timed is opening an in-memory database, reading, sorting by user (as a number), time and
arrival, marking the sessions of every idle gap and writing Parquet with zstd at the library's level.
The time leaves out the import of the package; the peak memory (in 10^6 bytes) is that of the whole
process, with the share that was there before the work beside it. Start it from a small process: Linux
carries a parent's peak over.

Of the ways tried, the one kept sorts once and then runs windows over the rows as they stand, which
DuckDB streams; windows partitioned by user sort again and took about 1.7 times as long.
That leans on `preserve_insertion_order`, so check the result with `sessions_equal.py`.

Prints one line of JSON.
"""

import argparse
import json
import os
import resource
import sys
import time

import duckdb


def peak_mb():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def build(args, gaps):
    levels = range(len(gaps))
    so_far = "OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"

    def each(template):
        return ", ".join(template.format(level=level, gap=gaps[level]) for level in levels)

    marks = each("coalesce(time - previous > {gap}, true) AS new_session_{level}")
    counts = each(f"count(*) FILTER (new_session_{{level}}) {so_far} AS count_{{level}}")
    numbers = each(
        "CAST(count_{level} - max(CASE WHEN previous IS NULL THEN count_{level} END) "
        f"{so_far} AS INTEGER) AS session_{{level}}"
    )
    id_type = "INTEGER" if args.ids == "int" else "VARCHAR"

    with duckdb.connect(config={"threads": args.threads}) as db:
        # `rowid` then numbers the rows by arrival.
        if os.path.isdir(args.input):
            rows = f"""
                SELECT "user", CAST(regexp_extract(filename, 'mv_0*([0-9]+)', 1) AS INTEGER) AS item, value, CAST(epoch(day) AS BIGINT) AS time
                FROM read_csv(
                    {quoted(args.input + "/mv_*.txt")}, delim = ',', header = false, skip = 1, auto_detect = false, filename = true,
                    quote = '', escape = '', columns = {{'user': 'INTEGER', 'value': 'FLOAT', 'day': 'DATE'}})
            """
        else:
            rows = f"""
                FROM read_csv(
                    {quoted(args.input)}, delim = '::', header = false, auto_detect = false,
                    quote = '', escape = '',
                    columns = {{'user': 'INTEGER', 'item': 'INTEGER', 'value': 'FLOAT', 'time': 'BIGINT'}})
            """
        db.execute(f"CREATE TEMP TABLE ratings AS {rows}")
        db.execute(
            f"""
            COPY (
                WITH ordered AS (FROM ratings ORDER BY "user", time, rowid),
                paired AS (
                    SELECT *, CASE WHEN lag("user") OVER () = "user" THEN lag(time) OVER () END
                        AS previous
                    FROM ordered),
                marked AS (SELECT *, {marks} FROM paired),
                counted AS (SELECT *, {counts} FROM marked),
                numbered AS (SELECT *, {numbers} FROM counted)
                SELECT CAST("user" AS {id_type}) AS user_id, CAST(item AS {id_type}) AS item_id,
                    time AS "timestamp", value AS event_value,
                    {each("session_{level}, new_session_{level}")}
                FROM numbered
            ) TO {quoted(args.output)} (FORMAT parquet, COMPRESSION zstd)
            """
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", help="MovieLens ratings.dat, or the folder of Netflix's mv_*.txt")
    parser.add_argument("output", help="Parquet file to write")
    parser.add_argument("--gaps", default="60,86400", help="idle seconds, shortest first")
    parser.add_argument("--ids", choices=["string", "int"], default="string", help="type written")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    gaps = [int(gap) for gap in args.gaps.split(",")]

    before_mb = peak_mb()
    start = time.perf_counter()
    build(args, gaps)
    seconds = time.perf_counter() - start

    print(
        json.dumps(
            {
                "peer": "duckdb",
                "version": duckdb.__version__,
                "threads": args.threads,
                "ids": args.ids,
                "gaps": gaps,
                "seconds": seconds,
                "peak_rss_mb": peak_mb(),
                "rss_before_mb": before_mb,
                "output_bytes": os.path.getsize(args.output),
            }
        )
    )


if __name__ == "__main__":
    main()
