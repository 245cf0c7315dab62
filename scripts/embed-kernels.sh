#!/usr/bin/env bash
# Writes Sources/CApusCUDA/kernels.c, which carries the text of every kernel source. With --check it only compares.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
out=Sources/CApusCUDA/kernels.c
new=$(mktemp)
trap 'rm -f "$new"' EXIT
{
    echo '// The sources of the kernels, as text: NVRTC compiles them when an engine is built.'
    echo '// Written by scripts/embed-kernels.sh from the files of Sources/ApusCUDA/Kernels.'
    echo
    echo '#include "apus_cuda.h"'
    echo
    echo '#pragma clang diagnostic ignored "-Wc23-extensions"'
    for file in Sources/ApusCUDA/Kernels/*.cu Sources/ApusCUDA/Kernels/*.cuh; do
        [ -e "$file" ] || continue
        name=$(basename "$file")
        printf '\nstatic const char %s[] = {\n#embed "../ApusCUDA/Kernels/%s"\n    , 0};\n' "${name//./_}" "$name"
    done
    printf '\nstatic const apus_kernel_source sources[] = {\n'
    for file in Sources/ApusCUDA/Kernels/*.cu Sources/ApusCUDA/Kernels/*.cuh; do
        [ -e "$file" ] || continue
        name=$(basename "$file")
        printf '    {"%s", %s},\n' "$name" "${name//./_}"
    done
    printf '};\n\napus_kernel_source apus_kernel_source_at(int index) {\n'
    printf '    int count = sizeof sources / sizeof sources[0];\n'
    printf '    apus_kernel_source none = {0, 0};\n    return index >= 0 && index < count ? sources[index] : none;\n}\n'
} > "$new"
if [ "${1:-}" = "--check" ]; then
    if ! cmp -s "$new" "$out"; then
        echo "$out: expected what scripts/embed-kernels.sh writes; run it" >&2
        exit 1
    fi
else
    cp "$new" "$out"
fi
