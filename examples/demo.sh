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

preset=demo
"$bin/weldcache" weights add efficientnet-lite0 || {
    preset=demo-random
    folder=$folder-random
    printf '\n*** EfficientNet-Lite0 cannot be had (no network?). The demo goes on with RANDOM backbones in %s:\n' "$folder"
    printf '*** it shows that everything works, and its figures say nothing of trained ones. Try again later.\n'
}
step synth synth "$folder" --size small --preset "$preset"
cd "$folder"
step extract extract --config match
step match train --config match --run match --overwrite
step eval eval match
step film train --run causal_film --overwrite
step eval eval causal_film
step compare compare match causal_film

printf '\nWhere the time went:\n%s' "$times"
