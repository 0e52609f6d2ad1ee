#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# decoder_test.sh SERVER CLIENT: one file is the end of its decoder, and the next is decoded all the same.
set -eu
server=$1
client=$2

output=$("$client" "$server" 2>/dev/null)
echo "$output"
echo "$output" | grep -qx 'harmless: 4 x 2 pixels'
# A sanitizer ends it by itself.
echo "$output" | grep -Eq '^evil: .*(was killed by signal 11|exited with status 1)'
echo "$output" | grep -qx 'harmless again: 4 x 2 pixels'
