#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# hello_test.sh SERVER CLIENT: the README's two programs talk to each other, and the server ends when it is told to.
set -eu
server=$1
client=$2

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
"$server" &
server_pid=$!
trap 'kill "$server_pid" 2>/dev/null || true; rm -rf "$NEARCALL_DIR"' EXIT

fail() {
  echo "hello_test: $1" >&2
  exit 1
}

answer=$("$client" reader) || fail "the client failed"
case $answer in
  "Hello, reader, process "[0-9]*"!") ;;
  *) fail "the client printed: $answer" ;;
esac

if error=$("$client" "" 2>&1); then fail "an empty name was greeted: $error"; fi
case $error in
  *"a greeting needs a name"*) ;;
  *) fail "the error does not say what is wrong: $error" ;;
esac

kill -TERM "$server_pid"
wait "$server_pid" || fail "the server ended with status $?"
[ -z "$(find "$NEARCALL_DIR" -type s)" ] || fail "the server left its socket behind"
