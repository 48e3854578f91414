#!/usr/bin/env bash
# How many lines of each module the simulated worlds run through: SEEDS (300) of them, in a build of its own. With files as
# arguments: their lines that no world of the last run went through.
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${SEEDS:-300}
host=$(rustc -vV | sed -n 's/^host: //p')
tools=$(rustc --print sysroot)/lib/rustlib/$host/bin
[[ -x $tools/llvm-cov ]] || rustup component add llvm-tools || { echo 'coverage: llvm-cov is missing' >&2; exit 1; }
export CARGO_TARGET_DIR=$PWD/target/coverage CARGO_PROFILE_DEV_DEBUG=0
simulate=$CARGO_TARGET_DIR/debug/fieldbook-simulate
profile=$CARGO_TARGET_DIR/worlds.profdata

if [[ $# -gt 0 ]]; then
    for file in "$@"; do
        "$tools/llvm-cov" show "$simulate" --instr-profile "$profile" "$PWD/$file" | grep -E '^ *[0-9]+\| +0\|' || true
    done
    exit
fi

RUSTFLAGS='-C instrument-coverage' cargo build --quiet -p fieldbook-tests --bin fieldbook-simulate
rm -rf "$CARGO_TARGET_DIR/raw"
# A world that fails is the business of `make simulate`.
LLVM_PROFILE_FILE=$CARGO_TARGET_DIR/raw/%p-%m.profraw "$simulate" --seeds "$seeds" --keep-going || true
"$tools/llvm-profdata" merge -sparse "$CARGO_TARGET_DIR"/raw/*.profraw -o "$profile"
"$tools/llvm-cov" report "$simulate" --instr-profile "$profile" --ignore-filename-regex '/(registry|rustc|tests)/' |
    sed -n 's#^.*\(core/src/\|server/src/\)#\1#p' >"$CARGO_TARGET_DIR/report"

# Name, and what of the report is its.
lines() {
    grep -E "^($2)" "$CARGO_TARGET_DIR/report" | { if [[ -n ${3:-} ]]; then grep -vE "^($3)"; else cat; fi; } |
        awk -v name="$1" '{ all += $8; missed += $9 } END { printf "%-44s %6d %6d %6.1f\n", name, all, missed, 100 - 100 * missed / all }'
}
printf '%-44s %6s %6s %6s\n' module lines missed %
lines 'sync (core/src/sync)' core/src/sync/ core/src/sync/hub/
lines 'intake (core/src/intake)' core/src/intake
lines 'documents (core/src/document)' core/src/document
lines 'store of the phone (core/src/store)' core/src/store
lines 'store of the server (server/src/store)' server/src/store
lines 'hub (core/src/sync/hub, server/src/hub)' 'core/src/sync/hub/|server/src/hub'
lines 'all of these' 'core/src/(sync|intake|document|store)|server/src/(store|hub)'
echo 'the largest gaps (lines missed, of, file):'
grep -E '^(core/src/(sync|intake|document|store)|server/src/(store|hub))' "$CARGO_TARGET_DIR/report" |
    awk '{ print $9, $8, $1 }' | sort -rn | head -n 20
