#!/usr/bin/env python3
"""The walk-through of src/documentation/cluster.md on one machine: a plan for two nodes runs on two RPC servers.

  python rpc.py --llama BIN_DIR --apportion PROGRAM --work DIR [--port N]

Solves cluster.yaml for the tiny Mixtral of tests/data, exports flags, starts two ggml-rpc-servers on the loopback
interface and lets llama-completion generate with exactly these flags. For three maps (layers divided; matrices away
from their layer and on the host; a layer of experts away) it must be so that

- the engine's log has for every device the buffers of weights and of cache that were planned, to a hundredth of a MiB,
- `buffer type overridden` is logged for exactly the tensors that the map has away from their layers,
- the text is that of a run of the same file without RPC.

Standard library only (and the gguf package, which referee.py imports); the exit status is 1 if something is not so.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

from referee import listening

MIB = 1 << 20
HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "data" / "oracle" / "tiny-mixtral-gguf" / "tk-Q8_0.gguf"
PROMPT = ["-p", "hello", "-n", "24", "--temp", "0", "-no-cnv", "-t", "1"]
USE = ["-c", "512", "-fa", "on", "--no-repack"]
MAPS = {
    "layers divided": ["layers.1.attention=gpu1", "layers.1.experts.*=gpu1", "output_head=gpu1"],
    "matrices apart": [
        "layers.0.experts.down=gpu1", "layers.1.attention=gpu1", "layers.1.experts.gate=gpu0", "layers.1.experts.up=cpu",
    ],
    "experts away": ["layers.*.attention=gpu0", "layers.1.experts.*=gpu1", "output_head=gpu1"],
}


def run(words, **keywords):
    # A model of random weights writes bytes that are no text.
    words = [str(word) for word in words]
    done = subprocess.run(words, capture_output=True, encoding="latin-1", timeout=300, **keywords)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, words))}\n{done.stdout[-500:]}{done.stderr[-2000:]}")
    return done


def text(stdout):
    """What was generated: log lines begin with a time."""
    lines = [line for line in stdout.split("\n") if not re.match(r"\d+\.\d+\.\d+\.\d+ ", line)]
    return "\n".join(lines).strip()


def longest(words, environment):
    """The program may exit before its log thread has printed all of the text: of several runs the longest."""
    runs = [run(words, env=environment) for _ in range(6)]
    return max((text(done.stdout) for done in runs), key=len), runs[0]


def buffers(log, what):
    """MiB by buffer type, of `model` or `KV`."""
    found = re.findall(rf"(\S+) +{what} buffer size = +([\d.]+) MiB", log)
    return {name: float(size) for name, size in found}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", required=True)
    parser.add_argument("--apportion", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--port", type=int, default=50352)
    arguments = parser.parse_args()
    folder, work = pathlib.Path(arguments.llama).resolve(), pathlib.Path(arguments.work).resolve()
    apportion = pathlib.Path(arguments.apportion).resolve()
    work.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, LD_LIBRARY_PATH=str(folder))
    engine = folder / "llama-completion"
    version = run([engine, "--version"], env=environment)
    print(next(line for line in (version.stdout + version.stderr).splitlines() if "version" in line))
    alone, _ = longest([engine, "-m", MODEL, "-dev", "none", "--fit", "off", *PROMPT, *USE], environment)
    ports = [arguments.port, arguments.port + 1]
    wrong = []
    for name, pins in MAPS.items():
        placement = work / "cluster-placement.yaml"
        question = [MODEL, "--hardware", HERE / "cluster.yaml", "--runtime", "llama.cpp", "--context", "512"]
        question += ["--granularity", "fused-matrix", *(word for pin in pins for word in ("--pin", pin))]
        plan = json.loads(run([apportion, "solve", *question, "-o", placement, "--json"]).stdout)
        servers = [word for n, port in enumerate(ports) for word in ("--rpc", f"gpu{n}=127.0.0.1:{port}")]
        line = run([apportion, "export", placement, "--to", "llama.cpp", "--model", MODEL, *servers]).stdout
        print(f"{name}: {line.strip()}")
        running = []
        for port in ports:
            words = [folder / "ggml-rpc-server", "-H", "127.0.0.1", "-p", str(port), "-t", "1"]
            quiet = subprocess.DEVNULL
            running.append(subprocess.Popen(words, env=environment, stdout=quiet, stderr=quiet))
        try:
            for port in ports:
                listening(port)
            # Without mapping the file, what is on the host is a buffer of its own size too.
            words = [engine, "-m", MODEL, *shlex.split(line), "-lm", "none", "-lv", "5", *PROMPT]
            generated, done = longest(words, environment)
        finally:
            for server in running:
                server.terminate()
            for server in running:
                server.wait()
        log = done.stdout + done.stderr
        wrong += [f"{name}: {one}" for one in differences(plan, log, ports)]
        if generated != alone:
            wrong.append(f"{name}: the text is {generated!r}, without RPC {alone!r}")
        print(f"  {buffers(log, 'model')}\n  {buffers(log, 'KV')}\n  text {'equal' if generated == alone else 'not equal'}")
    for one in wrong:
        print(one)
    print(f"{len(MAPS)} maps, {len(wrong)} differences")
    sys.exit(bool(wrong))


def differences(plan, log, ports):
    names = {f"gpu{n}": f"RPC0[127.0.0.1:{port}]" for n, port in enumerate(ports)} | {"cpu": "CPU"}
    model, cache = buffers(log, "model"), buffers(log, "KV")
    for device in plan["devices"]:
        buffer = names[device["id"]]
        for what, planned, found in (("weights", "weights_bytes", model), ("cache", "kv_cache_bytes", cache)):
            expected = device[planned] / MIB
            if abs(found.get(buffer, 0.0) - expected) > 0.006:
                yield f"{buffer}: {what} planned {expected:.2f} MiB, logged {found.get(buffer, 0.0)}"
    logged = dict(re.findall(r"tensor (\S+) \(.*\) buffer type overridden to (\S+)", log))
    homes = plan["placement"]
    away = {}
    for name, device in homes.items():
        part = re.match(r"layers\.(\d+)\.experts\.(\w+)", name)
        if part and homes[f"layers.{part[1]}.attention"] != device:
            away[f"blk.{part[1]}.ffn_{part[2]}_exps.weight"] = names[device]
    # Final norm and head follow the last layer unless overridden.
    last = homes["layers.1.attention"]
    for name, tensor in (("output_head", "output.weight"), ("final_norm", "output_norm.weight")):
        if homes[name] not in (last, fresh(homes)):
            away[tensor] = names[homes[name]]
    if logged != away:
        yield f"overridden {logged}, planned {away}"


def fresh(homes):
    """The head's device, where no layer is: the output is a run of its own there."""
    layers = {device for name, device in homes.items() if name.endswith(".attention")}
    return homes["output_head"] if homes["output_head"] not in layers else None


if __name__ == "__main__":
    main()
