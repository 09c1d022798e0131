#!/bin/sh
# Runs a PostgreSQL server for tests: a cluster in a directory of its own, with a Unix socket there and no port.
#   postgres.sh DIRECTORY PROGRAMS [OPTIONS]
# PROGRAMS is the directory with initdb and pg_ctl, OPTIONS are further options of the server. It prints `done` when the
# server accepts connections, and after each word that it reads:
#   stop, start                  stops the server as a crash does; starts it again
#   standby                      makes a standby with a socket in DIRECTORY/standby, and starts it
#   standby-stop, standby-start  stops the standby, so that it falls behind; starts it again
#   synchronous                  from now on, commits wait for the standby
#   script FILE UNTIL            runs a script as the user of the server, with PGDATA, PGHOST, PGUSER, BACKUPS and UNTIL
#   promote                      makes a server of its own of the standby
#   pooler PROGRAM PORT          runs PgBouncer with the certificate DIRECTORY/pooler.pem and its key DIRECTORY/pooler.key
#   pooler-kill                  kills it
#   pooler-move                  lets it connect to the standby from now on, while its clients stay connected
# When its input is closed, all of them are stopped and the directory removed. PostgreSQL refuses to run as root, so then
# it runs as another user.
trap '' INT HUP TERM
dir=$1 bin=$2 more=$3 as=
if [ "$(id -u)" = 0 ]; then
    user=$(id -un postgres 2>/dev/null || echo nobody)
    as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
    chown -R "$user" "$dir"
fi
chmod 711 "$dir"
cd "$dir"
options="-c listen_addresses='' -c unix_socket_permissions=0777 -c fsync=off -c max_connections=200 $more"
quietly() { $as "$@" >>control.log 2>&1 </dev/null; }
control() { quietly "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 "$@"; }
start() { control -o "$options -c unix_socket_directories='$dir'" start; }
standby() { quietly "$bin/pg_ctl" -D "$dir/standby/data" -l "$dir/standby/log" -w -t 60 "$@"; }
start_standby() { standby -o "$options -c unix_socket_directories='$dir/standby'" start; }
make_standby() {
    control -m fast stop && $as mkdir -m 711 standby && $as cp -a data standby/data &&
        $as touch standby/data/standby.signal &&
        echo "primary_conninfo = 'host=$dir user=cortado'" >>standby/data/postgresql.auto.conf &&
        start && start_standby
}
wait_for_standbys() { echo "synchronous_standby_names = '*'" >>data/postgresql.auto.conf && control reload; }
pooler() {
    cat >pooler.ini <<INI
[databases]
postgres = host=$dir user=cortado
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $2
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
client_tls_sslmode = require
client_tls_cert_file = $dir/pooler.pem
client_tls_key_file = $dir/pooler.key
pidfile = $dir/pooler.pid
logfile = $dir/pooler.log
INI
    chmod 644 pooler.pem pooler.key
    rm -f pooler.pid
    quietly "$1" -d "$dir/pooler.ini"
}
run_script() {
    file=$1
    shift
    quietly env PATH="$bin:$PATH" PGDATA="$dir/data" PGHOST="$dir" PGUSER=cortado PGDATABASE=postgres \
        BACKUPS="$dir/backups" UNTIL="$*" sh -ec "$(cat "$file")"
}
kill_pooler() { kill -9 "$(cat pooler.pid)"; }
move_pooler() { sed -i "s|host=$dir |host=$dir/standby |" pooler.ini && kill -HUP "$(cat pooler.pid)"; }
fail() { tail -n 20 *.log log 2>/dev/null | tr '\n' ' '; echo; cd /; rm -rf "$dir"; exit 1; }
$as "$bin/initdb" -D "$dir/data" -U cortado -A trust -E UTF8 --locale=C --no-sync >initdb.log 2>&1 </dev/null || fail
sed -i '1i local all locked scram-sha-256' "$dir/data/pg_hba.conf"
sed -i '1i host all locked 127.0.0.1/32 scram-sha-256' "$dir/data/pg_hba.conf"
start || fail
echo done
while read -r word arguments; do
    case $word in
        stop) control -m immediate stop ;;
        start) start ;;
        standby) make_standby ;;
        standby-stop) standby -m fast stop ;;
        standby-start) start_standby ;;
        synchronous) wait_for_standbys ;;
        promote) standby promote ;;
        script) run_script $arguments ;;
        pooler) pooler $arguments ;;
        pooler-kill) kill_pooler ;;
        pooler-move) move_pooler ;;
    esac && echo done || { tail -n 5 control.log | tr '\n' ' '; echo; }
done
control -m immediate stop
[ ! -f pooler.pid ] || kill_pooler
[ ! -d standby ] || standby -m immediate stop
cd /
rm -rf "$dir"
