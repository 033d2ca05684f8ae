#!/bin/sh
# Measure the figures that the project promises; see bench/bench.py.
# usage: GODWIT=build/godwit bench/run.sh [NAME ...]
#
# NAME: codec small large memory listing parts cluster compression
# encryption seal audit; none: all of them. Each writes
# bench/results/NAME.md. The programs beside GODWIT (bench/bench_codec,
# bench_files, bench_load) are built by `make bench`.
# BENCH_SECONDS (5) is the length of one measurement, BENCH_ROUNDS (3) how often
# the peers take turns, BENCH_KEYS (1000000) the keys of the large bucket,
# BENCH_UPLOAD_MIB (128) what each of 64 uploads sends for the memory figure.
set -eu
cd "$(dirname "$0")/.."
: "${GODWIT:=$(pwd)/build/godwit}"
export GODWIT
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
exec "${PYTHON:-/usr/bin/python3}" bench/bench.py "$@"
