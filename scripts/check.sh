#!/usr/bin/env bash
# Everything that must hold before a commit: format, lint, build, tests. --fast leaves out the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/format.sh --check
scripts/lint.sh
scripts/test.sh
if [ "${1:-}" != "--fast" ]; then scripts/smoke.sh; fi
