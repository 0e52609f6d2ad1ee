#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tap_test.sh TAP SERVER CLIENT: the programs of examples/hello, with a tap between them of which neither knows.
set -eu
tap=$1
server=$2
client=$3

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
fail() {
  echo "tap_test: $1" >&2
  exit 1
}

mkdir -m 700 "$NEARCALL_DIR/upstream"
NEARCALL_DIR=$NEARCALL_DIR/upstream "$server" &
server_pid=$!
"$tap" shm:hello "shm:$NEARCALL_DIR/upstream/hello" >"$NEARCALL_DIR/log" &
tap_pid=$!
trap 'kill "$server_pid" "$tap_pid" 2>/dev/null || true; rm -rf "$NEARCALL_DIR"' EXIT

case $("$client" world) in
  "Hello, world, process "*) ;;
  *) fail "the greeting did not come through" ;;
esac
kill -TERM "$tap_pid"
wait "$tap_pid" || fail "the tap ended with status $?"
[ "$(cat "$NEARCALL_DIR/log")" = "hello.Greeter/Greet: OK" ] || fail "the tap has seen: $(cat "$NEARCALL_DIR/log")"
kill -TERM "$server_pid"
wait "$server_pid" || fail "the server ended with status $?"
