#!/usr/bin/env python3
"""Measures Polars on building sessions: MovieLens `ratings.dat`, or a folder of Netflix's `mv_*.txt`, in; sessions in Parquet out.

The work timed is reading, sorting by user (as a number), time and arrival, marking the sessions of
every idle gap and writing Parquet with zstd at the library's level. The time leaves out the import of
the package; the peak memory (in 10^6 bytes) is that of the whole process, with the share that was there
before the work beside it. Start it from a small process: Linux carries a parent's peak over.

Polars splits on one byte only, so '::' is read as ':' with an empty column between every two. Of the
ways tried, the one kept sorts on user and time packed into one integer (ids below 2^31, times from
0 to 2^32 - 1) and counts sessions without a window function.

Prints one line of JSON.
"""

import argparse
import json
import os
import resource
import sys
import time


def peak_mb():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def sessions(pl, path, gaps, ids):
    item_type = pl.Int32 if ids == "int" else pl.String
    schema = {
        "user_id": pl.Int32,
        "empty_1": pl.String,
        "item_id": item_type,
        "empty_2": pl.String,
        "event_value": pl.Float32,
        "empty_3": pl.String,
        "timestamp": pl.Int64,
    }
    user, time_ = pl.col("user_id"), pl.col("timestamp")
    new_user = user.ne_missing(user.shift(1))
    idle = time_ - time_.shift(1)

    def session(level):
        count = pl.col(f"new_session_{level}").cast(pl.Int32).cum_sum()
        return count - pl.when("new_user").then(count).forward_fill()

    columns = ["user_id", "item_id", "timestamp", "event_value"]
    for level in range(len(gaps)):
        columns += [f"session_{level}", f"new_session_{level}"]
    if os.path.isdir(path):
        day = {"user_id": pl.Int32, "event_value": pl.Float32, "day": pl.Date}
        rows = pl.scan_csv(f"{path}/mv_*.txt", has_header=False, skip_rows=1, schema=day, quote_char=None, include_file_paths="file").with_columns(
            pl.col("file").str.extract("mv_0*([0-9]+)").cast(item_type).alias("item_id"), (pl.col("day").cast(pl.Int64) * 86_400).alias("timestamp")
        )
    else:
        rows = pl.scan_csv(path, separator=":", has_header=False, schema=schema, quote_char=None)
    return (
        rows.sort(user.cast(pl.Int64) * 2**32 + time_, maintain_order=True)
        .with_columns(
            new_user.alias("new_user"),
            *(
                (new_user | (idle > gap)).alias(f"new_session_{level}")
                for level, gap in enumerate(gaps)
            ),
        )
        .with_columns(session(level).alias(f"session_{level}") for level in range(len(gaps)))
        .with_columns(user if ids == "int" else user.cast(pl.String))
        .select(columns)
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
    parser.add_argument("--engine", choices=["in-memory", "streaming"], default="in-memory")
    args = parser.parse_args()
    gaps = [int(gap) for gap in args.gaps.split(",")]

    os.environ["POLARS_MAX_THREADS"] = str(args.threads)  # read once, at import
    import polars as pl

    # DuckDB's row groups; left alone, `shift` leaves a chunk of one row and that becomes a group.
    written = {"compression": "zstd", "row_group_size": 122_880}
    before_mb = peak_mb()
    start = time.perf_counter()
    lazy = sessions(pl, args.input, gaps, args.ids)
    if args.engine == "streaming":
        lazy.sink_parquet(args.output, engine="streaming", **written)
    else:
        lazy.collect(engine="in-memory").write_parquet(args.output, **written)
    seconds = time.perf_counter() - start

    print(
        json.dumps(
            {
                "peer": "polars",
                "version": pl.__version__,
                "engine": args.engine,
                "threads": pl.thread_pool_size(),
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
