#!/bin/sh
# Install the packages of deps.txt that are missing. Quiet when none is.
set -eu
cd "$(dirname "$0")"
missing=
for package in $(sed -n 's/^[a-z][a-z]* \([a-z0-9.+-]*\)$/\1/p' deps.txt); do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
        grep -q '^install ok installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q >/dev/null
# shellcheck disable=SC2086
$sudo apt-get install -y -q --no-install-recommends $missing >/dev/null
