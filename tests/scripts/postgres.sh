#!/usr/bin/env bash
# Runs a command beside a PostgreSQL server of its own, whose address it finds in FIELDBOOK_TEST_POSTGRES: a socket in a new
# folder. By FIELDBOOK_TEST_POSTGRES_TLS it is reached over TLS, with a password. It syncs nothing, and ends with the command.
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
# No two that run at once take one port: it is free, and the number is drawn.
port=
while [ -z "$port" ] || (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((20000 + RANDOM % 10000)); done
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
(
    cd "$dir"
    "${as[@]}" tee password <<<"$password" >/dev/null
    "${as[@]}" "$bin/initdb" -D data -U postgres --auth-local=trust --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8 \
        --no-sync --pwfile=password >initdb.log
    "${as[@]}" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=127.0.0.1 \
        -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
        -keyout data/server.key -out data/server.crt 2>openssl.log
    "${as[@]}" "$bin/pg_ctl" -D data -l "$dir/log" -sw start \
        -o "-k $dir -h 127.0.0.1 -p $port -F -c max_connections=300 -c ssl=on"
)
tls="host=127.0.0.1 port=$port user=postgres password=$password sslrootcert=$dir/data/server.crt"
FIELDBOOK_TEST_POSTGRES="host=$dir port=$port user=postgres" FIELDBOOK_TEST_POSTGRES_TLS="$tls" "$@"
