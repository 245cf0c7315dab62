#!/usr/bin/env bash
# The first command of the README; what the demo model writes must be what transformers writes with it
# (Tests/Fixtures/demo).
set -euo pipefail
cd "$(dirname "$0")/.."
set -x
text=$(swift run -c release apus run --model Models/demo --prompt "In the beginning" --num-tokens 48)
set +x
printf '%s\n' "$text"
expected=" of the reign of Jehoiakim the son of Josiah king of Judah came up against Jerusalem"
case "$text" in
  "$expected"*) ;;
  *) echo "smoke: expected the text to begin with '$expected'" && exit 1 ;;
esac

# The examples, a package of their own, check what they show; the scratch path shares the build of the library.
swift build -c release --package-path Examples --scratch-path .build
for example in CustomPlugin AttentionPluginDemo GenerationDemo; do
  ".build/release/$example"
done

# The benchmarks: figures that must be as recorded, and that the kernels can be measured.
swift build -c release --package-path Benchmarks --scratch-path .build
.build/release/Exact
.build/release/Kernels --filter "k 896, rows 1" --seconds 0.01
