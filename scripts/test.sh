#!/usr/bin/env bash
# The test command of the README; what failed is told once more at the end, since the output is long.
set -euo pipefail
cd "$(dirname "$0")/.."
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
set -x
if ! swift test "$@" 2>&1 | tee "$log"; then
    { set +x; } 2>/dev/null
    echo "test.sh: these failed:"
    grep -E "✘|error:|Fatal error|unexpected signal" "$log" || tail -20 "$log"
    exit 1
fi
