#!/bin/sh
# Run new histories of the simulator for SIM_SECONDS (120). They count as one
# test. A seed that fails is named, with the command that repeats it.
# usage: SIM=build/sim run_sim.sh
#
# The last line is "sim: N passed, N failed"; with COUNTS=FILE the two numbers
# are written there too.
set -u
: "${SIM:=build/sim}"
: "${SIM_SECONDS:=120}"
seed=$(($(date +%s) * 1000000))
echo "sim: from seed $seed, for $SIM_SECONDS s"
if "$SIM" --seed "$seed" --seconds "$SIM_SECONDS"; then
    passed=1
    failed=0
else
    passed=0
    failed=1
fi
[ -n "${COUNTS:-}" ] && echo "$passed $failed" >"$COUNTS"
echo "sim: $passed passed, $failed failed"
[ "$failed" = 0 ]
