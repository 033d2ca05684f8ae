#!/bin/sh
# Run each fuzzer for some seconds.
# usage: run_fuzz.sh BUILD SECONDS FUZZER ...
#
# Starts from the seeds in tests/fuzz/seeds/FUZZER when there are any; what is
# found on the way stands in BUILD/corpus/FUZZER and is used by the next run.
# An input that breaks something is kept in BUILD/crashes. The last line is
# "fuzz: N passed, N failed".
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$1
seconds=$2
shift 2
passed=0
failed=0
for fuzzer in "$@"; do
    corpus=$build/corpus/$fuzzer
    mkdir -p "$corpus" "$build/crashes"
    seeds=
    [ -d "$here/fuzz/seeds/$fuzzer" ] && seeds=$here/fuzz/seeds/$fuzzer
    log=$build/$fuzzer.log
    # shellcheck disable=SC2086
    if "$build/tests/fuzz/$fuzzer" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -artifact_prefix="$build/crashes/$fuzzer-" \
        "$corpus" $seeds >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "  $fuzzer: $(grep -a '^Done' "$log" | tail -n 1)"
    else
        failed=$((failed + 1))
        echo "  $fuzzer: FAILED"
        tail -n 40 "$log"
    fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ]
