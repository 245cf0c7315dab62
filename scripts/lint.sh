#!/usr/bin/env bash
# Import arrows, file sizes, banned calls and words. Prints every finding and fails if there is one.
set -uo pipefail
cd "$(dirname "$0")/.."
failures=0
report() { printf '%s\n' "$1"; failures=$((failures + 1)); }

# 1. A target imports only what scripts/imports.txt allows.
while IFS=: read -r target allowed; do
  case "$target" in '' | '#'*) continue ;; esac
  [ -d "Sources/$target" ] || { report "scripts/imports.txt names Sources/$target, which is not there"; continue; }
  while IFS=: read -r file line text; do
    module=$(printf '%s' "$text" | sed -E 's/^.*import +(struct |class |enum |func |protocol )?([A-Za-z]+).*$/\2/')
    case "$module" in Apus* | CApus*) ;; *) continue ;; esac
    case " $allowed " in *" $module "*) ;; *) report "$file:$line: $target may not import $module" ;; esac
  done < <(grep -rnE '^ *(@[A-Za-z_]+ +)*((public|package|internal|private|fileprivate) +)?import ' "Sources/$target" --include='*.swift')
done < scripts/imports.txt
for folder in Sources/*/; do
  grep -q "^$(basename "$folder"):" scripts/imports.txt || report "$folder is not in scripts/imports.txt"
done

# The sources of all kernels are carried as they are.
scripts/embed-kernels.sh --check > /dev/null 2>&1 || report "Sources/CApusCUDA/kernels.c: run scripts/embed-kernels.sh"

# 2. Files stay small enough to hold in the head; tables of Unicode or intrinsics may be listed here.
while read -r lines file; do
  [ "$file" = total ] && continue
  if [ "$lines" -gt 500 ]; then report "$file: $lines lines, at most 500"; fi
done < <(git ls-files 'Sources/*.swift' 'Sources/*.c' 'Sources/*.h' 'Tests/*.swift' 'Benchmarks/*.swift' 'Tools/*.py' | xargs wc -l)

# 3. Nothing in a library may end the process or write to the terminal.
while IFS= read -r hit; do report "$hit (banned in libraries)"; done < <(
  git ls-files 'Sources/*.swift' | grep -v '^Sources/ApusCommand/' |
    xargs grep -nE '\bfatalError\(|\btry!|\bas! |^ *print\(' /dev/null)

# 4. No paths of one machine, no unfinished work.
while IFS= read -r hit; do report "$hit (does not belong here)"; done < <(
  git ls-files | grep -vE '^(LICENSE|scripts/lint.sh)$' | xargs grep -nIE '/home/|/Users/|\bTODO\b|\bFIXME\b|\bXXX\b' /dev/null |
    grep -vE '^(Tests/.*/Fixtures|Models|Tests/Fixtures)/')

# 5. Links between documents lead somewhere.
for document in $(git ls-files '*.md'); do
  for link in $(grep -oE '\]\([^)#: ]+' "$document" | sed 's/^](//'); do
    [ -e "$(dirname "$document")/$link" ] || report "$document: dead link $link"
  done
done

if [ "$failures" -gt 0 ]; then echo "lint: $failures finding(s)"; exit 1; fi
echo "lint: nothing found"
