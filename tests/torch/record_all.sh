#!/bin/sh
# Record every scenario of record.py on the fake device, with and without
# expandable segments.   record_all.sh PYTHON OUTPUT-FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=$1
out=$2
mkdir -p "$out"
python3 "$here/record.py" --list | while IFS="$(printf '\t')" read -r name total _; do
    for kind in segments expandable; do
        option=
        [ $kind = expandable ] && option=--expandable
        LD_PRELOAD="$here/libfakecuda.so" LD_LIBRARY_PATH="$here" FAKE_CUDA_TOTAL_BYTES="$total" \
            "$python" "$here/record.py" "$name" $option -o "$out/$name.$kind.jsonl" 2>"$out/errors" ||
            { cat "$out/errors" >&2; exit 1; }
    done
done
rm -f "$out/errors"
