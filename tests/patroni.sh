#!/bin/sh
# Runs two PostgreSQL servers under Patroni for tests, which promotes the standby when the primary dies.
#   patroni.sh DIRECTORY PROGRAMS TOOLS SYNCHRONOUS PORT…
# PROGRAMS is the directory with initdb and pg_ctl, TOOLS the one in which tests/tools.sh has put Patroni, SYNCHRONOUS is
# `true` or `false`. Of the seven ports, the first two are those of the servers. It prints `done` when a primary and its
# standby are there, and after the word `kill`, which kills the primary and its Patroni as the death of their machine
# does. When its input is closed, everything is stopped and the directory removed. PostgreSQL refuses to run as root, so
# then it runs as another user.
trap '' INT HUP TERM
dir=$1 tools=$3 synchronous=$4 as=
if [ "$(id -u)" = 0 ]; then
    user=$(id -un postgres 2>/dev/null || echo nobody)
    as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
    chown -R "$user" "$dir"
fi
chmod 711 "$dir"
cd "$dir"
# Patroni also runs programs that are only beside the real one.
bin=$($as "$2/initdb" --show -D none 2>&1 | sed -n 's/^PGPATH=//p')
shift 4
export PYTHONPATH="$tools/root/usr/lib/python3/dist-packages" PYTHONDONTWRITEBYTECODE=1
python=/usr/bin/python3

# member NUMBER SERVER-PORT API-PORT RAFT-PORT OTHER-RAFT-PORT ARBITER-PORT
member() {
    cat >"$1.yaml" <<YAML
scope: cortado
name: member-$1
restapi: { listen: "127.0.0.1:$3", connect_address: "127.0.0.1:$3" }
raft:
  data_dir: $dir/raft-$1
  self_addr: 127.0.0.1:$4
  partner_addrs: ["127.0.0.1:$5", "127.0.0.1:$6"]
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: $synchronous
    postgresql: { parameters: { fsync: "off" } }
  initdb: [{ encoding: UTF8 }, { locale: C }]
postgresql:
  listen: 127.0.0.1:$2
  connect_address: 127.0.0.1:$2
  data_dir: $dir/data-$1
  bin_dir: $bin
  pgpass: $dir/pgpass-$1
  pg_hba: ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
  authentication: { superuser: { username: cortado }, replication: { username: replicator } }
  parameters: { unix_socket_directories: "$dir" }
YAML
    $as $python "$tools/root/usr/bin/patroni" "$1.yaml" >"$1.log" 2>&1 </dev/null &
    echo $! >"$1.pid"
}
answers() { curl --silent --fail --output /dev/null "http://127.0.0.1:$1/$2"; }
# is_complete PRIMARY-API STANDBY-API
is_complete() {
    answers "$1" primary || return 1
    if [ "$synchronous" = true ]; then answers "$2" synchronous; else answers "$2" replica; fi
}
has_ended() { for log in 1 2; do kill -0 "$(cat $log.pid)" 2>/dev/null || return 0; done; return 1; }
kill_member() {
    kill -9 "$(cat "$1.pid")" "$(head -n 1 "data-$1/postmaster.pid")" 2>/dev/null
    rm -f "$1.pid"
}

cat >arbiter.yaml <<YAML
raft: { data_dir: $dir/raft-arbiter, self_addr: "127.0.0.1:$7", partner_addrs: ["127.0.0.1:$5", "127.0.0.1:$6"] }
YAML
$as $python "$tools/root/usr/bin/patroni_raft_controller" arbiter.yaml >arbiter.log 2>&1 </dev/null &
arbiter=$!
member 1 "$1" "$3" "$5" "$6" "$7"
member 2 "$2" "$4" "$6" "$5" "$7"
tries=600
until is_complete "$3" "$4" || is_complete "$4" "$3"; do
    tries=$((tries - 1))
    ! has_ended || tries=0
    [ $tries -gt 0 ] || { tail -n 5 ./*.log | tr '\n' ' '; echo; break; }
    sleep 0.1
done
[ $tries = 0 ] || echo done
while read -r word; do
    case $word in
        kill) if answers "$3" primary; then kill_member 1; else kill_member 2; fi ;;
    esac
    echo done
done
for number in 1 2; do [ ! -f $number.pid ] || kill_member $number; done
kill -9 $arbiter
cd /
rm -rf "$dir"
