#!/bin/bash
# Runs every real client against a registry.
#
#   run.sh install
#   run.sh BASE_URL online|offline [--basic USER:PASSWORD] [--ca FILE]
#
# README.md beside this file says what the clients do. Everything that is built or installed goes
# to target/real/clients; STATE_DIR is where the online phase leaves what the offline phase needs.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
home=${REAL_DIR:-$root/target/real}/clients
mkdir -p "$home"
home=$(cd "$home" && pwd)
export NO_PROXY=127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}
export no_proxy=$NO_PROXY

# Runs a command unless the lock file is the one that it was last run for.
unless_installed() {
  local name=$1 lock=$2
  shift 2
  if cmp -s "$lock" "$home/$name/installed.lock"; then return; fi
  rm -rf "${home:?}/$name"
  mkdir -p "$home/$name"
  "$@"
  cp "$lock" "$home/$name/installed.lock"
}

python_packages() {
  python3 -m venv "$home/python"
  "$home/python/bin/python" -m pip install -q --disable-pip-version-check -r "$here/python/requirements.txt"
}

# The libraries are pure JavaScript; none of their install scripts is needed.
node_modules() {
  cp "$here/$1"/package*.json "$home/$1/"
  (cd "$home/$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}

install() {
  unless_installed python "$here/python/requirements.txt" python_packages
  local name
  for name in javascript kafkajs; do
    unless_installed "$name" "$here/$name/package-lock.json" node_modules "$name"
    cp "$here/$name/client.mjs" "$here/steps.mjs" "$home/$name/"
  done
  mkdir -p "$home/go"
  (
    cd "$here/go"
    CGO_ENABLED=0 go build -buildvcs=false -o "$home/go/" ./franz ./confluent
    # The serialisers of this library stand on its C library, which is inside the module.
    CGO_ENABLED=1 go build -buildvcs=false -o "$home/go/" ./serde
  )
  CARGO_TARGET_DIR=$home/rust cargo build -q --locked --manifest-path "$here/rust/Cargo.toml"
}

failures=0
run() {
  local name=$1 log result=0
  shift
  log=$home/$name.log
  timeout 180 "$@" >"$log" 2>&1 </dev/null || result=$?
  grep -E '^FAILED' "$log" | sed "s/^/  /" || true
  if [ "$result" = 0 ] && grep -Eq '^[1-9][0-9]* passed, 0 failed$' "$log"; then
    printf 'ok     %-14s %s\n' "$name" "$(tail -n 1 "$log")"
    return
  fi
  failures=$((failures + 1))
  printf 'FAILED %-14s exit code %s: %s\n' "$name" "$result" "$(tail -n 1 "$log")"
  # A program that broke off has said why in its own words.
  grep -Eq '^[0-9]+ passed, [0-9]+ failed$' "$log" || tail -n 15 "$log" | sed 's/^/  /'
}

usage() {
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

if [ "${1:-}" = install ]; then
  install
  exit
fi
[ $# -ge 2 ] || usage
export BASE_URL=$1 PHASE=$2
shift 2
unset BASIC CA_FILE
while [ $# -gt 0 ]; do
  case $1 in
  --basic) export BASIC=$2 ;;
  --ca)
    # Each library has its own way to be told whom to trust.
    CA_FILE=$(realpath "$2")
    export CA_FILE
    ;;
  *) usage ;;
  esac
  shift 2
done
install
if [ -n "${CA_FILE:-}" ]; then export NODE_EXTRA_CA_CERTS=$CA_FILE SSL_CERT_FILE=$CA_FILE; fi
export STATE_DIR=${STATE_DIR:-$home/state}
mkdir -p "$STATE_DIR"

run python "$home/python/bin/python" -u "$here/python/client.py"
run javascript node "$home/javascript/client.mjs"
run kafkajs node "$home/kafkajs/client.mjs"
run franz-go "$home/go/franz"
run confluent-go "$home/go/confluent"
run go-serde "$home/go/serde"
run rust "$home/rust/debug/rust-client"
echo "$((7 - failures)) passed, $failures failed"
[ "$failures" = 0 ]
