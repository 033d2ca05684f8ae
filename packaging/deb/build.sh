#!/bin/sh
# Build a .deb of what `make install` installs, and have lintian look at it.
# usage: build.sh PACKAGE VERSION OUT-DIR; `make package` calls it
set -eu
package=$1
version=$2
out=$3
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
arch=$(dpkg --print-architecture)
root=$(mktemp -d "/tmp/$package-deb.XXXXXX")
trap 'rm -rf "$root"' EXIT
umask 022
tree=$root/tree
mkdir -p "$tree/DEBIAN" "$root/debian" "$out"

make --no-print-directory -C "$top" install PREFIX=/usr DESTDIR="$tree" >/dev/null
# make install has all programs; the package has its own.
for other in godwit godwit-edge; do
    [ "$other" != "$package" ] || continue
    rm -f "$tree/usr/bin/$other" "$tree/usr/share/man/man1/$other.1" \
        "$tree/usr/share/bash-completion/completions/$other"
done
find "$tree/usr" -type d -empty -delete
strip --strip-unneeded "$tree/usr/bin/$package"
gzip -9n "$tree"/usr/share/man/man1/*.1
install -D -m 644 "$here/../systemd/$package.service" \
    "$tree/lib/systemd/system/$package.service"
install -D -m 644 "$here/../etc/$package.conf" \
    "$tree$(cat "$here/$package/conffiles")"
doc=$tree/usr/share/doc/$package
install -D -m 644 "$here/copyright" "$doc/copyright"
printf '%s (%s) unstable; urgency=medium\n\n  * See the history of the sources.\n\n -- The Godwit developers <godwit@localhost>  %s\n' \
    "$package" "$version" "$(date -R -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}")" |
    gzip -9n >"$doc/changelog.gz"
install -D -m 644 "$here/$package/lintian-overrides" \
    "$tree/usr/share/lintian/overrides/$package"

# What it links, as dpkg-shlibdeps finds it; it wants a debian/control beside.
printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$package" "$package" \
    >"$root/debian/control"
shlibs=$(cd "$root" && dpkg-shlibdeps -O "tree/usr/bin/$package" 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SHLIBS@/$shlibs/" \
    "$here/$package/control" >"$tree/DEBIAN/control"
echo "Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f1)" \
    >>"$tree/DEBIAN/control"
install -m 644 "$here/$package/conffiles" "$tree/DEBIAN/"
install -m 755 "$here/$package"/p* "$tree/DEBIAN/"
if [ -f "$here/$package/templates" ]; then
    install -m 644 "$here/$package/templates" "$tree/DEBIAN/"
    install -m 755 "$here/$package/config" "$tree/DEBIAN/"
fi
(cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | sort |
    xargs md5sum) >"$tree/DEBIAN/md5sums"

deb=$out/${package}_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$tree" "$deb" >/dev/null
echo "built $deb"
as_root=
[ "$(id -u)" != 0 ] || as_root=--allow-root
lintian --fail-on error $as_root --tag-display-limit 0 "$deb"
