"""Ours beside HiGHS and OR-tools CP-SAT: the same instance, the same machine, one run, one Markdown table.

    cargo build --release
    python3 -m venv target/versus && target/versus/bin/pip install highspy ortools
    target/versus/bin/python benches/versus.py [--only mixtral] [--time-limit 300]

Every stage is a row. Ours is `apportion solve` itself, asked for the objectives up to that stage: its time
contains the stages before. The others get the program of that stage alone, under the caps that we leave
them, as `apportion solve --write-lp` writes it, and the clock runs while they solve, not while they read.
Whoever is not done within the limit is printed with what it found and what it proved.

Nobody may prove a bound above what another found: a row where that happens says CONTRADICTION, and the
exit status is 1.
"""

import argparse
import dataclasses
import importlib.metadata
import itertools
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

# The relative gap at which a stage counts as proven here, asked of everyone. Ours stops at a tenth of it by
# itself.
GAP = {"peak_utilization": 1e-3}
# Two solvers that agree differ by their tolerances; HiGHS keeps rows of 1e10 bytes to about a byte.
SLACK = 1e-7
# A file this large is not given to anyone.
FILE_BYTES_MAX = 10**9


@dataclasses.dataclass(frozen=True)
class Instance:
    model: str
    quant: str
    gpus: tuple  # GiB
    cpu: int | None = None

    def __str__(self):
        runs = [(size, len(list(same))) for size, same in itertools.groupby(self.gpus)]
        sizes = "+".join(f"{count}x{size}" if count > 1 else f"{size}" for size, count in runs)
        host = "" if self.cpu is None else f" + cpu {self.cpu}"
        return f"{self.model} {self.quant} on {sizes}{host} GiB"

    def arguments(self):
        gpus = [word for size in self.gpus for word in ("--gpu", f"{size}GiB")]
        host = [] if self.cpu is None else ["--cpu", f"{self.cpu}GiB"]
        return [self.model, "--quant", self.quant, *gpus, *host]


def instances():
    mixtral, large = ("mixtral-8x7b", "q4_k_m"), ("mixtral-8x22b", "q4_k_m")
    qwen, gpt = ("qwen3-235b-a22b", "q4_k_m"), ("gpt-oss-120b", "mxfp4")
    deepseek, deepseek_q4 = ("deepseek-v3", "fp8"), ("deepseek-v3", "q4_k_m")
    return [
        # Two.
        Instance("mixtral-8x7b", "nf4-dq", (15.6, 15.6)),
        Instance(*mixtral, (16, 16)),
        Instance(*mixtral, (24, 12)),
        Instance(*mixtral, (12, 8), cpu=64),
        Instance("mixtral-8x7b", "fp8", (32, 24)),
        Instance(*large, (48, 48)),
        Instance(*gpt, (48, 32)),
        Instance(*qwen, (96, 80)),
        # Three.
        Instance("mixtral-8x7b", "nf4-dq", (16, 10, 8)),
        Instance(*mixtral, (12, 12, 12)),
        Instance(*mixtral, (16, 10, 8)),
        Instance(*mixtral, (10, 8, 6), cpu=64),
        Instance(*large, (40, 32, 24)),
        Instance(*gpt, (32, 24, 24)),
        # Four.
        Instance(*mixtral, (8, 8, 8, 8)),
        Instance(*mixtral, (12, 10, 8, 6)),
        Instance(*large, (32, 24, 24, 16)),
        Instance(*gpt, (24, 24, 16, 16)),
        Instance(*qwen, (48, 48, 48, 24)),
        Instance(*deepseek_q4, (141, 141, 96, 80)),
        # Eight.
        Instance(*mixtral, (4.5,) * 8),
        Instance(*mixtral, (8, 6, 6, 5, 4, 4, 3, 3)),
        Instance(*large, (16, 16, 16, 12, 12, 12, 8, 8)),
        Instance(*qwen, (24, 24, 24, 24, 16, 16, 16, 16)),
        Instance(*deepseek, (96,) * 8),
        Instance(*deepseek, (80, 80, 80, 80, 96, 96, 141, 141)),
        Instance(*deepseek_q4, (80, 80, 48, 48, 48, 48, 24, 24), cpu=512),
        # Sixteen and sixty-four.
        Instance(*deepseek, (48,) * 16),
        Instance(*deepseek, (80,) * 4 + (48,) * 4 + (40,) * 4 + (32,) * 4),
        Instance(*deepseek, (24,) * 16 + (16,) * 16 + (12,) * 16 + (8,) * 16),
    ]


# --- Ours ---------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Ours:
    """What `apportion solve` said, from the last of several runs, all of the same answer."""

    seconds: float
    objectives: list
    mebibytes: float


def run_ours(binary, arguments, runs):
    seconds, mebibytes, answer = [], 0.0, None
    for _ in range(runs):
        command = [binary, "solve", *arguments, "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        answer = json.loads(text)
        seconds.append(answer["solver"]["seconds"])
        # Linux counts in KiB, macOS in bytes.
        unit = 1 if platform.system() == "Darwin" else 1024
        mebibytes = max(mebibytes, usage.ru_maxrss * unit / 2**20)
    return Ours(statistics.median(seconds), answer["objectives"], mebibytes)


def prefix(objectives):
    """The options that ask for these objectives and no later one."""
    return [w for o in objectives for w in ("--objective", f"{o['name']}:{o['tolerance'] * 100:g}%")]


def write_programs(binary, instance, folder):
    """The files of both formulations; the caps in them are ours."""
    files = {}
    for how in ("textbook", "counts"):
        target = folder / how
        arguments = ["--write-lp", target, "--lp-formulation", how]
        run_ours(binary, [*instance.arguments(), *map(str, arguments)], 1)
        files[how] = sorted(target.glob("*.lp"))
    return files


# --- Others: each in a process of its own, by `versus.py --worker` -------------------------------------


def read_program(path):
    """HiGHS's own reader, for both: the columns, and the rows as lists of (column, coefficient)."""
    import highspy

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    if highs.readModel(str(path)) != highspy.HighsStatus.kOk:
        raise SystemExit(f"HiGHS cannot read {path}")
    return highs, highs.getLp()


def by_rows(lp):
    """Row by row, whatever way the matrix is stored."""
    import highspy

    matrix, rows = lp.a_matrix_, [[] for _ in range(lp.num_row_)]
    start, index, value = list(matrix.start_), list(matrix.index_), list(matrix.value_)
    by_column = matrix.format_ == highspy.MatrixFormat.kColwise
    for major in range(lp.num_col_ if by_column else lp.num_row_):
        for at in range(start[major], start[major + 1]):
            row, column = (index[at], major) if by_column else (major, index[at])
            rows[row].append((column, value[at]))
    return rows


def unit(numbers, target=2**10):
    """The smallest power of two that brings the largest number down to the target."""
    largest, result = max(map(abs, numbers), default=0), 1
    while largest / result > target:
        result *= 2
    return result


def highs_worker(path, time_limit, gap, threads):
    import highspy

    highs, lp = read_program(path)
    # Every row divided down as it is for the embedded solver, so that tolerances mean the same; powers of
    # two change no digit.
    lower, upper, rows = list(lp.row_lower_), list(lp.row_upper_), by_rows(lp)
    start, index, value = [0], [], []
    for row, terms in enumerate(rows):
        sides = [side for side in (lower[row], upper[row]) if abs(side) < highspy.kHighsInf]
        divisor = unit([*(factor for _, factor in terms), *sides])
        lower[row], upper[row] = lower[row] / divisor, upper[row] / divisor
        index.extend(column for column, _ in terms)
        value.extend(factor / divisor for _, factor in terms)
        start.append(len(index))
    matrix = highspy.HighsSparseMatrix()
    matrix.format_, matrix.num_col_, matrix.num_row_ = (
        highspy.MatrixFormat.kRowwise,
        lp.num_col_,
        lp.num_row_,
    )
    matrix.start_, matrix.index_, matrix.value_ = start, index, value
    lp.row_lower_, lp.row_upper_, lp.a_matrix_ = lower, upper, matrix
    if highs.passModel(lp) == highspy.HighsStatus.kError:
        raise SystemExit(f"HiGHS refuses {path}")
    options = {"threads": threads, "time_limit": time_limit, "mip_rel_gap": gap, "mip_abs_gap": 0.0}
    for name, setting in options.items():
        highs.setOptionValue(name, setting)
    started = time.perf_counter()
    highs.run()
    seconds = time.perf_counter() - started
    status, info = highs.getModelStatus(), highs.getInfo()
    has_point = info.primal_solution_status == 2
    return {
        "seconds": seconds,
        "proven": status == highspy.HighsModelStatus.kOptimal,
        "infeasible": status == highspy.HighsModelStatus.kInfeasible,
        "found": info.objective_function_value if has_point else None,
        "bound": info.mip_dual_bound if math.isfinite(info.mip_dual_bound) else None,
    }


# Below this, CP-SAT has room to add what it wants in 64 bits.
SUM_MAX = 2**60
# Grid of a continuous variable that no row lets be whole otherwise, as a peak: far finer than the gap.
GRID = 2**20


def cp_sat_worker(path, time_limit, gap, threads):
    from ortools.sat.python import cp_model

    highs, lp = read_program(path)
    whole = integer_program(lp)
    model = cp_model.CpModel()
    variables = [model.new_int_var(low, high, "") for low, high in whole["bounds"]]
    for terms, low, high in whole["rows"]:
        expression = cp_model.LinearExpr.weighted_sum(
            [variables[column] for column, _ in terms], [factor for _, factor in terms]
        )
        low = cp_model.INT_MIN if low is None else low
        high = cp_model.INT_MAX if high is None else high
        model.add_linear_constraint(expression, low, high)
    columns, factors = zip(*whole["objective"]) if whole["objective"] else ((), ())
    model.minimize(cp_model.LinearExpr.weighted_sum([variables[c] for c in columns], list(factors)))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = time_limit
    solver.parameters.relative_gap_limit = gap
    solver.parameters.num_workers = threads
    solver.parameters.random_seed = 0
    status = solver.solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return {
        "seconds": solver.wall_time,
        "proven": status == cp_model.OPTIMAL,
        "infeasible": status == cp_model.INFEASIBLE,
        "found": solver.objective_value / whole["unit"] if found else None,
        "bound": solver.best_objective_bound / whole["unit"],
    }


def integer_program(lp):
    """The same program in whole numbers, no byte rounded.

    A continuous variable that every row has with the same factor is replaced by that multiple of itself,
    which is whole because everything else in its rows is: bytes in large units become bytes. One with
    different factors, as a peak with the capacities, becomes a multiple of 1/GRID, and its rows and the
    objective are multiplied: what is found may be that much above what there is, 1e-6, and the bound is
    one of the program on that grid.
    """
    rows, count = by_rows(lp), lp.num_col_
    continuous = [not is_integer(lp, column) for column in range(count)]
    factors = [set() for _ in range(count)]
    for terms in rows:
        for column, factor in terms:
            if continuous[column]:
                factors[column].add(abs(exact(factor)))
    scale = [1] * count
    for column in range(count):
        if continuous[column] and len(factors[column]) > 1:
            scale[column] = GRID
        elif continuous[column] and factors[column]:
            scale[column] = next(iter(factors[column]))
    bounds = variable_bounds(lp, rows)
    whole_rows = []
    for row, terms in enumerate(rows):
        grid = GRID if any(scale[c] == GRID and continuous[c] for c, _ in terms) else 1
        whole = [(c, divided(exact(factor) * grid, scale[c])) for c, factor in terms]
        low, high = (side(value, grid) for value in (lp.row_lower_[row], lp.row_upper_[row]))
        whole_rows.append((whole, low, high))
    objective = [(c, exact(cost)) for c, cost in enumerate(lp.col_cost_) if cost]
    unit_of_objective = math.lcm(*(scale[c] for c, _ in objective)) if objective else 1
    objective = [(c, cost * (unit_of_objective // scale[c])) for c, cost in objective]
    whole_bounds = [(math.ceil(low * s), math.floor(high * s)) for (low, high), s in zip(bounds, scale)]
    for terms, _, _ in whole_rows:
        total = sum(abs(factor) * max(map(abs, whole_bounds[c])) for c, factor in terms)
        if total > SUM_MAX:
            raise SystemExit(f"a row sums up to {total}, beyond 64 bits")
    return {
        "bounds": whole_bounds,
        "rows": whole_rows,
        "objective": objective,
        "unit": unit_of_objective,
    }


def is_integer(lp, column):
    import highspy

    return len(lp.integrality_) > 0 and lp.integrality_[column] == highspy.HighsVarType.kInteger


def exact(number):
    """The integer that a coefficient is; they are all below 2^53."""
    if number != int(number):
        raise SystemExit(f"{number} is not whole")
    return int(number)


def divided(number, by):
    if number % by:
        raise SystemExit(f"{number} is no multiple of {by}")
    return number // by


def side(value, factor):
    return None if math.isinf(value) else exact(value) * factor


def variable_bounds(lp, rows):
    """Finite bounds: those stated, else what the rows imply.

    Where a variable only ever helps (a peak, a workspace: rows `rest - factor * v <= rhs`), no more of it is
    of use than satisfies the row at its worst; where it is limited (`rest + factor * v <= rhs`), no more of
    it is possible than that leaves.
    """
    bounds = [[lp.col_lower_[c], lp.col_upper_[c]] for c in range(lp.num_col_)]
    open_columns = {c for c, (_, high) in enumerate(bounds) if math.isinf(high)}
    limited, useful = {}, {}
    for row, terms in enumerate(rows):
        for column, factor in terms:
            if column not in open_columns:
                continue
            rest = [(c, f) for c, f in terms if c != column]
            rhs = lp.row_upper_[row]
            if factor > 0:
                least = sum(f * (bounds[c][0] if f > 0 else bounds[c][1]) for c, f in rest)
                if math.isfinite(least):
                    most = (rhs - least) / factor
                    limited[column] = min(limited.get(column, math.inf), most)
            else:
                worst = sum(f * (bounds[c][1] if f > 0 else bounds[c][0]) for c, f in rest)
                enough = (worst - rhs) / -factor
                useful[column] = max(useful.get(column, 0.0), enough)
    for column in open_columns:
        high = limited.get(column, useful.get(column, math.inf))
        if math.isinf(high):
            # A peak above a workspace that is itself open: known once the workspace is.
            continue
        bounds[column][1] = max(high, bounds[column][0])
    if any(math.isinf(high) for _, high in bounds):
        if not any(math.isfinite(bounds[c][1]) for c in open_columns):
            raise SystemExit("a variable without bounds")
        closed = [high for _, high in bounds]
        lp.col_upper_ = closed
        return variable_bounds(lp, rows)
    return bounds


WORKERS = {"highs": highs_worker, "cp-sat": cp_sat_worker}


def ask(worker, path, gap, arguments):
    """What another solver says of a file; a crash or a lack of memory is an answer too."""
    if path.stat().st_size > FILE_BYTES_MAX:
        return {"failed": "not built: over 1 GB"}
    job = [worker, str(path), arguments.time_limit, gap, arguments.threads]
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    # Reading is not timed, and the limit is the solver's to keep; this is for one that does not.
    patience = 4 * arguments.time_limit + 600
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return {"failed": f"did not stop at {arguments.time_limit:g} s"}
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["?"]
        return {"failed": f"ended with {done.returncode}: {last[0][:80]}"}
    return json.loads(done.stdout.splitlines()[-1])


# --- The table ----------------------------------------------------------------------------------------

COLUMNS = [
    ("HiGHS, textbook", "highs", "textbook"),
    ("CP-SAT, textbook", "cp-sat", "textbook"),
    ("HiGHS, our program", "highs", "counts"),
]


def claimed(path):
    """Our best in the program's own units: what the file says of itself."""
    with open(path) as file:
        for line in file:
            match line.split():
                case ["\\", "apportion", found, _]:
                    return float(found)
                case ["\\", *_]:
                    continue
                case _:
                    return None
    return None


def shown(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def number(value):
    return "-" if value is None else f"{value:.6g}"


def cell(answer, limit):
    if "failed" in answer:
        return answer["failed"]
    known = f"{number(answer['found'])} / {number(answer['bound'])}"
    if answer["infeasible"]:
        return f"infeasible, {shown(answer['seconds'])}"
    time_needed = shown(answer["seconds"]) if answer["proven"] else f"> {limit:g} s"
    return f"{time_needed} ({known})"


def contradicts(stage, answer, formulation, relaxed):
    """Whether someone proves more than another found."""
    if "failed" in answer:
        return False
    if answer["infeasible"]:
        return True
    room = SLACK * max(1.0, abs(stage["optimum"]))
    too_high = answer["bound"] is not None and answer["bound"] > stage["optimum"] + room
    # What a relaxation finds is not a placement.
    real = answer["found"] is not None and not (formulation == "counts" and relaxed)
    return too_high or (real and stage["bound"] > answer["found"] + room)


def rescaled(answer, unit_of_file):
    for key in ("found", "bound"):
        if answer.get(key) is not None:
            answer[key] /= unit_of_file
    return answer


class Ratios:
    """How many times our time the others took, for the last lines."""

    def __init__(self):
        self.all = {}

    def add(self, gpus, title, stage, ours, answer, limit):
        """`ours` is None where we have not proven the stage: then there is no ratio at the same gap."""
        group = "two GPUs" if gpus == 2 else "three GPUs and more"
        entry = self.all.setdefault((group, title, stage), ([], [], []))
        if "failed" in answer or answer["infeasible"]:
            return
        if ours is None:
            entry[2].append(answer["proven"])
            return
        if answer["proven"]:
            entry[0].append(answer["seconds"] / ours)
        entry[1].append((answer["seconds"] if answer["proven"] else limit) / ours)

    def lines(self):
        head = ["devices", "solver and program", "stage", "finished where we did", "times ours"]
        head += ["with the limit for the rest", "finished where we did not"]
        yield "| " + " | ".join(head) + " |"
        yield "|---" * len(head) + "|"
        for key, (finished, everyone, alone) in sorted(self.all.items()):
            means = [f"{statistics.geometric_mean(r):.3g}" if r else "-" for r in (finished, everyone)]
            counts = f"{len(finished)} of {len(everyone)}"
            yield "| " + " | ".join([*key, counts, *means, f"{sum(alone)} of {len(alone)}"]) + " |"


def rows(instance, arguments, ratios):
    base = instance.arguments()
    whole = run_ours(arguments.apportion, base, 1)
    others = len(instance.gpus) + (instance.cpu is not None) <= arguments.others_up_to
    with tempfile.TemporaryDirectory() as folder:
        files = None
        if others:
            files = write_programs(arguments.apportion, instance, pathlib.Path(folder))
        for index in range(len(whole.objectives)):
            asked = prefix(whole.objectives[: index + 1])
            ours = run_ours(arguments.apportion, [*base, *asked], arguments.runs)
            stage = whole.objectives[index]
            gap = GAP.get(stage["name"], 0.0)
            proven = stage["gap"] <= gap
            cells = [str(instance), stage["name"], shown(ours.seconds) + ("" if proven else ", open")]
            cells += [number(stage["optimum"]), number(stage["bound"]), f"{ours.mebibytes:.0f}"]
            wrong = False
            for title, worker, formulation in COLUMNS:
                if files is None:
                    cells.append("not asked")
                    continue
                path = files[formulation][index]
                claim, unit_of_file = claimed(path), 1.0
                if claim and stage["optimum"]:
                    unit_of_file = claim / stage["optimum"]
                answer = rescaled(ask(worker, path, gap, arguments), unit_of_file)
                relaxed = stage["name"] == "traffic" or any(
                    o["name"] == "traffic" for o in whole.objectives[:index]
                )
                wrong |= contradicts(stage, answer, formulation, relaxed)
                seconds = ours.seconds if proven else None
                limit = arguments.time_limit
                ratios.add(len(instance.gpus), title, stage["name"], seconds, answer, limit)
                cells.append(cell(answer, arguments.time_limit))
            yield "| " + " | ".join([*cells, "**CONTRADICTION**" if wrong else "yes"]) + " |", wrong


def machine(arguments):
    highs, ortools = map(importlib.metadata.version, ("highspy", "ortools"))
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        processor = names[0] if names else processor
    except OSError:
        pass
    version = subprocess.run([arguments.apportion, "--version"], capture_output=True, text=True)
    load = f", load {os.getloadavg()[0]:.2f} when the run began" if hasattr(os, "getloadavg") else ""
    threads = f"{arguments.threads} thread{'s' if arguments.threads > 1 else ''}"
    return (
        f"{os.cpu_count()} cores, {processor}, {platform.system()}{load}; {version.stdout.strip()} on one"
        f" thread; HiGHS {highs} and CP-SAT {ortools} on {threads} each;"
        f" limit {arguments.time_limit:g} s a program; gap 1e-3 for a peak, 0 otherwise"
    )


def table(arguments):
    chosen = [i for i in instances() if any(part in str(i) for part in arguments.only)]
    if not chosen:
        raise SystemExit(f"no instance contains any of {arguments.only}; --list prints them")
    print(machine(arguments) + "\n")
    titles = [title for title, _, _ in COLUMNS]
    head = ["instance", "stage", "ours", "value", "bound", "MiB", *titles, "agree"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|", flush=True)
    ratios, wrong = Ratios(), False
    for instance in chosen:
        for line, contradiction in rows(instance, arguments, ratios):
            wrong |= contradiction
            print(line, flush=True)
    print("\nGeometric means of their time over ours, where we prove the stage:\n")
    print("\n".join(ratios.lines()))
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--apportion", default="target/release/apportion", help="the program")
    parser.add_argument("--only", nargs="*", default=[""], help="instances whose name contains one of these")
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds a program")
    parser.add_argument("--threads", type=int, default=1, help="of the others, each")
    parser.add_argument("--runs", type=int, default=5, help="of ours; the median counts")
    parser.add_argument("--others-up-to", type=int, default=16, help="devices; beyond, only ours runs")
    parser.add_argument("--list", action="store_true", help="print the instances and stop")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker, path, time_limit, gap, threads = json.loads(arguments.worker)
        print(json.dumps(WORKERS[worker](path, time_limit, gap, threads)))
        return 0
    if arguments.list:
        print("\n".join(map(str, instances())))
        return 0
    return 1 if table(arguments) else 0


if __name__ == "__main__":
    sys.exit(main())
