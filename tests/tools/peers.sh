#!/bin/bash
# The sidecar between a registry and clients that were written by others.
#
#   peers.sh [plain|basic|tls|local|secured|read-only|beside|writer …]      all when none is named
#
# plain, basic, tls: Apicurio is the primary. It starts, the sidecar in front of it, and every real client runs through the
# sidecar; then answers through the sidecar are compared with Apicurio's own. Then Apicurio stops, and the clients and the
# comparison run again; and once more after a restart of the sidecar.
# The other rounds are in beside.sh. local, secured: it is the local registry of a sidecar without a primary, and every answer
# is its own, byte for byte. read-only: so it is, and takes no changes. beside: one is the primary, one the local registry, and
# a mode says which of them hears what. writer: the importer keeps the local one too, which keeps no explicit ids.
#
# OUTPOST_BIN names the sidecar's program (default: target/debug/outpost). DIRECT=1 leaves sidecar and outage out of the first three,
# which shows that clients and registry get along by themselves.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$tools/../.." && pwd)
real=${REAL_DIR:-$root/target/real}
outpost=${OUTPOST_BIN:-$root/target/debug/outpost}
# The sidecar would take it for a setting.
unset OUTPOST_BIN
mkdir -p "$real/run"
real=$(cd "$real" && pwd)
export REAL_DIR=$real PYTHONDONTWRITEBYTECODE=1
export NO_PROXY=127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}
export no_proxy=$NO_PROXY
readonly user=alice password=pw-5f1c2e
passed=0 failed=0
apicurios=() outpost_pid=''

stop_all() {
  local port
  if [ -n "$outpost_pid" ]; then kill -KILL "$outpost_pid" 2>/dev/null || true; fi
  for port in ${apicurios[@]+"${apicurios[@]}"}; do "$tools/apicurio.sh" stop "$port"; done
}
trap stop_all EXIT

start_apicurio() {
  apicurios+=("$1")
  "$tools/apicurio.sh" start "$@"
}

. "$tools/beside.sh"

# Runs a program of checks, shows what it has to say and adds up its last line.
checks() {
  local title=$1 log result=0 sum
  shift
  log=$STATE_DIR/${title//[^a-z]/-}.log
  echo "-- $title"
  "$@" >"$log" 2>&1 </dev/null || result=$?
  # A cause often has a hundred effects; the log keeps them all.
  grep -vE '^ok ([A-Z]+ /|seed)|^[0-9]+ passed' "$log" | head -n 60 || true
  sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
  if [ -z "$sum" ]; then
    failed=$((failed + 1))
    echo "FAILED $title: broke off with exit code $result"
    return
  fi
  echo "   $sum"
  passed=$((passed + $(cut -d' ' -f1 <<<"$sum")))
  failed=$((failed + $(cut -d' ' -f3 <<<"$sum")))
}

verdict() {
  local name=$1 result=0
  shift
  "$@" >"$real/run/verdict.log" 2>&1 || result=$?
  if [ "$result" = 0 ]; then
    passed=$((passed + 1))
    echo "ok $name"
  else
    failed=$((failed + 1))
    echo "FAILED $name: $(tail -n 3 "$real/run/verdict.log" | tr '\n' ' ')"
  fi
  return "$result"
}

# Four ports, each with a free neighbour, because Apicurio wants one for itself. They lie below those that the system gives
# to outgoing connections, one of which would otherwise take a port before it is used.
free_ports() {
  python3 - <<'END'
import random
import socket

def bound(port):
    held = socket.socket()
    held.bind(("127.0.0.1", port))
    return held

found, held = [], []
for port in random.sample(range(20000, 32000, 2), 1000):
    try:
        held += [bound(port), bound(port + 1)]
    except OSError:
        continue
    found.append(port)
    if len(found) == 4:
        break
print(*found)
END
}

write_configuration() {
  local round=$1 url=$2 listener=$3 admin=$4 folder=$5
  {
    echo "listeners:"
    echo "  - bind: 127.0.0.1:$listener"
    if [ "$round" = tls ]; then
      echo "    tls: { certificate: $real/tls/server.pem, key: $real/tls/server.key }"
    fi
    echo "admin: { bind: 127.0.0.1:$admin }"
    echo "primary:"
    echo "  urls: [\"$url\"]"
    echo "  requests_per_second: 500"
    case $round in
    basic)
      echo "  credentials: { basic: { username: $user, password_file: $folder/password } }"
      echo "  allow_plain_http: true"
      ;;
    tls) echo "  tls: { ca: $real/tls/ca.pem }" ;;
    esac
    echo "importer: { interval: 1s, full_interval: 5s }"
    echo "state: { directory: $folder/state }"
  } >"$folder/outpost.yaml"
  printf '%s' "$password" >"$folder/password"
}

is_ready() {
  local admin=$1 log=$2
  for _ in $(seq 300); do
    if [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$admin/ready" || true)" = 200 ]; then return; fi
    kill -0 "$outpost_pid" 2>/dev/null || break
    sleep 0.2
  done
  tail -n 5 "$log"
  return 1
}

start_outpost() {
  local folder=$1
  "$outpost" run --config "$folder/outpost.yaml" >>"$folder/outpost.log" 2>&1 </dev/null &
  outpost_pid=$!
}

# A clean exit is part of the promise.
drains() {
  kill -TERM "$outpost_pid"
  local result=0
  wait "$outpost_pid" || result=$?
  outpost_pid=''
  if [ "$result" != 0 ]; then
    echo "exit code $result"
    return 1
  fi
}

full_pass() {
  curl -sS -f -X POST --max-time 60 "http://127.0.0.1:$1/import"
}

silent_about_the_password() {
  ! grep -nF -e "$password" -e "$(printf '%s' "$user:$password" | base64)" "$1"
}

apicurio_settings() {
  case $1 in
  plain) ;;
  basic)
    printf '%s\n' -Dquarkus.http.auth.basic=true -Dquarkus.security.users.embedded.plain-text=true \
      "-Dquarkus.security.users.embedded.users.$user=$password" "-Dquarkus.security.users.embedded.roles.$user=sr-admin" \
      '-Dquarkus.http.auth.permission.all.paths=/apis/*' -Dquarkus.http.auth.permission.all.policy=authenticated
    ;;
  tls)
    printf '%s\n' "-Dquarkus.http.ssl-port=$2" "-Dquarkus.http.ssl.certificate.files=$real/tls/server.pem" \
      "-Dquarkus.http.ssl.certificate.key-files=$real/tls/server.key" -Dquarkus.http.insecure-requests=enabled
    ;;
  esac
}

# The registry and the clients alone: the ground that the rounds with a sidecar stand on.
direct_round() {
  local direct=$1
  shift
  checks "seed" python3 "$tools/answers.py" seed "$direct" seeded "$@"
  checks "clients, online" "$root/tests/clients/run.sh" "$direct" online "$@"
  checks "the registry compared with itself" python3 "$tools/answers.py" compare "$direct" "$direct" --basic-everywhere "$@"
  checks "clients, known schemas" "$root/tests/clients/run.sh" "$direct" offline "$@"
}

outpost_round() {
  local folder=$1 through=$2 direct=$3 admin=$4 port=$5 trust=()
  shift 5
  if [[ $through == https:* ]]; then trust=(--ca "$real/tls/ca.pem"); fi
  local clients=("$root/tests/clients/run.sh" "$through") answers=(python3 "$tools/answers.py")
  checks "seed before the sidecar starts" "${answers[@]}" seed "$direct" before "$@"
  start_outpost "$folder"
  verdict "the sidecar becomes ready" is_ready "$admin" "$folder/outpost.log" || return 0
  checks "seed behind the sidecar's back" "${answers[@]}" seed "$direct" behind "$@"
  checks "seed through the sidecar" "${answers[@]}" seed "$through" through ${trust[@]+"${trust[@]}"}
  checks "clients, online" "${clients[@]}" online ${trust[@]+"${trust[@]}"}
  verdict "a full pass" full_pass "$admin" || true
  checks "answers compared with the primary's" "${answers[@]}" compare "$through" "$direct" --save "$folder/answers.json" "$@"

  "$tools/apicurio.sh" stop "$port"
  checks "clients, primary away" "${clients[@]}" offline ${trust[@]+"${trust[@]}"}
  checks "answers, primary away" "${answers[@]}" compare "$through" --saved "$folder/answers.json" ${trust[@]+"${trust[@]}"}
  checks "a new schema, primary away" "${answers[@]}" refused "$through" ${trust[@]+"${trust[@]}"}
  verdict "the sidecar stops cleanly" drains || true

  start_outpost "$folder"
  verdict "the sidecar becomes ready again, primary away" is_ready "$admin" "$folder/outpost.log" || return 0
  checks "clients, after a restart" "${clients[@]}" offline ${trust[@]+"${trust[@]}"}
  checks "answers, after a restart" "${answers[@]}" compare "$through" --saved "$folder/answers.json" ${trust[@]+"${trust[@]}"}
  verdict "the sidecar stops cleanly again" drains || true
  verdict "the log does not have the password" silent_about_the_password "$folder/outpost.log" || true
}

primary_round() {
  local kind=$1 folder=$2 port secure listener admin direct through scheme=http shown=()
  local -a settings
  read -r port secure listener admin < <(free_ports)
  mapfile -t settings < <(apicurio_settings "$kind" "$secure")
  start_apicurio "$port" ${settings[@]+"${settings[@]}"}
  direct=http://127.0.0.1:$port/apis/ccompat/v7
  case $kind in
  basic) shown=(--basic "$user:$password") ;;
  tls)
    direct=https://127.0.0.1:$secure/apis/ccompat/v7 scheme=https
    shown=(--ca "$real/tls/ca.pem")
    ;;
  esac
  if [ "${DIRECT:-0}" = 1 ]; then
    direct_round "$direct" ${shown[@]+"${shown[@]}"}
  else
    through=$scheme://127.0.0.1:$listener
    write_configuration "$kind" "$direct" "$listener" "$admin" "$folder"
    outpost_round "$folder" "$through" "$direct" "$admin" "$port" ${shown[@]+"${shown[@]}"}
  fi
}

round() {
  local kind=$1 folder began=$SECONDS
  echo "== $kind"
  folder=$(mktemp -d "$real/run/$kind.XXXXXX")
  export STATE_DIR=$folder/clients
  mkdir -p "$STATE_DIR"
  case $kind in
  plain | basic | tls) primary_round "$kind" "$folder" ;;
  local) local_round "$folder" ;;
  secured) local_round "$folder" tls ;;
  read-only) read_only_round "$folder" ;;
  beside) beside_round "$folder" ;;
  writer) writer_round "$folder" ;;
  esac
  stop_all
  apicurios=() outpost_pid=''
  echo "== $kind: $((SECONDS - began)) s"
}

readonly kinds=(plain basic tls local secured read-only beside writer)
if [ $# = 0 ]; then set -- "${kinds[@]}"; fi
for kind in "$@"; do
  case " ${kinds[*]} " in *" $kind "*) ;; *)
    sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
  esac
done
"$tools/certificates.sh" "$real/tls"
"$tools/apicurio.sh" install
"$root/tests/clients/run.sh" install
for kind in "$@"; do round "$kind"; done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
