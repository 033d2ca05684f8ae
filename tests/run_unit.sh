#!/bin/sh
# Run unit test binaries two at a time and count their tests.
# usage: run_unit.sh BINARY ...
#
# Each binary is cmocka's: its "[  PASSED  ] N test(s)" and "[  FAILED  ] ...
# N test(s)" lines are counted. A binary that crashes, or that ends badly
# without naming a failed test, counts as one failed. What a failed binary said
# is shown. The last line is "unit: N passed, N failed"; with COUNTS=FILE the
# two numbers are written there too.
set -u
: "${CMOCKA_MESSAGE_OUTPUT:=stdout}"
export CMOCKA_MESSAGE_OUTPUT
out=$(mktemp -d /tmp/godwit-unit.XXXXXX) || exit 1
trap 'rm -rf "$out"' EXIT

if [ "${1:-}" = --one ]; then
    # One binary, run by xargs below: result and output go to its files.
    name=$(basename "$3")
    start=$(date +%s)
    "$3" >"$2/$name.out" 2>&1
    echo "$? $(($(date +%s) - start))" >"$2/$name.rc"
    rm -rf "$out"
    trap - EXIT
    exit 0
fi

[ $# -gt 0 ] && printf '%s\0' "$@" |
    xargs -0 -n 1 -P 2 "$0" --one "$out"

# Sum of the numbers after "[  WORD  ]"; of FAILED lines only the one that
# counts, not the list of names below it.
count() {
    sed -n "s/^\[  $1  \] \(\([a-z_0-9]*: \)\{0,1\}\)\([0-9][0-9]*\) test(s).*/\3/p" "$2" |
        awk '{ n += $1 } END { print n + 0 }'
}

passed=0
failed=0
for binary in "$@"; do
    name=$(basename "$binary")
    rc=127
    seconds=0
    [ -f "$out/$name.rc" ] && read -r rc seconds <"$out/$name.rc"
    p=0
    f=0
    if [ -f "$out/$name.out" ]; then
        p=$(count PASSED "$out/$name.out")
        f=$(count FAILED "$out/$name.out")
    fi
    if [ "$rc" != 0 ] && [ "$f" = 0 ]; then
        f=1
    elif [ "$rc" = 0 ] && [ "$((p + f))" = 0 ]; then
        f=1 # it ran nothing
    fi
    passed=$((passed + p))
    failed=$((failed + f))
    if [ "$f" != 0 ]; then
        printf '%s: exit status %s, said:\n' "$name" "$rc"
        [ -f "$out/$name.out" ] && grep -v '^\[ *\(RUN\|OK\) *\]' "$out/$name.out" | tail -n 60
    fi
    printf '  %-32s %4d passed %3d failed %4d s\n' "$name" "$p" "$f" "$seconds"
done
[ -n "${COUNTS:-}" ] && echo "$passed $failed" >"$COUNTS"
echo "unit: $passed passed, $failed failed"
[ "$failed" = 0 ]
