# The rounds in which Apicurio is the registry that the sidecar stands beside. peers.sh sources this.

# The part of a configuration that is the same in all of them.
beside_configuration() {
  local listener=$1 admin=$2 folder=$3 tls=${4:-}
  echo "listeners:"
  echo "  - bind: 127.0.0.1:$listener"
  if [ "$tls" = tls ]; then
    echo "    tls: { certificate: $real/tls/server.pem, key: $real/tls/server.key }"
  fi
  echo "admin: { bind: 127.0.0.1:$admin }"
  echo "importer: { interval: 1s, full_interval: 5s }"
  echo "state: { directory: $folder/state }"
}

# Before a registry that was never converted. The clients' own credentials go through, and its own refusals come back.
local_round() {
  local folder=$1 port secure listener admin shown=() trust=() direct through
  shift
  read -r port secure listener admin < <(free_ports)
  local -a settings=()
  direct=http://127.0.0.1:$port/apis/ccompat/v7 through=http://127.0.0.1:$listener
  beside_configuration "$listener" "$admin" "$folder" "$@" >"$folder/outpost.yaml"
  if [ "${1:-}" = tls ]; then
    mapfile -t settings < <(apicurio_settings basic && apicurio_settings tls "$secure")
    direct=https://127.0.0.1:$secure/apis/ccompat/v7 through=https://127.0.0.1:$listener
    trust=(--ca "$real/tls/ca.pem") shown=(--basic "$user:$password" --ca "$real/tls/ca.pem")
    echo "local: { urls: [\"$direct\"], tls: { ca: $real/tls/ca.pem } }" >>"$folder/outpost.yaml"
  else
    echo "local: { urls: [\"$direct\"] }" >>"$folder/outpost.yaml"
  fi
  start_apicurio "$port" ${settings[@]+"${settings[@]}"}
  checks "seed before the sidecar starts" python3 "$tools/answers.py" seed "$direct" before ${shown[@]+"${shown[@]}"}
  start_outpost "$folder"
  verdict "the sidecar becomes ready" is_ready "$admin" "$folder/outpost.log" || return 0
  checks "seed through the sidecar" python3 "$tools/answers.py" seed "$through" through ${shown[@]+"${shown[@]}"}
  checks "clients, online" "$root/tests/clients/run.sh" "$through" online ${shown[@]+"${shown[@]}"}
  checks "answers, byte for byte" python3 "$tools/same.py" "$through" "$direct" ${shown[@]+"${shown[@]}"}
  checks "modes of the local registry" python3 "$tools/beside.py" alone "$through" "$direct" ${shown[@]+"${shown[@]}"}
  checks "clients, known schemas" "$root/tests/clients/run.sh" "$through" offline ${shown[@]+"${shown[@]}"}
  verdict "the sidecar stops cleanly" drains || true
  verdict "the log does not have the password" silent_about_the_password "$folder/outpost.log" || true
}

# Apicurio's own switch: what it refuses is relayed as it is.
read_only_round() {
  local folder=$1 port listener admin direct through
  read -r port _ listener admin < <(free_ports)
  direct=http://127.0.0.1:$port/apis/ccompat/v7 through=http://127.0.0.1:$listener
  beside_configuration "$listener" "$admin" "$folder" >"$folder/outpost.yaml"
  echo "local: { urls: [\"$direct\"] }" >>"$folder/outpost.yaml"
  start_apicurio "$port" -Dapicurio.storage.read-only.enabled=true
  start_outpost "$folder"
  verdict "the sidecar becomes ready" is_ready "$admin" "$folder/outpost.log" || return 0
  checks "what the local registry refuses" python3 "$tools/beside.py" refused "$through" "$direct"
  checks "answers, byte for byte" python3 "$tools/same.py" "$through" "$direct"
  verdict "the sidecar stops cleanly" drains || true
}

# Starts a primary and a local registry, and a sidecar with both.
pair() {
  local folder=$1 primary=$2 local=$3 listener=$4 admin=$5 more=${6:-}
  {
    beside_configuration "$listener" "$admin" "$folder"
    echo "primary: { urls: [\"http://127.0.0.1:$primary/apis/ccompat/v7\"], requests_per_second: 500 }"
    echo "local: { urls: [\"http://127.0.0.1:$local/apis/ccompat/v7\"]$more }"
  } >"$folder/outpost.yaml"
  start_apicurio "$primary" "-Dapicurio.datasource.url=jdbc:h2:file:$folder/primary"
  start_apicurio "$local"
}

# One switch of the default context sends everything to one registry or the other.
beside_round() {
  local folder=$1 primary local listener admin a b through
  read -r primary local listener admin < <(free_ports)
  a=http://127.0.0.1:$primary/apis/ccompat/v7 b=http://127.0.0.1:$local/apis/ccompat/v7 through=http://127.0.0.1:$listener
  pair "$folder" "$primary" "$local" "$listener" "$admin"
  checks "seed before the sidecar starts" python3 "$tools/answers.py" seed "$a" before
  start_outpost "$folder"
  verdict "the sidecar becomes ready" is_ready "$admin" "$folder/outpost.log" || return 0
  checks "forwarded, local and read-only" python3 "$tools/beside.py" switch "$through" "$a" "$b"
  "$tools/apicurio.sh" stop "$primary"
  checks "clients, online in READWRITE, primary away" "$root/tests/clients/run.sh" "$through" online
  verdict "the sidecar stops cleanly" drains || true
  start_outpost "$folder"
  verdict "the sidecar becomes ready again, primary away" is_ready "$admin" "$folder/outpost.log" || return 0
  checks "local, primary away" python3 "$tools/beside.py" away "$through" "$b"
  checks "clients, known schemas, after a restart" "$root/tests/clients/run.sh" "$through" offline
  start_apicurio "$primary" "-Dapicurio.datasource.url=jdbc:h2:file:$folder/primary"
  verdict "a full pass" full_pass "$admin" || true
  checks "forwarded again" python3 "$tools/beside.py" back "$through" "$a" "$b"
  verdict "the sidecar stops cleanly again" drains || true
}

gives_own_ids() {
  (cd "$root" && OUTPOST_LOCAL_PEER=$1 cargo test --test importer peer -- --ignored) | grep -F 'test result: ok. 1 passed'
}

# The importer's second copy, in a registry that takes explicit ids and does not keep them.
writer_round() {
  local folder=$1 primary local listener admin a b through
  read -r primary local listener admin < <(free_ports)
  a=http://127.0.0.1:$primary/apis/ccompat/v7 b=http://127.0.0.1:$local/apis/ccompat/v7 through=http://127.0.0.1:$listener
  pair "$folder" "$primary" "$local" "$listener" "$admin" ", writer: true"
  checks "seed the local registry" python3 "$tools/answers.py" seed "$b" own
  checks "seed before the sidecar starts" python3 "$tools/answers.py" seed "$a" before
  start_outpost "$folder"
  verdict "the sidecar becomes ready" is_ready "$admin" "$folder/outpost.log" || return 0
  checks "what the local registry could not keep" \
    python3 "$tools/beside.py" withheld "$through" "$a" "$b" --admin "http://127.0.0.1:$admin"
  verdict "the sidecar stops cleanly" drains || true
  start_outpost "$folder"
  verdict "the sidecar becomes ready again" is_ready "$admin" "$folder/outpost.log" || return 0
  checks "what the local registry could not keep, after a restart" \
    python3 "$tools/beside.py" still-withheld "$through" "$a" "$b" --admin "http://127.0.0.1:$admin"
  verdict "the sidecar stops cleanly again" drains || true
  verdict "what a larger replica leaves there" gives_own_ids "$b" || true
}
