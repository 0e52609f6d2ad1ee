#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh SERVER CLIENT DIRECTORY: serves a search over DIRECTORY, on each transport after the other, sends files of
# /usr/include meanwhile, and shows hits, latencies and throughput. Fails unless all transports find the same.
# `./dev demo` builds both programs.
set -euo pipefail

search_server=$1
search_client=$2
directory=$3
transports=(shm mq pipe)
question=semaphore
server=
results=$(mktemp -d)

clean_up() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf -- "$results"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

die() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

step() { printf '==> %s\n' "$*"; }

# On every transport under one name, without the files that clients send yet.
start_search_server() {
  "$search_server" search "$directory" &
  server=$!
  until "$search_client" --connect_timeout=1s search stats >/dev/null 2>&1; do
    kill -0 "$server" 2>/dev/null || die "the server has ended by itself"
  done
}

stop_search_server() {
  local status=0
  kill -TERM "$server"
  wait "$server" || status=$?
  server=
  [ "$status" -eq 0 ] || die "the server ended with status $status"
  [ -z "$(find "$NEARCALL_DIR" -type s)" ] || die "the server left its socket behind"
}

# search_over TRANSPORT: leaves RESULTS/TRANSPORT.hits and RESULTS/TRANSPORT.figures.
search_over() {
  local transport=$1
  step "$transport: files of /usr/include are sent; how long does '$question' take meanwhile?"
  start_search_server
  "$search_client" --tree=/usr/include --max_tree_mib=32 "$transport:search" load "$question" |
    tee "$results/$transport.figures" || die "the load over $transport failed"
  "$search_client" --hits=1000 "$transport:search" find "$question" >"$results/$transport.hits" ||
    die "the search over $transport failed"
  stop_search_server
}

NEARCALL_DIR=$results/sockets
mkdir -m 700 "$NEARCALL_DIR"
export NEARCALL_DIR

for transport in "${transports[@]}"; do search_over "$transport"; done

step "the first hits, and how many there are"
sed -n '1,5p; $p' "$results/shm.hits"
step "the question '$question' alone, and beside the bulk load on the same connection"
head -n -1 "$results/shm.figures" | tail -n 1
for transport in "${transports[@]}"; do tail -n 1 "$results/$transport.figures"; done
for transport in "${transports[@]}"; do
  diff -u "$results/shm.hits" "$results/$transport.hits" >&2 || die "$transport gave other hits than shm: see above"
done
step "the same hits over ${transports[*]}"
