#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# interop_test.sh SOURCES PROTOC SERVER: runs interop.py with the first Python that has protobuf's package. Exits with
# 77 if there is none.
for python in /usr/bin/python3 python3; do
  if "$python" -c 'import google.protobuf' 2>/dev/null; then exec "$python" -B "$1/tests/python/interop.py" "$@"; fi
done
printf '%s:0: Skipped\nno Python with protobuf (python3-protobuf)\n' "$1/tests/python/interop.py"
exit 77
