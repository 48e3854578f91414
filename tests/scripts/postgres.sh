#!/usr/bin/env bash
# Runs a command beside a PostgreSQL server of its own, whose address it finds in FIELDBOOK_TEST_POSTGRES. The server
# listens on a socket in a new folder only, syncs nothing, and ends with the command.
set -euo pipefail
# Debian keeps initdb outside of every path.
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb)")
dir=$(mktemp -d "${TMPDIR:-/tmp}/fieldbook-postgres.XXXXXX")
as=()
if [ "$(id -u)" = 0 ]; then
    # It refuses to run as root.
    chown postgres "$dir"
    as=(setpriv --reuid postgres --regid "$(id -g postgres)" --clear-groups --)
fi
stop() {
    "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -s stop || true
    rm -rf "$dir"
}
trap stop EXIT
(
    cd "$dir"
    "${as[@]}" "$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >initdb.log
    "${as[@]}" "$bin/pg_ctl" -D data -l "$dir/log" -sw start -o "-k $dir -h '' -F -c max_connections=300"
)
FIELDBOOK_TEST_POSTGRES="host=$dir user=postgres" "$@"
