#!/usr/bin/env python3
"""What mistral.rs says of exported topologies. See ../README.md.

  python tests/peers/mistralrs/check.py target/debug/apportion

The wheel has no CUDA: a topology on the CPU is loaded and generates; one with GPUs is read and refused for its device
alone, which shows that it was parsed. Exit status 0 when everything held.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version

from mistralrs import Architecture, CompletionRequest, Runner, Which

APPORTION = str(pathlib.Path(sys.argv[1]).resolve())
TINY = pathlib.Path(__file__).resolve().parents[3] / "tests/data/oracle/tiny-mixtral"
DECODER = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
failures = 0


def said(ok, text):
    global failures
    failures += not ok
    print(("ok      " if ok else "FAILED  ") + text, flush=True)


def apportion(*words, cwd):
    run = subprocess.run([APPORTION, *words], cwd=cwd, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{' '.join(words)}: {run.stdout}{run.stderr}")
    return run.stdout


def topology(folder, *question):
    pins = [word for part in ("embedding", "output_head") for word in ("--pin", f"{part}=gpu0")]
    apportion(
        "solve", str(TINY), "--quant", "bf16", "--context", "64", "--granularity", "layer", *pins, *question,
        "-o", "p.yaml", cwd=folder,
    )
    apportion("export", "p.yaml", "--to", "mistral.rs", "-o", "t.yml", cwd=folder)
    return (folder / "t.yml").read_text()


def with_tokenizer(folder):
    """The tiny model with the one file it lacks: a character is a token."""
    model = folder / "model"
    model.mkdir()
    for file in TINY.iterdir():
        if file.suffix in (".safetensors", ".json") and not file.name.startswith("reference"):
            shutil.copy(file, model)
    vocab = {chr(33 + token): token for token in range(256)}
    pieces = {"type": "BPE", "vocab": vocab, "merges": []}
    tokenizer = {"version": "1.0", "added_tokens": [], "decoder": DECODER, "model": pieces}
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": chr(34), "bos_token": chr(33)}))
    return model


def load(model, path):
    return Runner(which=Which.Plain(model_id=str(model), arch=Architecture.Mixtral, topology=str(path)))


def refusal(model, path):
    try:
        load(model, path)
    except BaseException as error:  # noqa: BLE001, a panic of the library is no Exception
        return str(error)
    return ""


def main():
    print(f"mistralrs {version('mistralrs')}; {apportion('--version', cwd='.').strip()}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model = with_tokenizer(folder)
        text = topology(folder, "--gpu", "1100KiB", "--gpu", "1500KiB")
        print(text, end="")
        counts = (folder / "t.num_device_layers.txt").read_text().strip()
        said(counts.startswith('-n "0:') and ";1:" in counts, f"layer counts beside it: {counts}")
        error = refusal(model, folder / "t.yml")
        said("cuda support" in error, f"two GPUs: parsed, then: {error.splitlines()[0][:100] if error else 'loaded'}")
        # What the words for devices are, by the library's own check.
        (folder / "bad.yml").write_text(text.replace("cuda[0]", "gpu0"))
        error = refusal(model, folder / "bad.yml")
        said("cuda" in error and "cpu" in error, f"a device it does not know: {error.splitlines()[0][:160]}")
        # The same file with the CPU for every GPU, so that it runs here.
        cpu = text.replace("cuda[0]", "cpu").replace("cuda[1]", "cpu")
        (folder / "cpu.yml").write_text(cpu)
        runner = load(model, folder / "cpu.yml")
        answer = runner.send_completion_request(
            CompletionRequest(model="default", prompt="ab", max_tokens=4, temperature=0.0)
        )
        tokens = answer.usage.completion_tokens
        said(tokens > 0, f"on the CPU: loads and generates {tokens} tokens")
    print(f"{failures} failures")
    sys.exit(failures > 0)


main()
