#!/usr/bin/env bash
# The test command of the README; what failed is told once more at the end, since the output is long. --fast, for use while
# changing something, leaves out what takes long: compiling kernels, whole models on all backends, random damage.
set -euo pipefail
cd "$(dirname "$0")/.."
slow='KernelCompilationTests|theKernelCompiles|ParityTests|BackendTests|EndToEndTests|ThreadCountTests|EngineFileTests'
slow+='|Damaged|Fuzz|RefitTests|PassCheckerTests|random.*Crash|ActivationScalingTests|ApusPassesTests\.ProgramTests|CApusCPUTests\.AttentionTests'
if [ "${1:-}" = "--fast" ]; then set -- --skip "$slow" "${@:2}"; fi
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
set -x
if ! swift test "$@" 2>&1 | tee "$log"; then
    { set +x; } 2>/dev/null
    echo "test.sh: these failed:"
    grep -E "✘|error:|Fatal error|unexpected signal" "$log" || tail -20 "$log"
    exit 1
fi
