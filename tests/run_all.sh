#!/bin/sh
# Unit tests, end-to-end tests, then those of clusters; the very last line is
# "N passed, N failed", and the exit status 1 when any failed.
# usage: GODWIT=build/godwit run_all.sh UNIT-BINARY ...
set -u
here=$(dirname "$0")
counts=$(mktemp -d /tmp/godwit-all.XXXXXX) || exit 1
trap 'rm -rf "$counts"' EXIT
echo "0 1" >"$counts/unit"
echo "0 1" >"$counts/e2e"
echo "0 1" >"$counts/cluster"
COUNTS="$counts/unit" "$here/run_unit.sh" "$@"
COUNTS="$counts/e2e" "$here/run_e2e.sh"
COUNTS="$counts/cluster" "$here/run_pytest.sh" cluster
set -- $(cat "$counts/unit") $(cat "$counts/e2e") $(cat "$counts/cluster")
passed=$(($1 + $3 + $5))
failed=$(($2 + $4 + $6))
[ -n "${COUNTS:-}" ] && echo "$passed $failed" >"$COUNTS"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
