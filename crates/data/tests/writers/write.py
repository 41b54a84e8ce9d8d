"""Writes random logs with Python's csv module, pandas, Polars and DuckDB, each in several dialects.

    write.py SEED COUNT FOLDER

For each log: a file, and a line of FOLDER/logs.jsonl with its name, the reader's options, and its rows.
"""

import csv
import datetime
import gzip
import json
import random
import sys
from pathlib import Path

import duckdb
import pandas
import polars

COLUMNS = ["user", "item", "value", "time", "event"]
PIECES = list("abcXYZ019") + list("äéЖ木😀") + list(",;|'\"\t\\/.:#-_ \n") + ['""', "\r\n", "\\\\", "Weird"]
# Without what a text of one byte a character, or a plain dialect, cannot hold.
PLAIN = list("abcXYZ019äéß/.:#-_ ")


def word(choice, pieces):
    """A text that no reader would take for missing, with nothing to trim."""
    while True:
        text = "".join(choice.choices(pieces, k=choice.randint(1, 8))).strip()
        if text and text.lower() not in ("na", "n/a", "<na>", "nan", "null", "none", "\\n", "true", "false"):
            return text


def rows_of(choice, pieces):
    """Rows with distinct keys: (user, item, value or None, nanoseconds, event or None)."""
    users = [word(choice, pieces) for _ in range(choice.randint(1, 6))]
    items = [word(choice, pieces) for _ in range(choice.randint(1, 9))]
    events = [word(choice, pieces) for _ in range(2)] + [None]
    step = choice.choice([1_000_000_000, 1_000_000, 1_000])
    rows = {}
    for _ in range(choice.randint(1, 40)):
        time = choice.randrange(1_000_000_000 * 10**9, 1_700_000_000 * 10**9, step)
        row = (choice.choice(users), choice.choice(items), time, choice.choice(events))
        value = choice.choice([None, float(choice.randint(-3, 700)), choice.randint(1, 40) / 8])
        rows[row] = (row[0], row[1], value, time, row[3])
    rows = list(rows.values())
    # A column without any value has no type, and one without any event is no column.
    rows[0] = rows[0][:2] + (3.5, rows[0][3], events[0])
    return rows, step


def iso(time, choice):
    """A time as people write it."""
    moment = datetime.datetime.fromtimestamp(time // 10**9, datetime.UTC)
    text = moment.strftime(choice.choice(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"]))
    fraction = time % 10**9
    if fraction:
        text += "." + f"{fraction:09}".rstrip("0")
    return text + choice.choice(["", "Z", "+00:00", " UTC"])


def seconds(time):
    """A time as seconds with a fraction, exactly."""
    whole, fraction = divmod(time, 10**9)
    return f"{whole}.{fraction:09}".rstrip("0").rstrip(".")


def frame(rows, times):
    """Columns by name."""
    users, items, values, _, events = zip(*rows)
    return {"user": users, "item": items, "value": values, "time": times, "event": events}


def of_csv(choice, folder, name):
    """Python's csv module; also in UTF-16, in Latin-1, and compressed."""
    encoding = choice.choice(["utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16"])
    none = choice.random() < 0.2
    rows, _ = rows_of(choice, PLAIN if none or encoding == "latin-1" else PIECES)
    delimiter = choice.choice([",", ";", "\t", "|"])
    backslash = not none and choice.random() < 0.3
    dialect = {
        "delimiter": delimiter,
        "lineterminator": choice.choice(["\n", "\r\n"]),
        "quoting": csv.QUOTE_NONE if none else choice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        "doublequote": not backslash,
        "escapechar": "\\" if backslash else None,
    }
    missing = choice.choice(["", "NA", "NULL", "\\N", "NaN"]) if not backslash else ""
    write_time = choice.choice([seconds, lambda time: iso(time, choice)])
    packed = choice.random() < 0.2 and encoding != "utf-16"
    file = f"{name}.csv" + (".gz" if packed else "")
    opened = gzip.open(folder / file, "wt", encoding=encoding, newline="") if packed else open(
        folder / file, "w", encoding=encoding, newline="")
    headless = choice.random() < 0.2
    with opened as out:
        writer = csv.writer(out, **dialect)
        if not headless:
            writer.writerow(COLUMNS)
        for user, item, value, time, event in rows:
            fields = [user, item, missing if value is None else value, write_time(time)]
            writer.writerow([*fields, missing if event is None else event])
    options = [f"columns={','.join(COLUMNS)}", "no-header"] if headless else []
    # What the first rows do not show must be said: few rows may show nothing.
    options.append(f"delimiter={delimiter}".replace("\t", "\\t"))
    options.append("quote=none" if none else "quote=escaped" if backslash else "quote=double")
    if encoding == "latin-1":
        options.append("encoding=latin1")
    return file, options, rows


def of_pandas(choice, folder, name):
    """pandas: CSV with its defaults or others, JSON Lines."""
    rows, step = rows_of(choice, PIECES)
    if choice.random() < 0.3:
        table = pandas.DataFrame(frame(rows, [row[3] // step for row in rows]))
        table.to_json(folder / f"{name}.jsonl", orient="records", lines=True, double_precision=10)
        return f"{name}.jsonl", unit(step), rows
    text = choice.random() < 0.5
    times = pandas.to_datetime([row[3] for row in rows], unit="ns") if text else [row[3] // step for row in rows]
    table = pandas.DataFrame(frame(rows, times))
    separator = choice.choice([",", ";", "\t"])
    packed = choice.choice([None, None, "gzip"])
    file = f"{name}.tsv" if separator == "\t" else f"{name}.csv"
    file += ".gz" if packed else ""
    table.to_csv(folder / file, index=False, sep=separator, na_rep=choice.choice(["", "NA"]), compression=packed,
                 quoting=choice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    options = [] if text else unit(step)
    return file, [*options, f"delimiter={separator}".replace("\t", "\\t"), "quote=double"], rows


def unit(step):
    """The option that says which unit whole numbers have."""
    return {10**9: [], 10**6: ["unit=ms"], 10**3: ["unit=us"]}[step]


def of_polars(choice, folder, name):
    """Polars: CSV, JSON Lines, Parquet with time stamps of all units."""
    rows, step = rows_of(choice, PIECES)
    kind = choice.choice(["csv", "jsonl", "parquet", "parquet"])
    number = choice.random() < 0.5
    finest = {10**9: "ms", 10**6: "ms", 10**3: "us"}[step]
    table = polars.DataFrame(frame(rows, [row[3] // step if number else row[3] for row in rows]), schema={
        "user": polars.String, "item": polars.String, "value": polars.Float64, "time": polars.Int64,
        "event": polars.String})
    if not number:
        named = choice.choice([finest, "us", "ns"])
        stamp = polars.from_epoch(polars.col("time"), time_unit="ns").cast(polars.Datetime(named))
        table = table.with_columns(time=stamp)
    options = unit(step) if number else []
    file = f"{name}.{kind}"
    if kind == "csv":
        separator = choice.choice([",", ";", "|"])
        style = choice.choice(["necessary", "always", "non_numeric"])
        table.write_csv(folder / file, separator=separator, quote_style=style,
                        null_value=choice.choice(["", "NULL"]))
        return file, [*options, f"delimiter={separator}", "quote=double"], rows
    if kind == "jsonl":
        table.write_ndjson(folder / file)
        return file, options, rows
    if choice.random() < 0.3:
        table = table.with_columns(polars.col("event").cast(polars.Categorical))
    table.write_parquet(folder / file, compression=choice.choice(["zstd", "snappy", "uncompressed"]))
    return file, options, rows


def of_duckdb(choice, folder, name):
    """DuckDB: CSV, JSON Lines, Parquet."""
    rows, step = rows_of(choice, PIECES)
    number = choice.random() < 0.5
    base = duckdb.connect()
    base.execute("create table log (user varchar, item varchar, value double, time bigint, event varchar)")
    base.executemany("insert into log values (?, ?, ?, ?, ?)",
                     [(*row[:3], row[3] // step if number else row[3] // 1000, row[4]) for row in rows])
    time = "time" if number else "make_timestamp(time)"
    query = f"select user, item, value, {time} as time, event from log"
    options = unit(step) if number else []
    kind = choice.choice(["csv", "csv", "json", "parquet"])
    if kind == "csv":
        delimiter = choice.choice([",", "|", ";"])
        quotes = choice.choice(["", ", force_quote *"])
        escape = choice.choice(['"', '"', "\\"])
        file = f"{name}.csv"
        base.execute(f"copy ({query}) to '{folder / file}' (format csv, header, delimiter '{delimiter}', "
                     f"escape '{escape}'{quotes})")
        quote = "quote=double" if escape == '"' else "quote=backslash"
        return file, [*options, f"delimiter={delimiter}", quote], rows
    file = f"{name}.{kind}"
    base.execute(f"copy ({query}) to '{folder / file}' (format {kind})")
    return file, options, rows


def main():
    """Writes the logs."""
    seed, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    writers = [of_csv, of_pandas, of_polars, of_duckdb]
    with open(folder / "logs.jsonl", "w", encoding="utf-8") as list_of_logs:
        for number in range(count):
            choice = random.Random(f"{seed}/{number}")
            writer = writers[number % len(writers)]
            file, options, rows = writer(choice, folder, f"log{number}")
            log = {"file": file, "writer": writer.__doc__, "options": options, "rows": rows}
            list_of_logs.write(json.dumps(log) + "\n")


if __name__ == "__main__":
    main()
