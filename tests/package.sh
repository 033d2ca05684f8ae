#!/bin/sh
# Install, start, upgrade, remove and purge the packages in a Debian of its own,
# made by debootstrap from where this machine's packages come from.
# usage: package.sh GODWIT.deb GODWIT-EDGE.deb; as root; `make package-test` calls it
set -eu
deb=$(readlink -f "$1")
edge=$(readlink -f "$2")
root=$(mktemp -d /tmp/godwit-package.XXXXXX)
chmod 755 "$root"
server=
passed=0

end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    umount "$root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$root"
}
trap end EXIT

exec_inside() { exec chroot "$root" env LC_ALL=C "$@"; }
inside() { chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }

good() {
    passed=$((passed + 1))
    echo "ok $1"
}

bad() {
    echo "FAILED: $1" >&2
    echo "package: $passed passed, 1 failed"
    exit 1
}

start() {
    # As the unit does, without systemd.
    exec_inside setpriv --reuid godwit --regid godwit --clear-groups \
        godwit server --config /etc/godwit/godwit.conf \
        --listen 127.0.0.1:19400 >"$root/tmp/server.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        inside /bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/19400' 2>/dev/null &&
            return
        sleep 0.1
    done
    cat "$root/tmp/server.log"
    bad "the server starts"
}

stop() {
    kill "$server"
    wait "$server" || bad "the server ends well"
    server=
}

ask() {
    inside env AWS_SHARED_CREDENTIALS_FILE=/var/lib/godwit/credentials \
        GODWIT_ENDPOINT=http://127.0.0.1:19400 godwit "$@"
}

site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' |
    grep -v security | head -n 1)
debootstrap --variant=minbase bookworm "$root" "$site" >/dev/null ||
    bad "debootstrap"
mount -t proc proc "$root/proc"
cp "$deb" "$root/tmp/godwit.deb"
cp "$edge" "$root/tmp/edge.deb"
inside apt-get update -q >/dev/null
inside apt-get install -y -q /tmp/godwit.deb >/dev/null 2>&1 || bad "install"
inside godwit --version >/dev/null || bad "it runs"
inside getent passwd godwit >/dev/null || bad "it has a user"
[ -f "$root/usr/share/man/man1/godwit.1.gz" ] ||
    grep -q man "$root/etc/dpkg/dpkg.cfg.d"/* || bad "man page"
good "installed"

install -d -m 700 "$root/var/lib/godwit" # StateDirectory= of the unit
inside chown godwit:godwit /var/lib/godwit
start
ask mb s3://bucket >/dev/null
echo "some bytes" >"$root/tmp/file"
ask cp /tmp/file s3://bucket/key >/dev/null
[ "$(ask cat s3://bucket/key)" = "some bytes" ] || bad "put and get"
good "started, put and got"

# An upgrade: the same under a higher version.
inside sh -c 'cd /tmp && dpkg-deb -R godwit.deb next &&
    sed -i "s/^Version: .*/Version: 99/" next/DEBIAN/control &&
    dpkg-deb -b next next.deb >/dev/null'
echo "# edited" >>"$root/etc/godwit/godwit.conf"
inside apt-get install -y -q /tmp/next.deb >/dev/null 2>&1 || bad "upgrade"
grep -q "# edited" "$root/etc/godwit/godwit.conf" || bad "configuration kept"
stop
start
[ "$(ask cat s3://bucket/key)" = "some bytes" ] || bad "objects kept"
good "upgraded; objects and configuration kept"

stop
inside apt-get remove -y -q godwit >/dev/null 2>&1 || bad "remove"
[ ! -e "$root/usr/bin/godwit" ] || bad "program gone"
[ -e "$root/etc/godwit/godwit.conf" ] || bad "configuration stays"
good "removed"
inside apt-get purge -y -q godwit >/dev/null 2>&1 || bad "purge"
[ ! -e "$root/etc/godwit" ] || bad "configuration purged"
[ -e "$root/var/lib/godwit/credentials" ] || bad "objects kept unasked"
good "purged; objects kept, as nobody was asked"

inside apt-get install -y -q /tmp/godwit.deb >/dev/null 2>&1 || bad "again"
inside sh -c 'echo "godwit godwit/purge-data boolean true" |
    debconf-set-selections'
inside apt-get purge -y -q godwit >/dev/null 2>&1 || bad "purge again"
good "installed and purged again"

# The agent, in the same Debian.
start_edge() {
    : >"$root/tmp/edge.log"
    exec_inside setpriv --reuid godwit-edge --regid godwit-edge --clear-groups \
        godwit-edge run --config /etc/godwit/edge.conf \
        >"$root/tmp/edge.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        ! grep -q msg=ready "$root/tmp/edge.log" || return 0
        sleep 0.1
    done
    cat "$root/tmp/edge.log"
    bad "the agent starts"
}

inside apt-get install -y -q /tmp/godwit.deb /tmp/edge.deb >/dev/null 2>&1 ||
    bad "install both"
inside getent passwd godwit-edge >/dev/null || bad "the agent has a user"
owner=$(inside godwit identity create --output /tmp/owner.key |
    grep -o 'age1[a-z0-9]*' | head -n 1)
echo "recipient = $owner" >>"$root/etc/godwit/edge.conf"
install -d -m 700 "$root/var/lib/godwit-edge" # StateDirectory= of the unit
inside chown godwit-edge:godwit-edge /var/lib/godwit-edge
start_edge
inside godwit-edge put /tmp/file bucket/key || bad "the agent takes"
inside godwit-edge ls bucket | grep -q bucket/key || bad "the agent lists"
good "agent installed, started, put"
inside sh -c 'cd /tmp && rm -rf next && dpkg-deb -R edge.deb next &&
    sed -i "s/^Version: .*/Version: 99/" next/DEBIAN/control &&
    dpkg-deb -b next next.deb >/dev/null'
inside apt-get install -y -q /tmp/next.deb >/dev/null 2>&1 ||
    bad "upgrade of the agent"
grep -q "$owner" "$root/etc/godwit/edge.conf" || bad "agent's settings kept"
stop
start_edge
inside godwit-edge ls bucket | grep -q bucket/key || bad "agent's objects kept"
stop
good "agent upgraded; objects and settings kept"
inside apt-get purge -y -q godwit >/dev/null 2>&1 || bad "purge beside"
[ -e "$root/etc/godwit/edge.conf" ] || bad "the server's purge spares the agent"
inside apt-get remove -y -q godwit-edge >/dev/null 2>&1 || bad "remove agent"
[ ! -e "$root/usr/bin/godwit-edge" ] || bad "agent gone"
inside apt-get purge -y -q godwit-edge >/dev/null 2>&1 || bad "purge agent"
[ ! -e "$root/etc/godwit" ] || bad "agent's settings purged"
[ -d "$root/var/lib/godwit-edge/spool" ] || bad "what was not delivered stays"
good "agent removed and purged; what it holds stays"
echo "package: $passed passed, 0 failed"
