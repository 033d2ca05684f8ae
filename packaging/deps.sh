#!/bin/sh
# Install the packages of deps.txt that are missing. Quiet when none is.
# usage: deps.sh [KIND ...]; build and test when none is named
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- build test
missing=
for package in $(for kind in "$@"; do
    sed -n "s/^$kind \([a-z0-9.:+-]*\)$/\1/p" deps.txt
done); do
    # Of several architectures a line each; a bare name is of this machine's.
    case $package in
    *:*) arch=${package##*:} ;;
    *) arch="\\($(dpkg --print-architecture)\\|all\\)" ;;
    esac
    dpkg-query -W -f '${db:Status-Status} ${Architecture}\n' "$package" \
        2>/dev/null | grep -q "^installed $arch\$" ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
# A package of another architecture is named name:arch.
for package in $missing; do
    case $package in
    *:*) $sudo dpkg --add-architecture "${package##*:}" ;;
    esac
done
$sudo apt-get update -q >/dev/null
# shellcheck disable=SC2086
$sudo apt-get install -y -q --no-install-recommends $missing >/dev/null
