#!/usr/bin/env bash
# Apus beside llama.cpp on the same shapes, in turn: scripts/compare-llama-cpp.sh FOLDER [flags] [configs]
#
# FOLDER holds llama-bench and llama-quantize, built for this machine from llama.cpp's source:
#   cmake -B build -DGGML_NATIVE=ON -DCMAKE_BUILD_TYPE=Release && cmake --build build --target llama-bench llama-quantize
# Without configs, all shapes in Benchmarks/configs are compared. Flags are those of Tools/compare_llama_cpp.py.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
if [ $# -lt 1 ] || [ ! -x "$1/llama-bench" ] || [ ! -x "$1/llama-quantize" ]; then
  echo "usage: $0 FOLDER [flags] [configs]: expected llama-bench and llama-quantize in '${1:-}'" >&2
  exit 2
fi
python3 -c 'import gguf, numpy' 2>/dev/null ||
  { echo "$0: python3 needs gguf and numpy: python3 -m pip install gguf numpy" >&2; exit 2; }
llama="$1"
shift
flags=() configs=()
for argument in "$@"; do
  case "$argument" in *.json) configs+=("$argument") ;; *) flags+=("$argument") ;; esac
done
[ ${#configs[@]} -gt 0 ] || configs=("$root"/Benchmarks/configs/{qwen2.5-0.5b,llama-3.2-1b}.json)
case " ${flags[*]-} " in
  *" --apus "*) ;;
  *)
    swift build -c release --package-path "$root" --product apus
    flags+=(--apus "$root/.build/release/apus")
    ;;
esac
exec python3 "$root/Tools/compare_llama_cpp.py" "$llama" "${configs[@]}" "${flags[@]}"
