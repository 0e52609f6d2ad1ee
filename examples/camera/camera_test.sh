#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# camera_test.sh SERVER VIEWER: three viewers see all frames of one camera, as they were taken.
set -eu
server=$1
viewer=$2

NEARCALL_DIR=$(mktemp -d)
export NEARCALL_DIR
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$NEARCALL_DIR"' EXIT

"$server" 20 3 &
server_pid=$!
for number in 1 2 3; do
  "$viewer" >"$NEARCALL_DIR/seen.$number" &
done
wait "$server_pid"
wait
for number in 1 2 3; do
  cat "$NEARCALL_DIR/seen.$number"
  grep -qx '20 frames seen, 0 wrong: OK' "$NEARCALL_DIR/seen.$number"
done
