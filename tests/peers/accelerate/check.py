#!/usr/bin/env python3
"""What accelerate and transformers say of exported device maps. See ../README.md.

  python tests/peers/accelerate/check.py target/debug/apportion

Run once with transformers 4.57 and once with 5.x; the layout follows the version. No GPU is needed: where a map is
really loaded, GPU 0 becomes "cpu" and GPU 1 "disk", here and not in the export, so that two different places stay
two different places. Exit status 0 when everything held.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import accelerate
import torch
import transformers
import yaml
from accelerate.utils.modeling import check_device_map
from safetensors.torch import load_file

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

APPORTION = str(pathlib.Path(sys.argv[1]).resolve())
ROOT = pathlib.Path(__file__).resolve().parents[3]
TINY = ROOT / "tests/data/oracle/tiny-mixtral"
MAJOR = int(transformers.__version__.split(".")[0])
LAYOUT = f"v{MAJOR}"
# Two GPUs that hold 60 % of the weights at 16 bit, and a CPU: every kind of place is used.
CATALOGUE = yaml.safe_load((ROOT / "models/catalogue.yaml").read_text())["models"]
FULL = [
    "mixtral-8x7b", "qwen3-30b-a3b", "olmoe-1b-7b-0924", "gpt-oss-20b", "deepseek-v2-lite", "phi-3.5-moe",
    "dbrx-base", "jamba-v0.1", "granite-3.0-1b-a400m", "qwen1.5-moe-a2.7b", "glm-4.5-air", "ernie-4.5-21b-a3b",
    "llama-3.2-1b", "gemma-2-9b", "gemma-3-1b", "phi-4-mini", "mistral-nemo-12b", "qwen2.5-0.5b", "qwen3-8b",
    "llama-4-scout",
]
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


def exported(folder, *question):
    """A map as `solve` and `export` give it, and the Python form executed."""
    granularity = "expert" if MAJOR == 4 else "experts"
    question = [*question, "--time-limit", "20"]
    apportion("solve", *question, "--granularity", granularity, "-o", "p.yaml", cwd=folder)
    # Families whose experts are fused in transformers 4 too are refused at the granularity of experts.
    export = ["export", "p.yaml", "--to", "accelerate", "--layout", LAYOUT, "-o", "map.json"]
    try:
        apportion(*export, cwd=folder)
    except RuntimeError:
        apportion("solve", *question, "--granularity", "experts", "-o", "p.yaml", cwd=folder)
        apportion(*export, cwd=folder)
    device_map = json.loads((folder / "map.json").read_text())
    snippet = apportion("export", "p.yaml", "--to", "accelerate", "--layout", LAYOUT, "--snippet", cwd=folder)
    names = {}
    exec(compile(snippet, "snippet", "exec"), names)
    assert names["device_map"] == device_map, "the two forms differ"
    limits = json.loads((folder / "map.max_memory.json").read_text())
    assert {str(key): value for key, value in names["max_memory"].items()} == limits
    return device_map, names


def owners(name, device_map):
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return [prefix for prefix in prefixes if prefix in device_map]


def covers(model, device_map):
    """Every tensor, buffers that are not saved too, has exactly one owner, and every key is a module of the model."""
    owned = {name: owners(name, device_map) for name in {*model.state_dict(), *dict(model.named_buffers())}}
    bad = [name for name, keys in owned.items() if len(keys) != 1]
    idle = set(device_map).difference(dict(model.named_modules()), dict(model.named_parameters()))
    return bad, sorted(idle)


def full_size(name, folder):
    entry = CATALOGUE[name]
    # How positions are scaled has no weights, and what the catalogue keeps of it is not enough to make a model.
    keys = {key: value for key, value in entry["config"].items() if key not in ("rope_factors", "rope_scaling")}
    if "attn_config" in keys:
        keys["attn_config"] = {"rope_theta": 500000, **keys["attn_config"]}
    config = transformers.AutoConfig.for_model(entry["family"], **keys)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    held = sum(p.numel() * 2 for p in model.parameters()) + (1 << 30)
    # The smallest models are mostly embedding, which the first GPU holds.
    embedding = max(parameter.numel() * 2 for parameter in model.parameters())
    sizes = [f"{held * share // 1000 + embedding}B" for share in (250, 350, 700)]
    device_map, names = exported(
        folder, name, "--quant", "bf16", "--gpu", sizes[0], "--gpu", sizes[1], "--cpu", sizes[2], "--context", "512",
    )
    try:
        check_device_map(model, device_map)
        verdict = "check_device_map passes"
        ok = True
    except Exception as error:  # noqa: BLE001, whatever it says is the finding
        verdict, ok = f"check_device_map: {type(error).__name__}: {str(error)[:120]}", False
    bad, idle = covers(model, device_map)
    places = sorted({str(place) for place in device_map.values()})
    said(
        ok and not bad and not idle,
        f"{name}: {verdict}; {len(device_map)} keys on {', '.join(places)}, {len(names.get('away', []))} away from "
        f"their attention; not owned once: {bad[:3]}; no module: {idle[:3]}",
    )


def tiny(folder):
    """Loaded by transformers' own loader, with the logits of the reference."""
    # Half of the experts of every layer on the other GPU; or all of them in half of the layers.
    divided = [f"layers.*.experts.{e}" for e in range(4, 8)] if MAJOR == 4 else ["layers.1.experts.*", "layers.3.experts.*"]
    pins = [word for glob in divided for word in ("--pin", f"{glob}=gpu1")]
    question = [str(TINY), "--quant", "bf16", "--context", "64", "--gpu", "2MiB", "--gpu", "2MiB"]
    question += ["--free-default-pins", "--pin", "layers.*.attention=gpu0", *pins]
    device_map, names = exported(folder, *question)
    there = {0: "cpu", 1: "disk"}
    dtype = {"dtype" if MAJOR >= 5 else "torch_dtype": torch.float32}
    with tempfile.TemporaryDirectory() as offload:
        model = transformers.MixtralForCausalLM.from_pretrained(
            TINY, device_map={key: there[place] for key, place in device_map.items()}, offload_folder=offload, **dtype
        ).eval()
        reference = load_file(TINY / "reference.safetensors")
        worst = 0.0
        prompts = sorted(key.split(".")[0] for key in reference if key.endswith(".ids"))
        if names.get("away"):
            names["return_outputs"](model)
        for prompt in prompts:
            with torch.no_grad():
                logits = model(reference[f"{prompt}.ids"][None]).logits[0]
            worst = max(worst, float((logits - reference[f"{prompt}.logits"]).abs().max()))
        off = sum(parameter.device.type == "meta" for parameter in model.parameters())
    split = len(names.get("away", []))
    said(
        worst < 1e-4 and 0 < off and split > 0,
        f"tiny-mixtral: {len(device_map)} keys, {split} away from their attention, {off} tensors offloaded; "
        f"largest difference of a logit over {len(prompts)} prompts {worst:.1e}",
    )


def main():
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, accelerate {accelerate.__version__}")
    print(f"layout {LAYOUT}; {apportion('--version', cwd='.').strip()}")
    with tempfile.TemporaryDirectory() as folder:
        tiny(pathlib.Path(folder))
        for name in FULL:
            try:
                full_size(name, pathlib.Path(folder))
            except Exception as error:  # noqa: BLE001, one model must not hide the others
                said(False, f"{name}: {type(error).__name__}: {str(error)[:300]}")
    print(f"{failures} failures")
    sys.exit(failures > 0)


main()
