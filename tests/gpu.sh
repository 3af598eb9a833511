#!/usr/bin/env bash
# Everything that needs a GPU: builds for CUDA, checks, measures, prints a report. Needs nvcc and one NVIDIA GPU;
# `--full` also writes a full-size Mixtral of random weights (27 GB in TMPDIR) and needs 40 GB of GPU memory.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v nvcc >/dev/null || { echo "nvcc is missing: install the CUDA toolkit first" >&2; exit 1; }
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv

echo "== build"
cargo build --release --features cuda
echo "== tests on the GPU"
# One at a time: they measure what the driver says is free.
cargo test --release --features cuda --test it load::gpu -- --test-threads=1 --nocapture
echo "== the tiny Mixtral through its map, two devices on one GPU"
tiny=tests/data/oracle/tiny-mixtral
for command in load "generate --prompt-ids 1,5,17,200,33,91,4,150 --max-tokens 16"; do
    # shellcheck disable=SC2086 # words of a command
    target/release/apportion ${command%% *} "$tiny/placement.yaml" --weights "$tiny" \
        --device gpu0=cuda:0 --device gpu1=cuda:0 $(cut -s -d' ' -f2- <<<"$command")
done
echo "== speed"
if [ "${1:-}" = --full ]; then
    cargo bench --features cuda --bench runtime -- gpu-full
else
    cargo bench --features cuda --bench runtime -- gpu
fi
