#!/bin/sh
# The whole of weldcache on synthetic welds, on the CPU: `make demo` runs this as `examples/demo.sh BIN FOLDER`.
# Run again, it goes on where it was interrupted; features and welds that exist are not made twice.
set -eu
bin=$(cd "$1" && pwd)
folder=$2
times=""

# Run one step, keep the seconds it took.
step() {
    title=$1
    shift
    printf '\n$ weldcache %s\n' "$*"
    started=$(date +%s)
    "$bin/weldcache" "$@"
    times="$times$(printf '%-8s %4d s' "$title" $(($(date +%s) - started)))
"
}

step synth synth "$folder" --size small
cd "$folder"
step extract extract
step train train
step eval eval

printf '\nWhere the time went:\n%s' "$times"
