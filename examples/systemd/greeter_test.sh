#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# greeter_test.sh SERVER CLIENT UNITS: systemd's own activator starts the server, which answers the client that has
# woken it; systemd finds nothing wrong with the units. Where there is no systemd it ends with 77: skipped.
set -eu
server=$1
client=$2
units=$3

fail() {
  echo "greeter_test: $1" >&2
  exit 1
}

command -v systemd-socket-activate >/dev/null || exit 77
directory=$(mktemp -d)
activator=
trap '[ -z "$activator" ] || kill "$activator" 2>/dev/null || true; rm -rf "$directory"' EXIT

systemd-socket-activate --seqpacket --listen="$directory/greeter" --fdname=greeter "$server" 2>"$directory/log" &
activator=$!
for _ in $(seq 100); do
  [ ! -S "$directory/greeter" ] || break
  sleep 0.1
done
answer=$("$client" "shm:$directory/greeter") || fail "the client failed: $(cat "$directory/log")"
[ "$answer" = "Hello, reader!" ] || fail "the client printed: $answer"
kill -TERM "$activator"
wait "$activator" || fail "the server ended with status $?: $(cat "$directory/log")"
activator=

# What it says of units that stand elsewhere on this machine does not count.
sed "s,/usr/local/bin/greeter,$server," "$units/greeter.service" >"$directory/greeter.service"
cp "$units/greeter.socket" "$directory"
faults=$(systemd-analyze verify --man=no "$directory/greeter.socket" "$directory/greeter.service" 2>&1 |
  grep -F "$directory" || true)
[ -z "$faults" ] || fail "systemd says of the units: $faults"
