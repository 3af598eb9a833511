#!/usr/bin/env python3
"""llama.cpp's own estimator as referee of exported flags, and its own --fit as the one to beat.

  python referee.py --llama BIN_DIR --apportion PROGRAM --work DIR [--only WORD] [-o RESULTS.json]

BIN_DIR has llama-fit-params, llama-quantize and ggml-rpc-server (GGML_RPC=ON). Each GPU is an RPC server on
loopback whose CPU device reports a chosen memory (fakemem.c). For every model, machine and quantization:

1. `apportion solve` at the granularity of matrices, with a headroom of 1024 MiB on every GPU, which is the margin that
   --fit keeps; where the answer cannot be told to llama.cpp, again as the refusal says; where something is on the
   host, again with what llama.cpp measures of compute buffers in place of our bound.
2. `apportion export --to llama.cpp`, and `llama-fit-params --fit off --fit-print on` with these flags: MiB of weights and
   of cache on every device must be those planned; compute buffers are compared with what was planned for them.
3. `llama-fit-params` with --fit on the same devices, and --fit-print on what it chose: by its own report our plan must be
   no worse in (MiB on the host, fullest GPU), in that order.

A table goes to stdout, with a line for everything that is not so; the exit status is 1 then.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import time

import sparse

MIB = 1 << 20
MARGIN = 1024
MODELS = ["mixtral-8x7b", "qwen3-30b-a3b", "llama-3.1-8b", "deepseek-v2-lite", "phi-3.5-moe"]
# Sizes of GPUs in MiB; every machine has a host of 256 GiB.
MACHINES = {
    "16+16": [16384, 16384],
    "24+12+8": [24576, 12288, 8192],
    "12": [12288],
    "4x24": [24576] * 4,
}
LEVELS = {"q4_k_m": "q4_k_m", "q8_0": "q8_0", "f16": "gguf-f16"}
# The fake devices are memory of a CPU: no driver, no matrix library, no padded rows.
PROFILE = """version: 1
based_on: llama.cpp
rules:
  driver_context_bytes: {value: 0, source: "a server without a GPU"}
  blas_workspace_bytes: {value: 0, source: "a server without a GPU"}
  rounding: {value: none, source: "buffers of a CPU"}
"""


def listening(port):
    """Waits until a server accepts connections."""
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"no server on port {port}")


def wish(words, wishes):
    """Adds options, in the place of those that can be there once."""
    option = wishes[0]
    if option in ("--objective", "--granularity") and option in words:
        words[words.index(option) + 1] = wishes[1]
        words += wishes[2:]
    else:
        words += wishes


class Referee:
    def __init__(self, arguments):
        self.port = arguments.port
        self.bin = pathlib.Path(arguments.llama).resolve()
        self.apportion = str(pathlib.Path(arguments.apportion).resolve())
        self.work = pathlib.Path(arguments.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.preload = self.work / "fakemem.so"
        source = pathlib.Path(__file__).with_name("fakemem.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.preload, source, "-ldl"], check=True)
        self.environment = dict(os.environ, LD_LIBRARY_PATH=str(self.bin))

    def servers(self, sizes):
        def start(number, mib):
            environment = dict(self.environment, LD_PRELOAD=str(self.preload), FAKE_MEM_MIB=str(mib))
            words = [self.bin / "ggml-rpc-server", "-H", "127.0.0.1", "-p", str(self.port + number), "-t", "1"]
            return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        running = [start(number, mib) for number, mib in enumerate(sizes)]
        for number in range(len(sizes)):
            listening(self.port + number)
        return running

    def fit_params(self, file, words):
        words = [str(self.bin / "llama-fit-params"), "-m", str(file), *words]
        run = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=600)
        lines = [line for line in run.stdout.splitlines() if not re.match(r"\d+\.\d+\.\d+\.\d+ ", line)]
        if run.returncode != 0 or not lines:
            raise RuntimeError(f"{shlex.join(words)}\n{run.stdout[-400:]}{run.stderr[-800:]}")
        return lines

    def report(self, file, words):
        """MiB of weights, cache and compute buffers per device, by its own report; the host last."""
        lines = self.fit_params(file, [*words, "--fit-print", "on"])
        rows = [line.split() for line in lines if re.match(r"(RPC\d+|Host) \d+ \d+ \d+", line)]
        return {row[0]: [int(number) for number in row[1:4]] for row in rows}

    def run(self, *words):
        return subprocess.run([self.apportion, *map(str, words)], capture_output=True, text=True)

    def ours(self, model, quant, sizes, margins, copies=True):
        """The plan, its flags, and what was wished for beside the question so that they could be said."""
        placement = self.work / f"placement-{self.port}.yaml"
        profile = self.work / f"server-{self.port}.yaml"
        profile.write_text(PROFILE + ("" if copies else "  graph_copies: 1\n"))
        question = [model, "--quant", quant, "--runtime", "llama.cpp", "--runtime-profile", profile]
        for mib in sizes:
            question += ["--gpu", f"{mib}MiB"]
        question += ["--cpu", "256GiB", "--granularity", "fused-matrix", "--node-limit", "4000"]
        question += [word for n, mib in enumerate(margins) for word in ("--headroom", f"gpu{n}={mib}MiB")]
        servers = [word for n in range(len(sizes)) for word in ("--rpc", f"gpu{n}=127.0.0.1:{self.port + n}")]
        wishes = []
        for _ in range(8):
            solved = self.run("solve", *question, *wishes, "-o", placement, "--json")
            if solved.returncode != 0:
                raise RuntimeError(f"solve {wishes}: {solved.stdout[:300]}{solved.stderr[:300]}")
            exported = self.run("export", placement, "--to", "llama.cpp", *servers, "--json")
            answer = json.loads(exported.stdout) if exported.stdout else {}
            if exported.returncode == 0:
                argv = next(b["text"] for b in answer["beside"] if b["suffix"] == "argv.json")
                return json.loads(solved.stdout), json.loads(argv), wishes
            if not answer.get("wishes"):
                raise RuntimeError(exported.stderr)
            wish(question if answer["wishes"][0] in question else wishes, answer["wishes"])
        raise RuntimeError(f"cannot be said: {answer['component']} on {answer['device']}: {answer['reason']}")

    def best(self, model, quant, sizes, file, fit):
        """Our plan and what llama.cpp reports of it, with margins as --fit measures them."""
        # With overrides llama.cpp does not work on several batches at once, and keeps inputs once.
        copies, margins = len(sizes) > 1 and "-ot" not in fit, [MARGIN] * len(sizes)
        found = self.ours(model, quant, sizes, margins, copies)
        if len(sizes) > 1 and not copies and "-ot" not in found[1]:
            copies = True
            found = self.ours(model, quant, sizes, margins, copies)
        report = self.report(file, found[1])
        for _ in range(2):
            # What a plan reserves for compute buffers is a bound; --fit measures them. What the bound has to spare
            # on each device is taken from its margin, as long as the plan keeps that by llama.cpp's own report.
            spare = [int(plan[2] // MIB) - used[2] for plan, used in zip(planned(found[0]), full(found[1], report, sizes))]
            less = [max(0, MARGIN - max(0, mib)) for mib in spare[: len(sizes)]]
            if less == margins or "-ot" not in fit:
                break
            margins = less
            other = self.ours(model, quant, sizes, margins, copies)
            measured = self.report(file, other[1])
            if not keeps(full(other[1], measured, sizes), sizes):
                break
            found, report = other, measured
        return found, report, margins

    def theirs(self, file, sizes):
        endpoints = ",".join(f"127.0.0.1:{self.port + n}" for n in range(len(sizes)))
        use = ["--rpc", endpoints, "-c", "4096", "-np", "1", "-fa", "on", "--no-repack"]
        flags = shlex.split(self.fit_params(file, use)[-1])
        return self.report(file, [*use, *flags, "--fit", "off"]), flags

    def case(self, model, level, name):
        sizes = MACHINES[name]
        file = sparse.make(model, level, self.work, self.bin / "llama-quantize")
        running = self.servers(sizes)
        try:
            theirs, fit = self.theirs(file, sizes)
            (plan, argv, wishes), ours, margins = self.best(model, LEVELS[level], sizes, file, fit)
        finally:
            for server in running:
                server.terminate()
            for server in running:
                server.wait()
        return dict(
            model=model, level=level, machine=name, gpus_mib=sizes, margins_mib=margins, wishes=wishes,
            status=plan["status"], planned=planned(plan),
            flags=argv, reported=full(argv, ours, sizes), fit_flags=fit, fit_reported=list(theirs.values()),
        )


def planned(plan):
    """Bytes of weights, of cache, and for compute buffers (workspace and copies of inputs) per device."""

    def of(device):
        compute = device["workspace_bytes"] + device["reserve_bytes"]
        return [device["weights_bytes"], device["kv_cache_bytes"], compute if device["used_bytes"] else 0]

    return [of(device) for device in plan["devices"]]


def full(argv, report, sizes):
    """The report in the order of the plan: llama.cpp lists the devices of -dev, and so none that hold nothing."""
    names = argv[argv.index("-dev") + 1]
    order = [] if names == "none" else [int(name.removeprefix("RPC")) for name in names.split(",")]
    *gpus, host = report.values()
    held = dict(zip(order, gpus))
    return [held.get(number, [0, 0, 0]) for number in range(len(sizes))] + [host]


def keeps(report, sizes):
    """Whether every GPU has its margin left."""
    return all(sum(used) + MARGIN <= size for used, size in zip(report, sizes))


def score(report, sizes):
    """MiB on the host, and the fullest GPU as a share."""
    *gpus, host = report
    return host[0] + host[1], max(sum(used) / size for used, size in zip(gpus, sizes))


def judge(case):
    """What is not as promised."""
    wrong, sizes = [], case["gpus_mib"]
    for number, (plan, report) in enumerate(zip(case["planned"], case["reported"])):
        who = "host" if number == len(sizes) else f"gpu{number}"
        for what, index in (("weights", 0), ("cache", 1)):
            if plan[index] // MIB != report[index]:
                wrong.append(f"{who}: {what} planned {plan[index] / MIB:.2f} MiB, reported {report[index]}")
        if report[2] > plan[2] / MIB:
            wrong.append(f"{who}: compute planned {plan[2] / MIB:.0f} MiB, reported {report[2]}")
    if not keeps(case["reported"], sizes):
        wrong.append("a GPU has less than its margin left")
    ours, fit = score(case["reported"], sizes), score(case["fit_reported"], sizes)
    if ours > fit:
        wrong.append(f"worse than --fit: {ours[0]} MiB on the host, peak {ours[1]:.4f}; fit {fit[0]}, {fit[1]:.4f}")
    return ours, fit, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", required=True)
    parser.add_argument("--apportion", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--port", type=int, default=50252, help="the first of as many as there are GPUs")
    parser.add_argument("--only", default="", help="cases whose name has this word")
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    referee = Referee(arguments)
    results, failed = [], 0
    print(f"{'case':38} {'host MiB':>15} {'peak':>15}  wishes and what is not so")
    for model in MODELS:
        for level in LEVELS:
            for machine in MACHINES:
                name = f"{model} {level} {machine}"
                if arguments.only not in name:
                    continue
                try:
                    case = referee.case(model, level, machine)
                except RuntimeError as error:
                    failed += 1
                    print(f"{name:38} {error}", flush=True)
                    continue
                results.append(case)
                ours, fit, wrong = judge(case)
                failed += bool(wrong)
                line = f"{name:38} {ours[0]:7} {fit[0]:7} {ours[1]:7.4f} {fit[1]:7.4f}"
                print(line, shlex.join(case["wishes"]), "" if not wrong else "; ".join(wrong), flush=True)
    if arguments.output:
        text = ",\n".join(json.dumps(case, separators=(",", ":")) for case in results)
        pathlib.Path(arguments.output).write_text(f"[\n{text}\n]\n")
    print(f"{len(results)} cases, {failed} with something that is not so")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
