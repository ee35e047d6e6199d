#!/bin/sh
# Instructions and system calls of one cached read: the difference of two runs that serve an exact number of them.
# Needs valgrind and strace. A callgrind profile of the longer run is left in target/callgrind.<server>.<manner>.
set -eu
cd "$(dirname "$0")/.."

few=2000
many=12000
out=${CARGO_TARGET_DIR:-target}
program=$(cargo bench --no-run --bench instructions 2>&1 | sed -n 's/.*Executable.*(\(.*\)).*/\1/p')

instructions() {
    valgrind --tool=callgrind --callgrind-out-file="$out/callgrind.$1.$3" "$program" "$1" "$2" "$3" 2>&1 |
        sed -n 's/.*Collected : //p'
}

# Of the server alone: what the client process does is taken off.
calls() {
    strace -f -qq -c -e trace=network,read,write,desc -o "$out/strace.txt" "$program" "$1" "$2" "$3"
    awk '$NF == "total" { print $(NF - 1) ~ /^[0-9]+$/ && NF == 6 ? $(NF - 2) : $(NF - 1) }' "$out/strace.txt"
}

printf '%-8s %-5s %24s\n' server client instructions/request
for manner in curt java; do
    for server in bare outpost; do
        less=$(instructions "$server" "$few" "$manner")
        more=$(instructions "$server" "$many" "$manner")
        printf '%-8s %-5s %24s\n' "$server" "$manner" "$(((more - less) / (many - few)))"
    done
done
