#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh SERVER CLIENT DIRECTORY: serves a search over DIRECTORY, on each transport after the other, and shows every
# kind of call: hits that stream while they are found, files that go up in pieces, a watch that is changed while it goes
# on and tells of what others add, Ctrl-C; and latencies and throughput while files of /usr/include are sent. Fails
# unless all transports find the same. `./dev demo` builds both programs.
set -euo pipefail

search_server=$1
search_client=$2
directory=$3
transports=(shm mq pipe)
question=semaphore
server=
watch=
results=$(mktemp -d)

clean_up() {
  local program
  for program in $watch $server; do
    kill "$program" 2>/dev/null || true
    wait "$program" 2>/dev/null || true
  done
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

# start_watch TRANSPORT WORD: we write its changes to descriptor 8, and read what it prints from descriptor 9.
start_watch() {
  local pipes=$results/$1
  mkfifo "$pipes.changes" "$pipes.told"
  "$search_client" "$1:search" watch "$2" <"$pipes.changes" >"$pipes.told" 2>"$pipes.end" &
  watch=$!
  exec 8>"$pipes.changes" 9<"$pipes.told"
}

# watch_says PATTERN: what it prints next.
watch_says() {
  local line
  read -r -t 60 line <&9 || die "the watch says nothing, and was to say '$1'"
  printf '%s\n' "$line"
  # shellcheck disable=SC2254 # a pattern
  case $line in $1) ;; *) die "the watch was to say '$1'" ;; esac
}

# As Ctrl-C does.
cancel_watch() {
  local status=0
  kill -INT "$watch"
  wait "$watch" || status=$?
  watch=
  exec 8>&- 9<&-
  cat "$results/$1.end"
  [ "$status" -eq 130 ] || die "Ctrl-C ended the watch with status $status"
}

# streams_over TRANSPORT: every kind of stream. Leaves RESULTS/TRANSPORT.found.
streams_over() {
  local transport=$1 notes=$results/notes
  start_watch "$transport" needle
  watch_says 'watching: needle'
  printf 'hay\na needle, and a pin\n' >"$notes"
  "$search_client" "$transport:search" add "$notes" || die "the upload over $transport failed"
  watch_says 'needle: *:2: a needle, and a pin'
  printf 'pin\n-needle\n' >&8
  watch_says 'watching: needle pin'
  watch_says 'watching: pin'
  printf 'a needle\na pin\n' >"$notes"
  "$search_client" "$transport:search" add "$notes" || die "the upload over $transport failed"
  watch_says 'pin: *:2: a pin'
  cancel_watch "$transport"

  "$search_client" "$transport:search" find "$question" >"$results/$transport.found" ||
    die "the search over $transport failed"
  sed -n '1,3p; $p' "$results/$transport.found"
}

# load_over TRANSPORT: leaves RESULTS/TRANSPORT.hits and RESULTS/TRANSPORT.figures.
load_over() {
  local transport=$1
  "$search_client" --tree=/usr/include --max_tree_mib=32 --alone=500ms --beside=1s \
    "$transport:search" load "$question" | tee "$results/$transport.figures" || die "the load over $transport failed"
  "$search_client" --hits=1000 "$transport:search" best "$question" >"$results/$transport.hits" ||
    die "the search over $transport failed"
}

NEARCALL_DIR=$results/sockets
mkdir -m 700 "$NEARCALL_DIR"
export NEARCALL_DIR

for transport in "${transports[@]}"; do
  start_search_server
  step "$transport: words are watched while files are added; then hits come as they are found"
  streams_over "$transport"
  step "$transport: files of /usr/include are sent; how long does '$question' take meanwhile?"
  load_over "$transport"
  stop_search_server
done

step "the best hits, and how many there are"
sed -n '1,5p; $p' "$results/shm.hits"
step "the question '$question' alone, and beside the bulk load on the same connection"
head -n -1 "$results/shm.figures" | tail -n 1
for transport in "${transports[@]}"; do tail -n 1 "$results/$transport.figures"; done
for transport in "${transports[@]}"; do
  for hits in found hits; do
    diff -u "$results/shm.$hits" "$results/$transport.$hits" >&2 || die "$transport gave other hits than shm: see above"
  done
done
step "the same hits over ${transports[*]}"
