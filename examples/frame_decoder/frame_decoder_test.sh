#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# frame_decoder_test.sh SERVER CLIENT: a frame comes as it was filmed; of a film that ends too early there is none.
set -eu
server=$1
client=$2

output=$("$client" "$server")
echo "$output"
echo "$output" | grep -qx '2160 rows: 2160 runs, 33177600 bytes, as they were filmed'
echo "$output" | grep -qx '2159 rows: the film ends'
