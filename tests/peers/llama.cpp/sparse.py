"""A GGUF file of a published model's names, shapes and metadata whose tensor data is a hole: a few MB on disk.

llama.cpp maps files without reading them, so its estimator and its quantizer's dry run work on such a file. Names,
shapes and metadata are those of tests/data/oracle (converters of llama.cpp); types of quantized files are those that
`llama-quantize --dry-run` gives. Needs the PyPI package gguf.
"""

import itertools
import json
import os
import pathlib
import re
import subprocess

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, GGUFWriter

ORACLE = pathlib.Path(__file__).resolve().parents[2] / "data" / "oracle"
# Numbers that are floats in files even where they have no fraction.
FLOATS = ("rope.scaling.factor", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow")
ROW = re.compile(
    r"\[\s*\d+/\s*\d+\]\s+(\S+)\s+- \[[^\]]*\], type =\s*(\w+), size =\s*[\d.]+ MiB(?: ->\s*[\d.]+ MiB \((\w+)\))?"
)


def tensors(model):
    """Name and shape (outermost first) of every tensor, layer by layer."""

    def numbers(text):
        for part in text.split(","):
            first, _, last = part.partition("-")
            yield from range(int(first), int(last or first) + 1)

    for template, ranges, shape in json.loads((ORACLE / f"{model}.gguf.json").read_text())["tensors"]:
        for values in itertools.product(*map(numbers, ranges)):
            yield template.format(*values), shape


def source_type(model, name, shape):
    """The type in a file of 16-bit floats: vectors, routers and biases in 32 bit, experts of gpt-oss as published."""
    if len(shape) == 1 or not name.endswith(".weight") or "ffn_gate_inp" in name:
        return "f32"
    if model.startswith("gpt-oss") and "_exps" in name:
        return "mxfp4"
    return "f16"


def write(model, types, path):
    """Writes the file; `types` has the type of every tensor by name."""
    metadata = json.loads((ORACLE / "gguf-metadata.json").read_text())[model]["metadata"]
    architecture = metadata["general.architecture"]
    writer = GGUFWriter(str(path), architecture)
    for key, value in metadata.items():
        if key == "general.architecture" or key.endswith("vocab_size"):
            continue
        if key.endswith(FLOATS):
            writer.add_float32(key, float(value))
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_key_value(key, value, GGUFValueType.ARRAY)
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32(f"{architecture}.attention.layer_norm_epsilon", 1e-5)
    if architecture == "gpt-oss":
        # The recorded metadata leaves out numbers with a fraction.
        writer.add_float32("gpt-oss.rope.scaling.factor", 32.0)
    shapes = dict(tensors(model))
    writer.add_string("tokenizer.ggml.model", "none")
    writer.add_uint32(f"{architecture}.vocab_size", shapes["token_embd.weight"][0])
    total = 0
    for name, shape in shapes.items():
        kind = GGMLQuantizationType[types[name].upper()]
        block, size = GGML_QUANT_SIZES[kind]
        assert shape[-1] % block == 0, (name, shape, kind)
        elements = int(np.prod(shape))
        raw = tuple(shape) if block == 1 else (*shape[:-1], shape[-1] // block * size)
        dtype = {"f32": "float32", "f16": "float16"}.get(types[name], "uint8")
        bytes_ = elements // block * size
        writer.add_tensor_info(name, raw, np.dtype(dtype), bytes_, raw_dtype=kind)
        total += (bytes_ + 31) // 32 * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.fout[0].seek(0, 2)
    start = (writer.fout[0].tell() + 31) // 32 * 32
    writer.close()
    os.truncate(path, start + total)


def make(model, level, folder, quantize):
    """The file of the model at that level (`f16`, `q8_0`, `q4_k_m`), made if it is not there."""
    path = pathlib.Path(folder) / f"{model}-{level}.gguf"
    if path.exists():
        return path
    plain = {name: source_type(model, name, shape) for name, shape in tensors(model)}
    if level == "f16":
        write(model, plain, path)
        return path
    source = make(model, "f16", folder, quantize)
    run = subprocess.run([quantize, "--dry-run", source, level.upper()], capture_output=True, text=True)
    types = {name: to or kind for name, kind, to in ROW.findall(run.stdout + run.stderr)}
    missing = plain.keys() - types.keys()
    assert not missing, (model, level, sorted(missing)[:3], run.stderr[-500:])
    write(model, types, path)
    return path
