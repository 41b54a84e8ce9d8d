#!/usr/bin/env python3
"""Whether the Spark recipe (docs/recipes/spark_sessions.py) builds the rows that Foretaste builds: a simulated Netflix Prize in
its owner's files, in CSV, and in Parquet.

Called by `cargo xtask bench spark`, which brings PySpark; needs Java 17.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq
from run import HERE, ROOT, run

RECIPE = ROOT / "docs" / "recipes" / "spark_sessions.py"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--foretaste", required=True, help="the foretaste program")
    parser.add_argument("--data", help="taken by all comparisons; not needed here")
    parser.add_argument("--scale", type=float, default=0.002)
    args = parser.parse_args()
    if shutil.which("java") is None:
        sys.exit("Spark needs Java 17 or newer, and there is no java here\n  help: apt-get install default-jre-headless")
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        run([args.foretaste, "simulate", "netflix", "--scale", args.scale, "--out", scratch / "log", "--json"])
        files = scratch / "log" / "training_set"
        run([args.foretaste, "import", files, "--out", scratch / "rows.parquet", "--json"])
        rows = pq.read_table(scratch / "rows.parquet", columns=["user_id", "item_id", "timestamp", "event_value"])
        lines = zip(*(rows[name].to_pylist() for name in rows.column_names))
        # Lines in another order, and some twice with another value.
        text = [f"{u},{i},{t},{v:g}\n" for u, i, t, v in lines]
        text = text[1::2] + [line.replace(",5\n", ",4\n") for line in text[::50]] + text[::2]
        (scratch / "rows.csv").write_text("user_id,item_id,timestamp,event_value\n" + "".join(text))
        for source in (files, scratch / "rows.parquet", scratch / "rows.csv"):
            ours, theirs, merged = (scratch / f"{source.name}-{name}" for name in ("ours.parquet", "spark", "spark.parquet"))
            run([args.foretaste, "sessions", source, "--gaps", "60,86400,2592000", "--out", ours, "--json"])
            subprocess.run([sys.executable, RECIPE, source, theirs], check=True)
            pq.write_table(pa.concat_tables(pq.ParquetFile(part).read() for part in sorted(theirs.glob("*.parquet"))), merged)
            again = scratch / "again.parquet"
            run([args.foretaste, "sessions", theirs, "--gaps", "60,86400,2592000", "--out", again, "--json"])
            if again.read_bytes() != ours.read_bytes():
                sys.exit(f"{source.name}: the folder that Spark wrote is read as another log")
            equal = subprocess.run([sys.executable, HERE / "sessions_equal.py", merged, ours], capture_output=True, text=True)
            print(f"{source.name}: {equal.stdout.strip()}")
            if equal.returncode != 0:
                sys.exit(1)


if __name__ == "__main__":
    main()
