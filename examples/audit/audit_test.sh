#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# audit_test.sh SERVER CLIENT: a call without the token is refused, and each one stands in the server's log.
set -eu
server=$1
client=$2

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
LEDGER_TOKEN=sesame "$server" >"$NEARCALL_DIR/log" &
server_pid=$!
trap 'kill "$server_pid" 2>/dev/null || true; rm -rf "$NEARCALL_DIR"' EXIT

fail() {
  echo "audit_test: $1" >&2
  exit 1
}

said=$(LEDGER_TOKEN=sesame "$client" one two) || fail "the client failed"
[ "$said" = "$(printf 'one\ntwo')" ] || fail "the client printed: $said"
if error=$("$client" three 2>&1); then fail "a call without a token was served: $error"; fi
case $error in
  *"UNAUTHENTICATED: the ledger wants a token"*) ;;
  *) fail "the error does not say what is wrong: $error" ;;
esac

kill -TERM "$server_pid"
wait "$server_pid" || fail "the server ended with status $?"
user=$(id -u)
expected="user $user: audit.Ledger/Add, OK, 1 received, 1 sent
user $user: audit.Ledger/Add, OK, 1 received, 1 sent
user $user: audit.Ledger/List, OK, 1 received, 2 sent
user $user: audit.Ledger/Add, UNAUTHENTICATED, 1 received, 0 sent"
[ "$(cat "$NEARCALL_DIR/log")" = "$expected" ] || fail "the log is: $(cat "$NEARCALL_DIR/log")"
