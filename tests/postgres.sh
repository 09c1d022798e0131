#!/bin/sh
# Runs a PostgreSQL server for tests: a cluster in a directory of its own, with a Unix socket there and no port.
#   postgres.sh DIRECTORY PROGRAMS [OPTIONS]
# PROGRAMS is the directory with initdb and pg_ctl, OPTIONS are further options of the server. It prints `done` when the
# server accepts connections, and after each word that it reads: `stop`, as a crash does, and `start`. When its input is
# closed, the server is stopped and the directory removed. PostgreSQL refuses to run as root, so then it runs as another
# user.
trap '' INT HUP TERM
dir=$1 bin=$2 more=$3 as=
if [ "$(id -u)" = 0 ]; then
    user=$(id -un postgres 2>/dev/null || echo nobody)
    as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
    chown -R "$user" "$dir"
fi
chmod 711 "$dir"
cd "$dir"
options="-c listen_addresses='' -c unix_socket_directories='$dir' -c unix_socket_permissions=0777"
options="$options -c fsync=off -c max_connections=200 $more"
control() { $as "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 "$@" >>control.log 2>&1 </dev/null; }
start() { control -o "$options" start; }
fail() { tail -n 20 *.log log 2>/dev/null | tr '\n' ' '; echo; cd /; rm -rf "$dir"; exit 1; }
$as "$bin/initdb" -D "$dir/data" -U cortado -A trust -E UTF8 --locale=C --no-sync >initdb.log 2>&1 </dev/null || fail
sed -i '1i local all locked scram-sha-256' "$dir/data/pg_hba.conf"
sed -i '1i host all locked 127.0.0.1/32 scram-sha-256' "$dir/data/pg_hba.conf"
start || fail
echo done
while read -r word; do
    case $word in
        stop) control -m immediate stop ;;
        start) start ;;
    esac
    echo done
done
control -m immediate stop
cd /
rm -rf "$dir"
