#!/bin/sh
# generate.sh CARGO_DEBUG_FOLDER OUTPUT_FOLDER: Kotlin from the compiled library (unstripped: the descriptions that the
# generator reads live in its symbols).
set -eu
debug=$1
out=$2
here=$(dirname "$0")
for file in libfieldbook.so fieldbook-bindgen; do
  [ -e "$debug/$file" ] || { echo "$debug/$file is missing: run make kotlin, which builds it" >&2; exit 1; }
done
rm -rf "$out"
mkdir -p "$out"
"$debug/fieldbook-bindgen" generate -l kotlin --no-format --config "$here/../uniffi.toml" -o "$out" "$debug/libfieldbook.so"
if grep -rnE '^import (android|androidx)\.' "$out"; then
  echo "the generated file must run on a plain JVM: leave 'android' unset in uniffi.toml" >&2
  exit 1
fi
