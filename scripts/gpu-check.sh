#!/usr/bin/env bash
# What only a GPU can show: the parity matrix of all backends and caches, quantised checkpoints and exported programs among
# its models, the case lists of ops and plugins, and compute-sanitizer over short runs. Needs a statically linked apus (and
# GPUCheck) and no Swift:
#
#   swift build -c release --static-swift-stdlib --product apus
#   swift build -c release --static-swift-stdlib --product GPUCheck
#   scripts/gpu-check.sh PATH/TO/apus [PATH/TO/GPUCheck]
#
# JOBS processes share the GPU (default: one for each processor); LOGS is a folder that keeps what each printed.
set -euo pipefail
cd "$(dirname "$0")/.."
apus=${1:?path of a statically linked apus}
check=${2:-}
jobs=${JOBS:-$(nproc)}
logs=${LOGS:-$(mktemp -d)}
mkdir -p "$logs"
"$apus" doctor

names=()
# Runs a command beside others: start NAME COMMAND...
start() {
    local name=$1
    shift
    names+=("$name")
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
    (
        status=0
        "$@" > "$logs/$name.log" 2>&1 || status=$?
        echo $status > "$logs/$name.status"
    ) &
}

if [ -n "$check" ]; then
    for ((part = 0; part < jobs; part++)); do start "cases-$part" "$check" --part "$part/$jobs"; done
fi
for folder in Tests/Fixtures/*/ Tests/Fixtures/quantised/*/; do
    # Folders whose tokens are known; what is not supported has tests that tell so.
    if [ ! -f "$folder/cases.json" ] || [ ! -f "$folder/config.json" ]; then continue; fi
    if [[ "$folder" == *yarn* || "$folder" == *sliding* ]]; then continue; fi
    name=$(basename "$folder")
    if [[ "$folder" == *quantised* ]]; then
        start "matrix-$name" "$apus" matrix --device cuda --backend sdpa,iattention,plugin --model "$folder"
        continue
    fi
    for precision in FP32 FP16 BF16; do
        start "matrix-$precision-$name" "$apus" matrix --device cuda --backend sdpa,iattention,plugin \
            --precision $precision --model "$folder"
    done
done
for program in Tests/Fixtures/programs/*/*.pt2; do
    # Programs of a static cache have room for few tokens only.
    if [ ! -f "$(dirname "$program")/cases.json" ] || [[ "$program" == *-static-* ]]; then continue; fi
    name=$(basename "$(dirname "$program")")-$(basename "$program" .pt2)
    start "matrix-program-$name" "$apus" matrix --device cuda --backend sdpa,iattention,plugin --model "$program"
done
if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck; do
        start "$tool" compute-sanitizer --tool $tool --error-exitcode 1 \
            "$apus" run --model Models/demo --device cuda --precision FP16 --prompt "In the beginning" --num-tokens 4
    done
else
    echo "compute-sanitizer is not there: its checks are left out"
fi
wait

failed=0
for name in "${names[@]}"; do
    if [ "$(cat "$logs/$name.status" 2> /dev/null)" != 0 ]; then
        failed=$((failed + 1))
        echo "== $name"
        grep -v "^ok " "$logs/$name.log" | tail -40
    fi
done
grep -h "a tie, " "$logs"/matrix-*.log || true
count() { { grep -hoE "$1" "$logs"/$2 || true; } | awk "$3"; }
echo "cells that agree: $(count "✓" "matrix-*.log" 'END {print NR}'), that differ: $(count "✗" "matrix-*.log" 'END {print NR}')"
if [ -n "$check" ]; then
    echo "cases that pass: $(count "[0-9]+ passed" "cases-*.log" '{n += $1} END {print n + 0}')"
fi
echo "$((${#names[@]} - failed)) of ${#names[@]} runs passed; what each printed is in $logs"
[ $failed = 0 ]
