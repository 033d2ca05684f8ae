#!/bin/sh
# Run the end-to-end tests against the binary in GODWIT: see run_pytest.sh.
# usage: GODWIT=build/godwit run_e2e.sh [PYTEST ARGUMENT ...]
exec "$(dirname "$0")/run_pytest.sh" e2e "$@"
