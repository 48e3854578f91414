#!/usr/bin/env bash
# Builds the Debian package of the server into target/package, from a release build of this checkout.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=server/packaging
cargo build --quiet --locked --release -p fieldbook-server
program=${CARGO_TARGET_DIR:-target}/release/fieldbook-server
version=$("$program" --version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)
out=target/package
root=$out/root
# The same sources give the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

rm -rf "$root"
install -D -m 0755 "$program" "$root/usr/bin/fieldbook-server"
strip --strip-unneeded "$root/usr/bin/fieldbook-server"
for unit in "$here"/systemd/*; do
    install -D -m 0644 "$unit" "$root/usr/lib/systemd/system/$(basename "$unit")"
done
install -D -m 0644 "$here/debian/default" "$root/etc/default/fieldbook"
install -D -m 0644 docs/OPERATIONS.md "$root/usr/share/doc/fieldbook-server/OPERATIONS.md"
install -D -m 0644 "$here/grafana/fieldbook.json" "$root/usr/share/doc/fieldbook-server/grafana-dashboard.json"

# What the program really asks of the C library.
libc=$(objdump -T "$root/usr/bin/fieldbook-server" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1 | cut -d_ -f2)
control=$root/DEBIAN
install -d -m 0755 "$control"
install -m 0755 "$here"/debian/{postinst,prerm,postrm} "$control/"
echo /etc/default/fieldbook >"$control/conffiles"
cat >"$control/control" <<EOF
Package: fieldbook-server
Version: $version
Architecture: $architecture
Maintainer: Fieldbook <operations@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: libc6 (>= $libc), libgcc-s1, adduser
Suggests: postgresql
Section: net
Priority: optional
Description: server of Fieldbook, the offline-first record book of county trade unions
 Takes what phones of union staff bring, judges rights, serves supervisors and
 township hubs. Run "fieldbook-server setup" after installing.
EOF
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$control/md5sums"
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
package=$out/fieldbook-server_${version}_${architecture}.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
