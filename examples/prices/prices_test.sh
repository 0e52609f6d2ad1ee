#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# prices_test.sh SERVER CLIENT: who has subscribed gets what is published then, whoever else has gone.
set -eu
server=$1
client=$2

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
"$server" &
server_pid=$!
trap 'kill "$server_pid" 2>/dev/null || true; rm -rf "$NEARCALL_DIR"' EXIT

fail() {
  echo "prices_test: $1" >&2
  exit 1
}

# Publishes a price of 1 until so many have subscribed.
await() {
  tries=0
  while [ "$("$client" publish 1)" != "to $1" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 500 ] || fail "there are never $1 subscribers"
  done
}

"$client" watch all >"$NEARCALL_DIR/all" &
all=$!
"$client" watch latest >"$NEARCALL_DIR/latest" &
latest=$!
"$client" watch all 1 >"$NEARCALL_DIR/one" &
one=$!
await 2  # of three, one of whom has left after a price
wait "$one" || fail "who wanted one price has failed"
[ "$(cat "$NEARCALL_DIR/one")" = 1 ] || fail "who wanted one price got $(cat "$NEARCALL_DIR/one")"
"$client" publish 100 200 300 >"$NEARCALL_DIR/published" || fail "nothing could be published"
"$client" close || fail "the topic could not be closed"
wait "$all" "$latest" || fail "a subscription did not end well"
[ "$(grep -v missed "$NEARCALL_DIR/all" | tail -n 1)" = 300 ] || fail "the last price is not there"
[ "$(grep -v missed "$NEARCALL_DIR/latest" | tail -n 1)" = 300 ] || fail "the latest price is not there"

kill -TERM "$server_pid"
wait "$server_pid" || fail "the server ended with status $?"
