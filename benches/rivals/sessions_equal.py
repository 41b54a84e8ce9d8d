#!/usr/bin/env python3
"""Checks that two session files in Parquet hold the same rows in the same order.

Compares the columns both files have, ids as strings, and names the first difference: the earliest
row, and in it the first column. Columns that only one file has and types that differ are named on
standard error and don't count. Exits with 0 if equal, 1 if different.
"""

import argparse
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

IDS = ("user_id", "item_id")


def first_difference(left, right):
    """The first row where the columns differ; a null equals a null, a NaN a NaN."""
    missing = pc.and_(left.is_null(nan_is_null=True), right.is_null(nan_is_null=True))
    alike = pc.and_(missing, pc.equal(left.is_null(), right.is_null()))
    same = pc.or_(pc.fill_null(pc.equal(left, right), False), alike)
    row = pc.index(same, False).as_py()
    return None if row < 0 else row


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("a")
    parser.add_argument("b")
    args = parser.parse_args()
    a, b = (pq.ParquetFile(path).read() for path in (args.a, args.b))

    shared = [name for name in a.column_names if name in b.column_names]
    for path, table in ((args.a, a), (args.b, b)):
        alone = [name for name in table.column_names if name not in shared]
        if alone:
            print(f"only in {path}: {', '.join(alone)}", file=sys.stderr)
    if not shared:
        print("no column in common")
        return 1

    rows = min(a.num_rows, b.num_rows)
    found = []
    for place, name in enumerate(shared):
        left, right = (table[name].slice(0, rows) for table in (a, b))
        if left.type != right.type:
            print(f"{name}: {left.type} and {right.type}", file=sys.stderr)
        if name in IDS:
            left, right = left.cast(pa.string()), right.cast(pa.string())
        row = first_difference(left, right)
        if row is not None:
            found.append((row, place, name, left[row].as_py(), right[row].as_py()))
    if found:
        row, _, name, x, y = min(found, key=lambda entry: entry[:2])
        print(f"different: row {row}, column {name}: {x!r} and {y!r}")
        return 1
    if a.num_rows != b.num_rows:
        print(f"different: {a.num_rows} and {b.num_rows} rows, the first {rows} equal")
        return 1
    print(f"equal: {rows} rows, columns {', '.join(shared)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
