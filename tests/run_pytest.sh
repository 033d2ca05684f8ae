#!/bin/sh
# Run one folder of Python tests against the binary in GODWIT.
# usage: GODWIT=build/godwit run_pytest.sh e2e|cluster [PYTEST ARGUMENT ...]
#
# The last line is "e2e: N passed, N failed, N skipped"; with COUNTS=FILE the
# first two numbers are written there too. What was skipped is listed with its
# reason. A run that breaks before its tests counts as one failed.
set -u
suite=${1:?which folder of tests}
shift
cd "$(dirname "$0")/$suite" || exit 1
python=${PYTHON:-/usr/bin/python3}
: "${GODWIT:=$(cd ../.. && pwd)/build/godwit}"
export GODWIT
export PYTHONDONTWRITEBYTECODE=1
report=$(mktemp "/tmp/godwit-$suite.XXXXXX") || exit 1
trap 'rm -f "$report"' EXIT
if [ ! -x "$GODWIT" ]; then
    echo "run_pytest.sh: no server at $GODWIT; build it first" >&2
    [ -n "${COUNTS:-}" ] && echo "0 1" >"$COUNTS"
    echo "$suite: 0 passed, 1 failed, 0 skipped"
    exit 1
fi
[ $# -gt 0 ] || set -- .
# Two files at a time, but clusters, whose tests watch time go by, alone.
[ "$suite" = cluster ] || set -- -n 2 --dist loadfile "$@"
"$python" -m pytest -q -rsfE --tb=short -p no:cacheprovider \
    --durations=8 --junitxml="$report" "$@"
status=$?
counts=$("$python" - "$report" "$status" <<'PY'
import sys
import xml.etree.ElementTree as tree
passed = failed = skipped = 0
try:
    for case in tree.parse(sys.argv[1]).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
except (OSError, tree.ParseError):
    pass
if failed == 0 and (int(sys.argv[2]) != 0 or passed == 0):
    failed = 1
print(passed, failed, skipped)
PY
)
# shellcheck disable=SC2086
set -- $counts
[ -n "${COUNTS:-}" ] && echo "$1 $2" >"$COUNTS"
echo "$suite: $1 passed, $2 failed, $3 skipped"
[ "$2" = 0 ]
