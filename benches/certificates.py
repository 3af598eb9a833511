"""Certificates of every instance: what they prove, their size, and how long it takes to check them.

    cargo build --release
    python3 benches/certificates.py [--only mixtral]

Each instance is solved with `--certificate`, and `check` verifies placement and certificate again, from the
files alone. A certificate that is not confirmed makes the exit status 1.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from versus import instances, number, shown

HEAD = ["instance", "solved and certified", "MiB", "stage", "value", "gap", "proof", "size", "checked in"]


def timed(command):
    """The answer of a command, its seconds and the most memory it had in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in KiB, macOS in bytes.
    mebibytes = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return process.returncode, json.loads(text or "{}"), seconds, mebibytes


def rows(instance, binary, folder):
    """One line per stage, and whether `check` confirmed all of it."""
    placement, certificate = folder / "placement.yaml", folder / "certificate.yaml"
    command = [binary, "solve", *instance.arguments(), "-o", str(placement)]
    status, answer, solved, mebibytes = timed([*command, "--certificate", str(certificate), "--json"])
    if status != 0:
        raise SystemExit(f"{instance}: solve ended with {status}")
    check = [binary, "check", str(placement), "--certificate", str(certificate), "--json"]
    status, _, checked, _ = timed(check)
    proofs = re.findall(r"^ *-? *proof: (\w+)$", certificate.read_text(), re.MULTILINE)
    for index, (stage, proof) in enumerate(zip(answer["objectives"], proofs, strict=True)):
        first = index == 0
        cells = [str(instance), shown(solved), f"{mebibytes:.0f}"] if first else ["", "", ""]
        cells += [stage["name"], number(stage["optimum"]), f"{stage['gap']:.1e}", proof]
        size = certificate.stat().st_size
        cells += [f"{size} B", shown(checked)] if first else ["", ""]
        yield "| " + " | ".join(cells) + " |", status == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--apportion", default="target/release/apportion", help="the program")
    parser.add_argument("--only", nargs="*", default=[""], help="instances whose name contains one of these")
    arguments = parser.parse_args()
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|", flush=True)
    confirmed = True
    for instance in instances():
        if not any(part in str(instance) for part in arguments.only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for line, passed in rows(instance, arguments.apportion, pathlib.Path(folder)):
                print(line, flush=True)
                confirmed &= passed
    return 0 if confirmed else 1


if __name__ == "__main__":
    sys.exit(main())
