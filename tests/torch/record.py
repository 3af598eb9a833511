#!/usr/bin/env python3
"""Record what PyTorch's CUDA caching allocator does with a list of requests.

    record.py SCENARIO [-o FILE] [--expandable] [--total-bytes N]
    record.py SCRIPT.jsonl ...     replay a script, or an older trace
    record.py --list               scenarios, and the memory each is meant for

Runs on a real GPU, or without one under fake_cuda.c. It only allocates and
frees; no kernel runs. The same requests give the same trace wherever the
allocator gets the same answers from the device.

A script has one request a line, {"alloc": ID, "bytes": N} or {"free": ID};
IDs are the script's own. A trace is a script too: a request that failed in it
is asked for again. Frees of what was not allocated this time are left out.

The trace has one JSON object a line:
    {"apportion_trace":1,"source":"torch X on DEVICE","expandable_segments":false,"total_bytes":N}
    {"alloc":ID,"bytes":N,"reserved":R,"allocated":A}   IDs count from 0
    {"free":ID,"reserved":R,"allocated":A}
    {"fail":N,"reserved":R,"allocated":A}               refused: out of memory
    {"end":EVENTS,"peak_reserved":R,"peak_allocated":A}
bytes is what was asked for. reserved and allocated are the allocator's own
reserved_bytes.all.current and allocated_bytes.all.current after the event (the
second counts whole blocks, not what was asked for). total_bytes is what the device had free
before the first request: with --total-bytes the rest is taken away first, by
one cudaMalloc beside the allocator.
"""

import argparse
import ctypes
import json
import os
import random
import sys

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class Requests:
    """What a scenario is written against: it hides who answers."""

    def __init__(self, allocate, release):
        self._allocate, self._release = allocate, release

    def alloc(self, size):
        """An ID, or None when the allocator refused."""
        return self._allocate(size)

    def free(self, *ids):
        for one in ids:
            if one is not None:
                self._release(one)


# --- loading a quantized mixture of experts ---------------------------------


def quantize(requests, numbers, double, keep):
    """bitsandbytes' quantize_4bit of one 16-bit matrix on the device.

    Answers whether every allocation succeeded; what was allocated before a
    refusal is freed, as it would be when the exception unwinds.
    """
    blocks = -(-numbers // 64)
    held, temporary = [], []

    def need(size, into):
        one = requests.alloc(size)
        if one is None:
            requests.free(*reversed(temporary), *reversed(held))
            return False
        into.append(one)
        return True

    steps = [(2 * numbers, temporary), (4 * blocks, temporary if double else held)]
    steps += [((numbers + 1) // 2, held), (64, held)]
    if double:
        nested = -(-blocks // 256)
        steps += [(4, held), (4 * blocks, temporary)]
        steps += [(4 * nested, held), (blocks, held), (1024, held)]
    for size, into in steps:
        if not need(size, into):
            return False
    requests.free(*reversed(temporary))
    keep.extend(held)
    return True


MIXTRAL_ATTENTION = [4096 * 4096, 1024 * 4096, 1024 * 4096, 4096 * 4096]
MIXTRAL_EXPERT = 14336 * 4096
MIXTRAL_EMBEDDING = 32000 * 4096


def mixtral_layer(requests, double, keep):
    matrices = MIXTRAL_ATTENTION + [8 * 4096] + [MIXTRAL_EXPERT] * 24
    for numbers in matrices:
        if not quantize(requests, numbers, double, keep):
            return False
    for _ in range(2):
        keep.append(requests.alloc(2 * 4096))
        if keep[-1] is None:
            return False
    return True


def bnb_layer(requests):
    """Three layers of Mixtral 8x7B, NF4 with double quantization."""
    keep = [requests.alloc(2 * MIXTRAL_EMBEDDING)]
    keep.append(requests.alloc(1024))  # the code map that stays on the device
    for _ in range(3):
        mixtral_layer(requests, True, keep)


def until_full(requests, double):
    keep = [requests.alloc(2 * MIXTRAL_EMBEDDING), requests.alloc(1024)]
    while mixtral_layer(requests, double, keep):
        pass
    # What still fits once a matrix was refused.
    for numbers in [MIXTRAL_EXPERT, 4096 * 4096, 1024 * 4096, 8 * 4096]:
        for _ in range(8):
            if not quantize(requests, numbers, double, keep):
                break
    # Give back every other thing, then load again.
    requests.free(*keep[2::2])
    del keep[2::2]
    for numbers in [MIXTRAL_EXPERT] * 3 + [4096 * 4096] * 3:
        quantize(requests, numbers, double, keep)


def bnb_full(requests):
    """NF4 layers of Mixtral 8x7B until the device is full, and then some."""
    until_full(requests, False)


def bnb_full_dq(requests):
    """The same with double quantization, on a smaller device."""
    until_full(requests, True)


def bnb_warm_up(requests):
    """One allocation of all the parameters' bytes, freed before the load."""
    layer = (sum(MIXTRAL_ATTENTION) + 8 * 4096 + 24 * MIXTRAL_EXPERT) // 2 + 2 * 2 * 4096
    requests.free(requests.alloc(2 * layer + 2 * MIXTRAL_EMBEDDING))
    keep = [requests.alloc(2 * MIXTRAL_EMBEDDING), requests.alloc(1024)]
    for _ in range(2):
        mixtral_layer(requests, True, keep)
    requests.free(*keep)


def bnb_largest(requests):
    """Two layers' matrices, the largest first, then what is not quantized."""
    keep = []
    matrices = 2 * (MIXTRAL_ATTENTION + [8 * 4096] + [MIXTRAL_EXPERT] * 24)
    for numbers in sorted(matrices, reverse=True):
        quantize(requests, numbers, True, keep)
    keep += [requests.alloc(2 * MIXTRAL_EMBEDDING) for _ in range(2)]
    keep += [requests.alloc(2 * 4096) for _ in range(5)]


def bnb_int8(requests):
    """Four layers in 8 bits: one byte a number and one 32-bit scale a row."""
    keep = [requests.alloc(2 * MIXTRAL_EMBEDDING)]
    rows = [4096, 1024, 1024, 4096, 8] + [14336, 4096, 14336] * 8
    for _ in range(4):
        for matrix, numbers in zip(rows, MIXTRAL_ATTENTION + [8 * 4096] + [MIXTRAL_EXPERT] * 24):
            staged = requests.alloc(2 * numbers)
            keep += [requests.alloc(4 * matrix), requests.alloc(numbers)]
            requests.free(staged)
        keep += [requests.alloc(2 * 4096), requests.alloc(2 * 4096)]


def plain_16bit(requests):
    """16-bit layers of Mixtral 8x7B copied to the device until it is full."""
    keep = [requests.alloc(2 * MIXTRAL_EMBEDDING)]
    for _ in range(32):
        for numbers in MIXTRAL_ATTENTION + [8 * 4096] + [MIXTRAL_EXPERT] * 24 + [4096, 4096]:
            keep.append(requests.alloc(2 * numbers))
            if keep[-1] is None:
                for rest in [32 * MIB, 8 * MIB, 64 * KIB, 8 * KIB]:
                    keep += [requests.alloc(rest) for _ in range(6)]
                return


def forward(requests):
    """Two layers' passes: a prompt of 512 tokens, then single tokens.

    Each matrix is expanded to 16 bits for its product while there are many
    tokens. The keys and values grow by concatenation.
    """
    weights = []
    for _ in range(2):
        mixtral_layer(requests, True, weights)
    workspace = requests.alloc(8519680)
    cache = {}

    def product(numbers, rows, tokens):
        expanded = requests.alloc(2 * numbers) if tokens > 1 else None
        result = requests.alloc(2 * rows * tokens)
        requests.free(expanded)
        return result

    past = 0
    for tokens in [512] + [1] * 8:
        past += tokens
        hidden = requests.alloc(2 * 4096 * tokens)
        for layer in range(2):
            normed = requests.alloc(2 * 4096 * tokens)
            query = product(4096 * 4096, 4096, tokens)
            pair = [product(1024 * 4096, 1024, tokens) for _ in "kv"]
            for i, new in enumerate(pair):
                longer = requests.alloc(2 * 1024 * past)
                requests.free(cache.get((layer, i)), new)
                cache[layer, i] = longer
            scores = requests.alloc(2 * 32 * tokens * past)
            mixed = requests.alloc(2 * 4096 * tokens)
            requests.free(scores, query, normed)
            projected = product(4096 * 4096, 4096, tokens)
            requests.free(mixed)
            total = requests.alloc(2 * 4096 * tokens)
            requests.free(projected, hidden)
            hidden = total
            output = requests.alloc(2 * 4096 * tokens)
            for expert in range(8 if tokens > 1 else 2):
                part = max(1, tokens // 4 + 3 * expert - 10)
                gathered = requests.alloc(2 * 4096 * part)
                gate = product(MIXTRAL_EXPERT, 14336, part)
                up = product(MIXTRAL_EXPERT, 14336, part)
                both = requests.alloc(2 * 14336 * part)
                requests.free(gate, up)
                down = product(MIXTRAL_EXPERT, 4096, part)
                requests.free(both, gathered, down)
            total = requests.alloc(2 * 4096 * tokens)
            requests.free(hidden, output)
            hidden = total
        logits = requests.alloc(4 * 32000 * tokens)
        requests.free(hidden, logits)
    requests.free(workspace, *cache.values())
    requests.free(*weights)


# --- a cache that grows ------------------------------------------------------


def grow_by_cat(requests, layers, prompt, steps, stride, per_token):
    cache = [[requests.alloc(prompt * per_token) for _ in "kv"] for _ in range(layers)]
    tokens = prompt
    for _ in range(steps):
        tokens += stride
        for layer in cache:
            new = [requests.alloc(stride * per_token) for _ in "kv"]
            for i in range(2):
                longer = requests.alloc(tokens * per_token)
                requests.free(layer[i])
                layer[i] = longer
            requests.free(*new)
    for layer in cache:
        requests.free(*layer)


def kv_cat(requests):
    """Keys and values of 4 layers, 2048 bytes a token, across 1 MiB each."""
    grow_by_cat(requests, 4, 480, 64, 1, 2048)


def kv_cat_long(requests):
    """The same across 10 MiB each, many tokens at a time."""
    grow_by_cat(requests, 6, 4000, 40, 37, 2048)


def kv_cat_large(requests):
    """A cache whose tensors pass from 8 to 24 MiB."""
    grow_by_cat(requests, 4, 2048, 60, 64, 4096)


# --- boundaries ---------------------------------------------------------------

EDGES = [1, 511, 512, 513, 1023, 1024, 1025, 4096, 64 * KIB, 512 * KIB]
EDGES += [MIB - 1025, MIB - 513, MIB - 512, MIB - 511, MIB - 1]
EDGES += [MIB, MIB + 1, MIB + 511, MIB + 512, MIB + 513]
EDGES += [2 * MIB - 512, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 3 * MIB]
EDGES += [9 * MIB, 10 * MIB - 513, 10 * MIB - 512, 10 * MIB - 511, 10 * MIB - 1]
EDGES += [10 * MIB, 10 * MIB + 1, 10 * MIB + 512, 11 * MIB, 12 * MIB - 1, 12 * MIB + 1]
EDGES += [18 * MIB, 19 * MIB - 512, 19 * MIB, 19 * MIB + 512, 20 * MIB - 1, 20 * MIB]
EDGES += [20 * MIB + 1, 21 * MIB, 22 * MIB - 1, 38 * MIB, 40 * MIB, 40 * MIB + 1]
EDGES += [100 * MIB - 1, 100 * MIB, 112 * MIB, 200 * MIB - 1, 200 * MIB, 200 * MIB + 1]
EDGES += [256 * MIB, 330 * MIB + 12345]


def boundaries(requests):
    """Each size alone; all of them, freed in order; all, freed in reverse; then
    three of each, with a third freed and the sizes plus 512 asked for."""
    for size in EDGES:
        requests.free(requests.alloc(size))
    kept = [requests.alloc(size) for size in EDGES]
    requests.free(*kept)
    kept = [requests.alloc(size) for size in reversed(EDGES)]
    requests.free(*reversed(kept))
    kept = [requests.alloc(size) for size in EDGES for _ in range(3)]
    requests.free(*kept[::3])
    kept += [requests.alloc(size + 512) for size in EDGES]
    requests.free(*kept[1::3])


def fresh(requests):
    """Every size from the largest down, with nothing cached and nothing freed;
    then the larger ones again, from the smallest up."""
    kept = [requests.alloc(size) for size in reversed(EDGES)]
    again = [requests.alloc(size) for size in EDGES if size >= 9 * MIB]
    requests.free(*kept)
    requests.free(*reversed(again))


def remainders(requests):
    """Blocks that exceed a request by a little less or more than a split needs."""
    for hole in [512, 1024, 4096, 512 * KIB, MIB]:
        for less in [0, 512, 1024, 1536]:
            if less >= hole:
                continue
            first = requests.alloc(hole)
            wall = requests.alloc(512)
            requests.free(first)
            again = requests.alloc(hole - less)
            rest = requests.alloc(512)
            requests.free(wall, again, rest)
    for hole in [3 * MIB, 5 * MIB, 9 * MIB + 512, 12 * MIB, 30 * MIB, 64 * MIB]:
        for less in [0, 512, MIB - 512, MIB, MIB + 512, 2 * MIB]:
            size = hole - less
            if size <= MIB:
                continue
            first = requests.alloc(hole)
            wall = requests.alloc(2 * MIB)
            requests.free(first)
            again = requests.alloc(size)
            rest = requests.alloc(MIB + 512)
            requests.free(wall, again, rest)


def ties(requests):
    """Free blocks of one size in several segments: which one is taken shows
    when its neighbours are freed and have to make room for something larger."""
    for unit, count in [(256 * KIB, 8), (4 * MIB, 5), (5 * MIB, 4)]:
        blocks = [requests.alloc(unit) for _ in range(4 * count)]
        for order in [(0, 3), (3, 0), (1, 2), (2, 1)]:
            holes = [count * segment + 1 for segment in order]
            for hole in holes:
                requests.free(blocks[hole])
            for hole in reversed(holes):
                blocks[hole] = requests.alloc(unit - 512)
            for hole in holes:
                requests.free(blocks[hole], blocks[hole + 1])
            for hole in holes:
                blocks[hole] = requests.alloc(2 * unit)
                blocks[hole + 1] = None
            for hole in holes:
                requests.free(blocks[hole])
                blocks[hole] = requests.alloc(unit)
                blocks[hole + 1] = requests.alloc(unit)
        requests.free(*blocks[::2])
        requests.free(*blocks[1::2])


# --- random requests ----------------------------------------------------------


def churn(requests, size, events, live, seed, upkeep=0.5):
    """Random allocations and frees around a number of live blocks."""
    rng = random.Random(seed)
    blocks = []
    for _ in range(events):
        pressure = len(blocks) / live
        if not blocks or rng.random() > upkeep * pressure:
            one = requests.alloc(size(rng))
            if one is not None:
                blocks.append(one)
            elif blocks:
                requests.free(blocks.pop(rng.randrange(len(blocks))))
        else:
            at = rng.choice([rng.randrange(len(blocks)), len(blocks) - 1, 0])
            requests.free(blocks.pop(at))
    rng.shuffle(blocks)
    requests.free(*blocks)


def near(rng, value):
    return max(1, value + rng.choice([-513, -512, -511, -1, 0, 0, 0, 1, 511, 512, 513]))


def small_size(rng):
    kind = rng.random()
    if kind < 0.4:
        return near(rng, rng.choice([1, 512, 1024, 4096, 64 * KIB, 256 * KIB, 512 * KIB]))
    if kind < 0.6:
        return rng.randint(1, 64 * KIB)
    return min(MIB, near(rng, rng.choice([MIB, MIB // 2, MIB // 3, MIB * 3 // 4])))


def large_size(rng):
    kind = rng.random()
    if kind < 0.35:
        return near(rng, rng.choice([10, 10, 12, 18, 19, 20, 22, 38, 40]) * MIB)
    if kind < 0.6:
        return near(rng, 2 * MIB * rng.randint(5, 40))
    if kind < 0.75:
        return near(rng, rng.choice([100, 112, 199, 200, 201, 220]) * MIB)
    return rng.randint(10 * MIB, 64 * MIB)


def mixed_size(rng):
    kind = rng.random()
    if kind < 0.3:
        return small_size(rng)
    if kind < 0.4:
        return near(rng, MIB)
    if kind < 0.55:
        return rng.randint(MIB + 1, 10 * MIB)
    if kind < 0.7:
        return near(rng, rng.choice([2, 4, 5, 6, 8, 9, 10]) * MIB)
    return near(rng, rng.choice(EDGES)) if kind < 0.8 else large_size(rng)


def medium_size(rng):
    if rng.random() < 0.5:
        return near(rng, rng.choice([1, 2, 3, 4, 5, 6, 9, 10]) * MIB)
    return rng.randint(MIB + 1, 10 * MIB - 512)


def random_small(requests):
    """Sizes up to 1 MiB."""
    churn(requests, small_size, 1500, 60, 1)


def random_medium(requests):
    """Sizes above 1 MiB and below 10 MiB, which share segments of 20 MiB."""
    churn(requests, medium_size, 1500, 40, 2)


def random_mixed(requests):
    """All sizes."""
    churn(requests, mixed_size, 1500, 50, 3)


def random_large(requests):
    """Sizes of 10 MiB and more."""
    churn(requests, large_size, 1500, 40, 4)


def pressure(requests):
    """All sizes up to 64 MiB on a device that is always close to full."""
    churn(requests, lambda rng: min(64 * MIB, mixed_size(rng)), 1500, 40, 5, 0.35)


def pressure_small(requests):
    """Many small blocks and some larger ones on a device of 48 MiB."""

    def size(rng):
        return small_size(rng) if rng.random() < 0.85 else rng.randint(MIB, 24 * MIB)

    churn(requests, size, 1500, 90, 6, 0.4)


def pressure_large(requests):
    """Large blocks on a device of 1 GiB."""
    churn(requests, large_size, 1500, 30, 7, 0.35)


def pressure_phases(requests):
    """Fill with one size, free all or half, then ask for another size: what is
    cached has to go back to the device first."""
    rng = random.Random(8)
    units = [200 * KIB, 3 * MIB, 7 * MIB, 15 * MIB, 40 * MIB, MIB, 120 * MIB, 9 * MIB]
    survivors = []
    for turn in range(16):
        unit = units[(turn * 3 + turn // 8) % len(units)]
        blocks = []
        for _ in range(70):
            one = requests.alloc(near(rng, unit))
            if one is None:
                break
            blocks.append(one)
        requests.free(*survivors)
        survivors = []
        if turn % 3 == 1:
            survivors = blocks[::4]
            blocks = [one for i, one in enumerate(blocks) if i % 4]
        rng.shuffle(blocks)
        requests.free(*blocks)


def pressure_exact(requests):
    """Requests that take the device to its last byte, and one byte more."""
    for large in [238, 118, 58]:
        first = requests.alloc(large * MIB)
        rest = []
        while (one := requests.alloc(2 * MIB)) is not None and len(rest) < 200:
            rest.append(one)
        requests.free(requests.alloc(512))
        requests.free(first)
        requests.free(requests.alloc(large * MIB + 1))
        requests.free(requests.alloc(large * MIB - 20 * MIB), requests.alloc(20 * MIB))
        requests.free(*rest[::2])
        requests.free(requests.alloc(large * MIB), requests.alloc(12 * MIB))
        requests.free(*rest[1::2])
        requests.free(requests.alloc(254 * MIB))
        requests.free(requests.alloc(256 * MIB))
        requests.free(requests.alloc(256 * MIB + 1))


SCENARIOS = {
    "bnb-layer": (bnb_layer, 24 * GIB),
    # 15.60 GiB less a driver context of 426 MiB
    "bnb-full": (bnb_full, 15_600 * GIB // 1000 - 426 * MIB),
    "bnb-full-dq": (bnb_full_dq, 4 * GIB),
    "bnb-largest": (bnb_largest, 24 * GIB),
    "bnb-int8": (bnb_int8, 24 * GIB),
    "bnb-warm-up": (bnb_warm_up, 24 * GIB),
    "plain-16bit": (plain_16bit, 15_600 * GIB // 1000 - 426 * MIB),
    "forward": (forward, 24 * GIB),
    "kv-cat": (kv_cat, 24 * GIB),
    "kv-cat-long": (kv_cat_long, 24 * GIB),
    "kv-cat-large": (kv_cat_large, 24 * GIB),
    "boundaries": (boundaries, 24 * GIB),
    "fresh": (fresh, 24 * GIB),
    "remainders": (remainders, 24 * GIB),
    "ties": (ties, 24 * GIB),
    "random-small": (random_small, 24 * GIB),
    "random-medium": (random_medium, 24 * GIB),
    "random-mixed": (random_mixed, 24 * GIB),
    "random-large": (random_large, 24 * GIB),
    "pressure": (pressure, 256 * MIB),
    "pressure-small": (pressure_small, 48 * MIB),
    "pressure-large": (pressure_large, 1 * GIB),
    "pressure-phases": (pressure_phases, 300 * MIB),
    "pressure-exact": (pressure_exact, 256 * MIB),
}


def scripted(path):
    with open(path, encoding="utf-8") as lines:
        script = [json.loads(line) for line in lines if line.strip()]

    def scenario(requests):
        ids = {}
        for step in script:
            if "alloc" in step:
                ids[step["alloc"]] = requests.alloc(step["bytes"])
            elif "fail" in step:
                requests.free(requests.alloc(step["fail"]))
            elif "free" in step:
                requests.free(ids.pop(step["free"], None))

    return scenario


# --- recording ------------------------------------------------------------------


def cuda_malloc(size):
    """Take memory from the device beside the allocator, and keep it."""
    for name in (None, "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"):
        try:
            function = ctypes.CDLL(name).cudaMalloc
        except (OSError, AttributeError):
            continue
        pointer = ctypes.c_void_p()
        return function(ctypes.byref(pointer), ctypes.c_size_t(size)) == 0
    return False


def record(scenario, total_bytes, expandable, out):
    import torch

    def figures():
        stats = torch.cuda.memory_stats()
        return {
            "reserved": stats["reserved_bytes.all.current"],
            "allocated": stats["allocated_bytes.all.current"],
        }

    def line(**fields):
        out.write(json.dumps(fields, separators=(",", ":")) + "\n")

    torch.cuda.init()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    if torch.cuda.memory_reserved():
        sys.exit("record.py: the allocator already holds memory")
    free = torch.cuda.mem_get_info()[0]
    if total_bytes is not None:
        if total_bytes > free:
            sys.exit(f"record.py: the device has {free} bytes free, not {total_bytes}")
        if total_bytes < free and not cuda_malloc(free - total_bytes):
            sys.exit("record.py: cannot take the rest of the device away")
        free = torch.cuda.mem_get_info()[0]
    line(
        apportion_trace=1,
        source=f"torch {torch.__version__} on {torch.cuda.get_device_name()}",
        expandable_segments=expandable,
        total_bytes=free,
    )
    pointers = {}
    count = events = 0

    def allocate(size):
        nonlocal count, events
        if size < 1:
            sys.exit("record.py: a request must be for at least one byte")
        events += 1
        try:
            pointer = torch.cuda.caching_allocator_alloc(size)
        except torch.cuda.OutOfMemoryError:
            line(fail=size, **figures())
            return None
        one = count
        pointers[one] = pointer
        count += 1
        line(alloc=one, bytes=size, **figures())
        return one

    def release(one):
        nonlocal events
        events += 1
        torch.cuda.caching_allocator_delete(pointers.pop(one))
        line(free=one, **figures())

    scenario(Requests(allocate, release))
    stats = torch.cuda.memory_stats()
    line(
        end=events,
        peak_reserved=stats["reserved_bytes.all.peak"],
        peak_allocated=stats["allocated_bytes.all.peak"],
    )
    kinds = {segment.get("is_expandable", False) for segment in torch.cuda.memory_snapshot()}
    if kinds - {expandable}:
        sys.exit("record.py: the segments are not of the kind asked for")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("scenario", nargs="?", help="a scenario, or a file of requests")
    parser.add_argument("-o", "--output", help="where to write the trace; default: stdout")
    parser.add_argument("--expandable", action="store_true", help="expandable segments")
    parser.add_argument("--total-bytes", type=int, help="leave the allocator this much")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    options = parser.parse_args()
    if options.list:
        for name, (scenario, total) in SCENARIOS.items():
            print(f"{name}\t{total}\t{' '.join(scenario.__doc__.split())}")
        return
    if not options.scenario:
        parser.error("name a scenario or a file")
    if options.scenario in SCENARIOS:
        scenario = SCENARIOS[options.scenario][0]
    else:
        scenario = scripted(options.scenario)
    setting = f"expandable_segments:{options.expandable}"
    # Later versions prefer the second name, but read the first as well. Other
    # settings would change the trace, so none is kept.
    os.environ["PYTORCH_CUDA_ALLOC_CONF"] = setting
    os.environ.pop("PYTORCH_ALLOC_CONF", None)
    os.environ.pop("PYTORCH_NO_CUDA_MEMORY_CACHING", None)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as out:
            record(scenario, options.total_bytes, options.expandable, out)
    else:
        record(scenario, options.total_bytes, options.expandable, sys.stdout)


if __name__ == "__main__":
    main()
