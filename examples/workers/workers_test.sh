#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# workers_test.sh WORKER DISPATCH: two workers share the jobs; one of them is killed, and the other one has them all.
set -eu
worker=$1
dispatch=$2

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
fail() {
  echo "workers_test: $1" >&2
  exit 1
}

"$dispatch" 10 >"$NEARCALL_DIR/early" &  # before there is a worker
early=$!
"$worker" >/dev/null &
first=$!
trap 'kill "$first" "$second" 2>/dev/null || true; rm -rf "$NEARCALL_DIR"' EXIT
second=$first
wait "$early" || fail "who came before the workers was not served"
[ "$(cat "$NEARCALL_DIR/early")" = "385 by 1" ] || fail "the early one got $(cat "$NEARCALL_DIR/early")"
"$worker" >/dev/null &
second=$!
said=$("$dispatch" 100 2) || fail "jobs failed"
[ "$said" = "338350 by 2" ] || fail "two workers: $said"
kill -KILL "$first"
wait "$first" || true
said=$("$dispatch" 100) || fail "jobs failed after a worker died"
[ "$said" = "338350 by 1" ] || fail "one worker: $said"
kill -TERM "$second"
wait "$second" || fail "a worker ended with status $?"
