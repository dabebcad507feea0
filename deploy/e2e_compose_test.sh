#!/bin/sh
# Four containers, as compose.yaml has them, started one after another; then a line through the tunnel and back.
#   COMPOSE   what runs them, from this folder: podman compose, docker compose, podman-compose
#   PATIENCE  seconds for each step
#   LOGS      a folder for what they said
set -eu
cd "$(dirname "$0")"
compose=${COMPOSE:-podman compose}
logs=${LOGS:-../logs}
patience=${PATIENCE:-30}
port=2222

say() {
    echo "compose test: $*"
}

end() {
    status=$?
    mkdir -p "$logs"
    for service in bootstrap echo workhorse client; do
        $compose logs "$service" >"$logs/$service.log" 2>&1 || true
    done
    $compose down >/dev/null 2>&1 || true
    [ $status -eq 0 ] || say "failed; what the containers said is in $logs"
    exit $status
}

# saw SERVICE WORDS: its log has them soon; prints that line.
saw() {
    late=$(($(date +%s) + patience))
    until $compose logs "$1" 2>&1 | grep -F -m 1 -e "$2"; do
        if [ "$(date +%s)" -gt "$late" ]; then
            say "$1 has not said: $2" >&2
            return 1
        fi
        sleep 0.2
    done
}

# id SERVICE: of the peer that runs there, from its log.
id() {
    saw "$1" local_peer_id= | sed 's/.*local_peer_id=\([[:alnum:]]*\).*/\1/'
}

trap end EXIT
trap 'exit 130' INT TERM

$compose up -d echo bootstrap
relay=$(id bootstrap)
saw bootstrap "listening on" >/dev/null
BOOTSTRAP=/ip4/172.28.0.10/tcp/4001/p2p/$relay
export BOOTSTRAP
say "the relay is $relay"

$compose up -d workhorse
WORKHORSE=$(id workhorse)
export WORKHORSE
saw workhorse "relay reservation accepted" >/dev/null
say "the provider is $WORKHORSE, and is reached through the relay"

$compose up -d client
saw client "tunnel listening" >/dev/null

sent="hello punchgate $$"
got=$(echo "$sent" | nc -w 20 127.0.0.1 $port | head -n 1)
if [ "$got" != "$sent" ]; then
    say "sent \"$sent\" to port $port, and \"$got\" came back"
    exit 1
fi
say "\"$got\" came back through port $port"
