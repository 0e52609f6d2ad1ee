#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# first_answer_test.sh ORACLE ASK: the one who answers is heard, whichever it is, and the other one is told to stop.
set -eu
oracle=$1
ask=$2

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
fail() {
  echo "first_answer_test: $1" >&2
  exit 1
}

"$oracle" quick 42 &
quick=$!
"$oracle" slow >"$NEARCALL_DIR/slow.log" &
slow=$!
trap 'kill "$quick" "$slow" 2>/dev/null || true; rm -rf "$NEARCALL_DIR"' EXIT

[ "$("$ask" one slow quick)" = 42 ] || fail "the answer of the second one was not heard"
[ "$("$ask" two quick slow)" = 42 ] || fail "the answer of the first one was not heard"
kill -TERM "$slow"
wait "$slow" || fail "the slow one ended with status $?"
# One that was cancelled before it had started has said nothing.
if grep -qv -e '^no longer asked: one$' -e '^no longer asked: two$' "$NEARCALL_DIR/slow.log"; then
  fail "the slow one was told: $(cat "$NEARCALL_DIR/slow.log")"
fi
kill -TERM "$quick"
wait "$quick" || fail "the quick one ended with status $?"
