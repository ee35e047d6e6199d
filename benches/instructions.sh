#!/bin/sh
# Instructions and system calls of one cached read: the difference of two runs that serve an exact number of them.
# Needs valgrind and strace. A callgrind profile of the longer run is left in target/callgrind.<server>.<client>.
set -eu
cd "$(dirname "$0")/.."

few=2000
many=12000
out=${CARGO_TARGET_DIR:-target}
program=$(cargo bench --no-run --bench instructions 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')

instructions() {
    valgrind --tool=callgrind --callgrind-out-file="$out/callgrind.$1.$3" "$program" "$1" "$2" "$3" 2>&1 |
        sed -n 's/.*Collected : //p'
}

# A file a thread. The client, which is a program of its own, is let go: slowed down like the server, it would let that wait.
calls() {
    rm -rf "$out/calls"
    mkdir "$out/calls"
    strace -ff -qq -b execve -o "$out/calls/of" "$program" "$1" "$2" "$3"
    cat "$out"/calls/of.* | wc -l
}

printf '%-8s %-7s %21s %21s\n' server client instructions/request 'system calls/request'
for client in curt java; do
    for server in bare outpost; do
        less=$(instructions "$server" "$few" "$client")
        more=$(instructions "$server" "$many" "$client")
        asked=$(($(calls "$server" "$many" "$client") - $(calls "$server" "$few" "$client")))
        printf '%-8s %-7s %21d %18d.%02d\n' "$server" "$client" $(((more - less) / (many - few))) \
            $((asked / (many - few))) $((asked * 100 / (many - few) % 100))
    done
done
