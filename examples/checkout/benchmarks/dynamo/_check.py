"""Compare a column of a benchmark's CSV with the expected values."""

import argparse
import csv
import sys


def main(column):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--actual", required=True)
    parser.add_argument("--expected", required=True)
    options = parser.parse_args()
    actual, expected = (
        {row["name"]: row[column] for row in csv.DictReader(open(path))}
        for path in (options.actual, options.expected)
    )
    bad = [f"{name}: {value}, expected {expected.get(name)}" for name, value in actual.items() if value != expected.get(name)]
    print("\n".join(bad) or f"{len(actual)} models: {column} as expected")
    sys.exit(1 if bad else 0)
