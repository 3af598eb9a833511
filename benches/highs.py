"""Solve LP files with HiGHS, one thread, and print a Markdown table.

    python benches/highs.py DIR/*.lp [--time-limit 60] [--gap 1e-4]

The files come from `cargo bench --bench solve -- --write-lp DIR`. Their first line says what apportion
found and proved; the last column holds the two solvers against each other: neither may prove a bound
above what the other found.
"""

import argparse
import pathlib
import time

import highspy

# Relative: HiGHS keeps rows of 1e10 bytes to about a byte.
SLACK = 1e-8
# Rows are divided down to this, as the embedded solver's are, so that tolerances mean the same.
ROW_TARGET = 2**10


def comments(path):
    """What the file says of itself: apportion's best and bound if any, and the objective's constant."""
    ours, constant = None, 0.0
    with open(path) as file:
        for line in file:
            match line.split():
                case ["\\", "apportion", found, bound]:
                    ours = float(found), float(bound)
                case ["\\", "objective", "constant", number]:
                    constant = float(number)
                case _:
                    return ours, constant
    return ours, constant


def unit(numbers):
    """The smallest power of two that brings the largest number down to the target."""
    largest, result = max(map(abs, numbers), default=0), 1
    while largest / result > ROW_TARGET:
        result *= 2
    return result


def scale_rows(highs):
    """Divides every row by its unit; powers of two change no digit."""
    infinite = highs.getInfinity()
    for row in range(highs.getNumRow()):
        _, lower, upper, _ = highs.getRow(row)
        _, columns, values = highs.getRowEntries(row)
        finite = [side for side in (lower, upper) if abs(side) < infinite]
        divisor = unit([*values, *finite])
        for column, value in zip(columns, values):
            highs.changeCoeff(row, int(column), value / divisor)
        sides = [side / divisor if abs(side) < infinite else side for side in (lower, upper)]
        highs.changeRowBounds(row, *sides)


def quiet():
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    return highs


def solve(path, time_limit, gap):
    highs = quiet()
    options = {"threads": 1, "time_limit": time_limit, "mip_rel_gap": gap}
    for name, value in options.items():
        highs.setOptionValue(name, value)
    if highs.readModel(str(path)) != highspy.HighsStatus.kOk:
        raise SystemExit(f"HiGHS cannot read {path}")
    scale_rows(highs)
    # Of this process, so that a busy machine does not count; the limit is by the clock.
    started = time.process_time()
    highs.run()
    seconds = time.process_time() - started
    return highs.modelStatusToString(highs.getModelStatus()), highs.getInfo(), seconds


def agreement(ours, theirs, their_bound):
    """Whether the bounds of each lie at or below what the other found."""
    if ours is None:
        return "-"
    found, bound = ours
    if bound > theirs * (1 + SLACK):
        return f"NO: we prove {bound:.9f}"
    if their_bound > found * (1 + SLACK):
        return f"NO: we found {found:.9f}"
    return "yes"


def row(path, arguments):
    status, info, seconds = solve(path, arguments.time_limit, arguments.gap)
    ours, constant = comments(path)
    found, bound = (info.objective_function_value + constant, info.mip_dual_bound + constant)
    cells = [
        path.name.removesuffix(".lp"),
        status,
        f"{found:.9f}",
        f"{bound:.9f}",
        f"{(found - bound) / found if found else 0.0:.1e}",
        f"{seconds:.2f}",
        str(info.mip_node_count),
        "-" if ours is None else f"{ours[0]:.9f} / {ours[1]:.9f}",
        agreement(ours, found, bound),
    ]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds per file")
    parser.add_argument("--gap", type=float, default=1e-4, help="relative gap that counts as proven")
    arguments = parser.parse_args()
    print(f"HiGHS {quiet().version()}, 1 thread, gap {arguments.gap:g}\n")
    print("| program | status | objective | bound | gap | CPU seconds | nodes | apportion | agree |")
    print("|---|---|---|---|---|---|---|---|---|")
    for path in arguments.files:
        print(row(path, arguments), flush=True)


if __name__ == "__main__":
    main()
