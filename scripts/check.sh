#!/usr/bin/env bash
# Everything that must hold before a commit: format, lint, build, tests. --fast leaves out slow tests and the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/format.sh --check
scripts/lint.sh
if [ "${1:-}" = "--fast" ]; then
  scripts/test.sh --fast
else
  scripts/test.sh
  scripts/smoke.sh
fi
