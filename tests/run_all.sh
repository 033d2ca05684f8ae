#!/bin/sh
# Unit tests, then end-to-end tests; the very last line is
# "N passed, N failed", and the exit status 1 when any failed.
# usage: GODWIT=build/godwit run_all.sh UNIT-BINARY ...
set -u
here=$(dirname "$0")
counts=$(mktemp -d /tmp/godwit-all.XXXXXX) || exit 1
trap 'rm -rf "$counts"' EXIT
echo "0 1" >"$counts/unit"
echo "0 1" >"$counts/e2e"
COUNTS="$counts/unit" "$here/run_unit.sh" "$@"
COUNTS="$counts/e2e" "$here/run_e2e.sh"
set -- $(cat "$counts/unit") $(cat "$counts/e2e")
passed=$(($1 + $3))
failed=$(($2 + $4))
[ -n "${COUNTS:-}" ] && echo "$passed $failed" >"$COUNTS"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
