#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# line_sorter_test.sh SERVER CLIENT: a child sorts the lines of a file that it is given the descriptor of.
set -eu
server=$1
client=$2

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

fail() {
  echo "line_sorter_test: $1" >&2
  exit 1
}

printf 'pear\napple\nfig\n' >"$directory/fruit"
said=$("$client" "$server" "$directory/fruit") || fail "the client failed"
expected=$(printf 'apple\nfig\npear')
[ "$said" = "$expected" ] || fail "the client printed: $said"

if error=$("$client" "$server" "$directory" 2>&1); then fail "a directory has no lines: $error"; fi
