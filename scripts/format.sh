#!/usr/bin/env bash
# Formats all Swift sources in place; --check only reports what it would change.
set -euo pipefail
cd "$(dirname "$0")/.."
paths=(Package.swift Sources Tests Examples Benchmarks GPUChecks)
if [ "${1:-}" = "--check" ]; then
  swift format lint --strict --parallel --recursive "${paths[@]}"
else
  swift format --in-place --parallel --recursive "${paths[@]}"
fi
