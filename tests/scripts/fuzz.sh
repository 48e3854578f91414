#!/bin/bash
# Fuzzes every target in turn for an equal share of MINUTES, and prints a line for each; inputs that broke one stay in
# target/fuzzing/NAME/found. With names as arguments, only these targets.
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes=${MINUTES:-10}
host=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz sets, without the address sanitizer, which needs an unstable compiler.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=4"
RUSTFLAGS=$coverage cargo build --quiet --profile fuzz --target "$host" -p fieldbook-fuzz --features libfuzzer
fuzzer=target/$host/fuzz/fieldbook-fuzz
list=$(FUZZ_TARGET=list "$fuzzer" 2>/dev/null | { if [ $# -gt 0 ]; then grep -E "^($(IFS='|'; echo "$*")) "; else cat; fi; })
share=$((minutes * 60 / $(wc -l <<<"$list")))
broken=0

# The number behind the last "KEY: " of the logs.
last() { sed -n "s/.*\b$1: *\([0-9]*\).*/\1/p" "$log" | tail -n 1; }

printf '%-10s %11s %7s %7s %6s %9s %6s %9s %6s %8s %6s\n' \
    target executions edges corpus found slowest of memory of output of
printf '%-10s %11s %7s %7s %6s %9s %6s %9s %6s %8s %6s\n' '' '' '' '' '' ms ms KB KB KB KB
while read -r name input_bytes time_ms memory_kb output_kb; do
    folder=target/fuzzing/$name
    log=$folder/log
    mkdir -p "$folder/corpus" "$folder/found" "$folder/seeds"
    rm -f "$folder/costs"
    : >"$log"
    runs=0
    end=$((SECONDS + share))
    # A finding ends the process: the rest of the time goes on behind it.
    while [ "$SECONDS" -lt "$end" ]; do
        FUZZ_TARGET=$name FUZZ_STATE=$folder nice -n 10 "$fuzzer" -max_total_time=$((end - SECONDS)) \
            -max_len="$input_bytes" -timeout=30 -rss_limit_mb=2048 -print_final_stats=1 \
            -artifact_prefix="$folder/found/" "$folder/corpus" "$folder/seeds" </dev/null >"$log.now" 2>&1 || true
        ran=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log.now")
        runs=$((runs + ${ran:-0}))
        cat "$log.now" >>"$log"
        # A seed that breaks the target would do so for ever.
        [ "${ran:-0}" -gt 1000 ] || { grep -q '^Done\|DONE' "$log.now" || break; }
    done
    rm -f "$log.now"
    found=$(find "$folder/found" -type f | wc -l)
    broken=$((broken + found))
    read -r time memory output <<<"$(cat "$folder/costs" 2>/dev/null || echo 0 0 0)"
    printf '%-10s %11s %7s %7s %6s %9s %6s %9s %6s %8s %6s\n' "$name" "$runs" "$(last cov)" \
        "$(find "$folder/corpus" -type f | wc -l)" "$found" "$((time / 1000)).$(printf %03d $((time % 1000)))" "$time_ms" \
        "$((memory / 1024))" "$memory_kb" "$((output / 1024))" "$output_kb"
done <<<"$list"
if [ "$broken" -gt 0 ]; then
    echo "$broken inputs broke something: grep FOUND target/fuzzing/*/log; make each a fixture under tests/fixtures/crashers" >&2
    exit 1
fi
