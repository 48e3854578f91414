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
new=$out.new
rm -rf "$new"
mkdir -p "$new" "$out"
"$debug/fieldbook-bindgen" generate -l kotlin --no-format --config "$here/../uniffi.toml" -o "$new" "$debug/libfieldbook.so"
if grep -rnE '^import (android|androidx)\.' "$new"; then
  echo "the generated file must run on a plain JVM: leave 'android' unset in uniffi.toml" >&2
  exit 1
fi
# What did not change keeps its date, so that it is not compiled again.
if diff -rq "$new" "$out" >/dev/null; then rm -rf "$new"; else rm -rf "$out" && mv "$new" "$out"; fi
