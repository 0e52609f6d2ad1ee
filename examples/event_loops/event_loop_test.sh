#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# event_loop_test.sh PROGRAM: it serves and calls, on one thread, and leaves no socket behind.
set -eu

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
trap 'rm -rf "$NEARCALL_DIR"' EXIT

fail() {
  echo "event_loop_test: $1" >&2
  exit 1
}

said=$("$1") || fail "the program failed"
[ "$said" = "Hello, reader!
Hello, writer!
Hello, loop!
Threads: 1" ] || fail "the program printed: $said"
[ -z "$(find "$NEARCALL_DIR" -type s)" ] || fail "the program left its socket behind"
