#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# mailbox_test.sh SERVER CLIENT: letters wait in their box, one that a taker drops goes to the next, a full box says so.
set -eu
server=$1
client=$2

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
"$server" 3 &
server_pid=$!
trap 'kill "$server_pid" 2>/dev/null || true; rm -rf "$NEARCALL_DIR"' EXIT

fail() {
  echo "mailbox_test: $1" >&2
  exit 1
}

expect() {
  [ "$1" = "$2" ] || fail "$3: $1"
}

for text in one two three; do
  "$client" put box "$text" || fail "no letter could be put"
done
if error=$("$client" put box four 2>&1); then fail "a fourth letter had room"; fi
case $error in
  DEADLINE_EXCEEDED*) ;;
  *) fail "the error is not the deadline: $error" ;;
esac
"$client" put other elsewhere || fail "another box was full, too"

expect "$("$client" take box 1)" one "the first letter is not the first"
expect "$("$client" drop box 2)" "two
three" "what was put is not there"
# Who has dropped them has gone; that the server knows may take a moment, and it is waited for.
expect "$("$client" take box 2)" "two (again)
three (again)" "what was dropped is not there again"
"$client" put box five || fail "there is no room after all was taken"
expect "$("$client" take box 1)" five "the box is not as it was"
expect "$("$client" take other 1)" elsewhere "the boxes are mixed up"

kill -TERM "$server_pid"
wait "$server_pid" || fail "the server ended with status $?"
