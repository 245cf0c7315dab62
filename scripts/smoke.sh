#!/usr/bin/env bash
# The first command of the README, in the release build, with its text checked against the demo model's fixture.
set -euo pipefail
cd "$(dirname "$0")/.."
set -x
swift build -c release --product apus
.build/release/apus run --model Models/demo --prompt "In the beginning" --num-tokens 48
