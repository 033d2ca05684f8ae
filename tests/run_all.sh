#!/bin/sh
# Unit tests, end-to-end tests, those of clusters, then the simulator; the very
# last line is "N passed, N failed", and the exit status 1 when any failed.
# usage: GODWIT=build/godwit SIM=build/sim run_all.sh UNIT-BINARY ...
set -u
here=$(dirname "$0")
counts=$(mktemp -d /tmp/godwit-all.XXXXXX) || exit 1
trap 'rm -rf "$counts"' EXIT
echo "0 1" >"$counts/unit"
echo "0 1" >"$counts/e2e"
echo "0 1" >"$counts/cluster"
echo "0 1" >"$counts/sim"
COUNTS="$counts/unit" "$here/run_unit.sh" "$@"
COUNTS="$counts/e2e" "$here/run_e2e.sh"
COUNTS="$counts/cluster" "$here/run_pytest.sh" cluster
COUNTS="$counts/sim" "$here/run_sim.sh"
set -- $(cat "$counts/unit") $(cat "$counts/e2e") $(cat "$counts/cluster") \
    $(cat "$counts/sim")
passed=$(($1 + $3 + $5 + $7))
failed=$(($2 + $4 + $6 + $8))
[ -n "${COUNTS:-}" ] && echo "$passed $failed" >"$COUNTS"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
