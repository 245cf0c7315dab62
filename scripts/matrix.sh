#!/usr/bin/env bash
# The correctness table of the README: five families as checkpoints and as exported programs, every backend and cache,
# against the greedy tokens of transformers. Fails if a cell differs.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=Tests/Fixtures/programs
swift build -c release --product apus >&2
.build/release/apus matrix \
  --model $programs/gpt2 --model $programs/gpt2/raw-sdpa-tf5.23.0.pt2 \
  --model $programs/llama2 --model $programs/llama2/core-sdpa-tf5.23.0.pt2 \
  --model $programs/llama --model $programs/llama/trt-sdpa-tf5.23.0.pt2 \
  --model $programs/qwen2 --model $programs/qwen2/core-sdpa-tf4.52.4.pt2 \
  --model $programs/qwen3 --model $programs/qwen3/raw-eager-tf4.52.4.pt2 "$@"
