#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# ask_back_test.sh CLEANER CLEAN: the server asks its client for each file; a client without answers ends its call.
set -eu
cleaner=$1
clean=$2

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
"$cleaner" &
cleaner_pid=$!
trap 'kill "$cleaner_pid" 2>/dev/null || true; rm -rf "$NEARCALL_DIR"' EXIT

fail() {
  echo "ask_back_test: $1" >&2
  exit 1
}

said=$(printf 'y\nn\ny\n' | "$clean" a b c) || fail "the client failed"
expected=$(printf 'Remove a?\nRemove b?\nRemove c?\n2 removed')
[ "$said" = "$expected" ] || fail "the client printed: $said"

if error=$("$clean" a </dev/null 2>&1); then fail "nobody has answered: $error"; fi
case $error in
  *"nobody answers"*) ;;
  *) fail "the error does not say what is wrong: $error" ;;
esac

kill -TERM "$cleaner_pid"
wait "$cleaner_pid" || fail "the server ended with status $?"
