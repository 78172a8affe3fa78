"""A miniature benchmark: the models are small functions with known results."""

import argparse
import csv
import math
import time

MODELS = {
    "series": (lambda: sum(1 / math.factorial(n) for n in range(20)), math.e),
    "wallis": (lambda: 2 * math.prod(4 * n * n / (4 * n * n - 1) for n in range(1, 20000)), math.pi),
}


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--output", required=True)
    parser.add_argument("--total-partitions", type=int, default=1)
    parser.add_argument("--partition-id", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    for flag in "ci accuracy timing explain print-compilation-time inference training bfloat16 amp float32".split():
        parser.add_argument(f"--{flag}", action="store_true")
    options = parser.parse_args()
    with open(options.output, "w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["name", "accuracy", "graph_breaks"])
        for name in sorted(MODELS)[options.partition_id :: options.total_partitions]:
            began = time.perf_counter()
            run, wanted = MODELS[name]
            good = math.isclose(run(), wanted, rel_tol=1e-4)
            rows.writerow([name, "pass" if good else "fail_accuracy", 0])
            print(f"{name}: {'pass' if good else 'fail'} in {time.perf_counter() - began:.4f} s")


if __name__ == "__main__":
    main()
