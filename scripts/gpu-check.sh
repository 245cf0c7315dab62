#!/usr/bin/env bash
# What only a GPU can show: the parity matrix of all backends and caches on it, the case lists of ops and plugins, and
# compute-sanitizer over short runs. Needs a statically linked apus (and GPUCheck) and no Swift:
#
#   swift build -c release --static-swift-stdlib --product apus
#   scripts/gpu-check.sh PATH/TO/apus [PATH/TO/GPUCheck]
set -euo pipefail
cd "$(dirname "$0")/.."
apus=${1:?path of a statically linked apus}
check=${2:-}
"$apus" doctor
failed=0
run() {
    echo "== $*"
    "$@" || failed=1
}
fixtures=""
for folder in Tests/Fixtures/*/; do
    # Folders whose tokens are known; what is not supported has tests that tell so.
    if [ -f "$folder/cases.json" ] && [ -f "$folder/config.json" ] && [[ "$folder" != *yarn* && "$folder" != *sliding* ]]; then
        fixtures="$fixtures --model $folder"
    fi
done
for precision in FP32 FP16 BF16; do
    run "$apus" matrix --device cuda --backend sdpa,iattention,plugin --precision $precision $fixtures
done
if [ -n "$check" ]; then run "$check"; fi
if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck; do
        run compute-sanitizer --tool $tool --error-exitcode 1 \
            "$apus" run --model Models/demo --device cuda --precision FP16 --prompt "In the beginning" --max-new-tokens 4
    done
else
    echo "compute-sanitizer is not there: its checks are left out"
fi
exit $failed
