#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# over_grpc_test.sh SOURCES PROTOC SERVER PROXY [PLUGIN]: over_grpc.py against the search server, through the proxy.
# Exits with 77 where Python or protoc lacks what is gRPC's.
set -euo pipefail

sources=$1 protoc=$2 server=$3 proxy=$4 plugin=${5:-}
processes=()
work=$(mktemp -d)

clean_up() {
  local process
  for process in "${processes[@]}"; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  rm -rf -- "$work"
}
trap clean_up EXIT

skip() {
  printf '%s:0: Skipped\n%s\n' "$sources/examples/search/over_grpc.py" "$1"
  exit 77
}

die() {
  printf 'over_grpc_test: %s\n' "$*" >&2
  exit 1
}

python=
for candidate in /usr/bin/python3 python3; do
  if "$candidate" -c 'import grpc, google.protobuf' 2>/dev/null; then python=$candidate && break; fi
done
[ -n "$python" ] || skip "no Python with gRPC (python3-grpcio)"
[ -x "$plugin" ] || skip "no grpc_python_plugin (protobuf-compiler-grpc)"

# What the other language is given: the .proto, and what it imports.
mkdir "$work/generated" "$work/tree" "$work/names"
"$protoc" -I"$sources/examples/search" -I"$sources/idl" --plugin=protoc-gen-grpc="$plugin" \
  --python_out="$work/generated" --grpc_out="$work/generated" search.proto
"$protoc" -I"$sources/idl" --python_out="$work/generated" nearcall/options.proto
export NEARCALL_DIR=$work/names PYTHONPATH=$work/generated PYTHONDONTWRITEBYTECODE=1
unset http_proxy https_proxy grpc_proxy HTTP_PROXY HTTPS_PROXY
# Python code that one version of protoc has made may be too new for the library.
"$python" -c 'import search_pb2, search_pb2_grpc' 2>"$work/import" ||
  skip "Python's protobuf is another version than protoc"

printf 'one semaphore\nand another line\n' >"$work/tree/one.txt"
printf 'nothing\n' >"$work/tree/two.txt"
{ seq 5000 && echo 'a semaphore at the end'; } >"$work/three.txt"

"$server" search "$work/tree" >"$work/server.log" 2>&1 &
processes+=($!)
"$proxy" grpc:127.0.0.1:0 search >"$work/proxy.log" 2>"$work/proxy.errors" &
processes+=($!)
for _ in $(seq 3000); do
  [ -S "$NEARCALL_DIR/search" ] && [ -s "$work/proxy.log" ] && break
  sleep 0.01
done
address=$(sed -nE 's/^grpc:(.*) -> search$/\1/p' "$work/proxy.log")
[ -n "$address" ] || die "the proxy does not start: $(cat "$work/proxy.errors")"

"$python" "$sources/examples/search/over_grpc.py" "$address" semaphore "$work/three.txt" >"$work/said" ||
  die "the client has ended with $?: $(cat "$work/said" "$work/proxy.errors" "$work/server.log")"
sed "s,$work/,," "$work/said" >"$work/got"
cat >"$work/wanted" <<'END'
1 files
tree/one.txt:1: one semaphore
sent 1 files of 23916 bytes
heard of three.txt:5001: a semaphore at the end
2 files
INVALID_ARGUMENT: no word to search for: words have 2 to 64 letters or digits
END
diff -u "$work/wanted" "$work/got" || die "it has said something else"

# Both end well, and leave nothing.
for process in "${processes[@]}"; do
  kill "$process"
  wait "$process" || die "a process has ended with $?"
done
processes=()
[ -z "$(find "$NEARCALL_DIR" -type s)" ] || die "a socket is left"
