#!/bin/sh
# Makes a network of two units and an off-site node in containers, as docs/operations/install.md does it on computers, and
# starts it. Run again, it starts what is there. Everything lies in deploy/compose/network, keys beside data: a network to try
# things on, never a clinic's. `COMPOSE="docker-compose"` names another tool.
#   deploy/container/build.sh && deploy/compose/up.sh
#   deploy/compose/up.sh down        stops it and keeps its files
set -eu
cd "$(dirname "$0")"
compose=${COMPOSE:-docker compose}
cluster=${PLANTAO_CLUSTER:-estetica-sul}
umask 077
mkdir -p network
# The containers' user owns the files, whoever runs this.
if [ "$(id -u)" = 0 ]; then owner=10001:10001; else owner=$(id -u):$(id -g); fi
export PLANTAO_USER="$owner"
own() { if [ "$(id -u)" = 0 ]; then chown -R "$owner" network; fi; }

if [ "${1:-up}" = down ]; then exec $compose down; fi

tool() { $compose run --rm -T tool "$@"; }
node() { name=$1; shift; $compose run --rm -T --no-deps -v "$PWD/network:/network" "$name" "$@"; }

# Keys and configuration of a node; the second word says whether it is a unit.
prepare() {
    name=$1; kind=$2
    mkdir -p "network/$name/etc" "network/$name/keys" "network/$name/data"
    head -c 32 /dev/urandom > "network/$name/keys/storage.key"
    root=''; engine=sled; leads=false; medium=hdd
    if [ "$kind" = unit ]; then
        head -c 32 /dev/urandom > "network/$name/keys/root.key"
        root='root = { key_file = "/keys/root.key" }'; engine=fjall; leads=true; medium=ssd
    fi
    cp network/authority/ca.crt "network/$name/etc/ca.crt"
    cat > "network/$name/etc/plantaod.toml" <<END
[node]
data_dir = "/var/lib/plantao"
name = "$name"
site = "$name"
country = "BR"
medium = "$medium"
peer_address = "$name:7402"
[listen]
public = "0.0.0.0:7400"
admin = "0.0.0.0:7401"
peer = "0.0.0.0:7402"
metrics = "127.0.0.1:7403"
[tls]
certificate = "/etc/plantao/node.crt"
key = "/etc/plantao/node.key"
roots = "/etc/plantao/ca.crt"
[slots]
storage = { key_file = "/keys/storage.key" }
$root
[storage]
engine = "$engine"
[chunks]
simulated_media = true
[raft]
timers = "lan"
prefer_leader = $leads
END
    own
}

# A node's certificate for this number, in place under the names of its configuration.
certify() {
    name=$1; number=$2
    tool pki issue --dir authority --out "$name/etc" --node "$number" --host "$name" -q >/dev/null
    mv "network/$name/etc/node-$number.crt" "network/$name/etc/node.crt"
    mv "network/$name/etc/node-$number.key" "network/$name/etc/node.key"
}

# Waits until `status` shows what is asked for; two minutes are for a slow machine.
await() {
    tries=0
    until tool status -o json 2>/dev/null | tr -d ' \n' | grep -q "$1"; do
        tries=$((tries + 1))
        if [ "$tries" -ge 60 ]; then echo "the network does not come up: $compose logs" >&2; exit 1; fi
        sleep 2
    done
}

join() {
    name=$1; kind=$2
    prepare "$name" "$kind"
    off_site=''; if [ "$kind" != unit ]; then off_site=--off-site; fi
    tool token create $off_site --yes -o json > "network/$name/token"
    tool pki issue --dir authority --out "$name" --new-node "$name" --host "$name" -q >/dev/null
    own
    number=$(node "$name" join --peer centro:7402 --token-file "/network/$name/token" \
        --certificate "/network/$name/$name.crt" --key "/network/$name/$name.key" | sed -n 's/^node \([0-9]*\) .*/\1/p')
    rm "network/$name/token" "network/$name/$name.crt" "network/$name/$name.key"
    certify "$name" "$number"
}

if [ ! -e network/ready ]; then
    if [ -e network/authority ]; then
        echo "deploy/compose/network is half made; remove it and begin again" >&2
        exit 1
    fi
    own
    tool pki init --dir authority --network "$cluster" -q >/dev/null
    tool pki issue --dir authority --out operator --name plantonista --role operator --days 30 -q >/dev/null
    tool context add compose --cluster "$cluster" --ca /network/authority/ca.crt \
        --cert /network/operator/plantonista.crt --key /network/operator/plantonista.key \
        --endpoint centro:7400,jardins:7400,cofre:7400 --admin-endpoint centro:7401,jardins:7401,cofre:7401 -q >/dev/null
    prepare centro unit
    certify centro 1
    node centro init --cluster "$cluster" --recovery-file /network/paper.txt
    $compose up -d centro
    await '"leader_id":1'
    join jardins unit
    $compose up -d jardins
    await '"voters":2'
    join cofre off-site
    $compose up -d cofre
    await '"voters":3'
    : > network/ready
    echo "network/paper.txt holds the paper passphrase: print it, keep the paper elsewhere, delete the file"
else
    $compose up -d centro jardins cofre
    await '"leader_id":[0-9]'
fi
tool status
