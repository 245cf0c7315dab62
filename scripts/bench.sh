#!/usr/bin/env bash
# Benchmarks published shapes with random weights: scripts/bench.sh [more flags of apus bench].
set -euo pipefail
cd "$(dirname "$0")/.."
swift build -c release --product apus
for config in Benchmarks/configs/*.json; do
  echo "## $(basename "$config" .json)"
  .build/release/apus bench --config "$config" --random-weights --precision FP16 \
    --isl 512 --osl 33 --depth 0,2048 --iterations 3 --warmup 1 "$@"
done
