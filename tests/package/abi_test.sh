#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# abi_test.sh VERDICT: what abi_verdict.sh says of a small library after each kind of change, and how it ends.
set -eu
verdict=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# library NAME [SONAME]: from the header on standard input, which also has the bodies.
library() {
  mkdir "$work/$1"
  cat >"$work/$1/public.h"
  echo '#include "public.h"' >"$work/$1/library.cc"
  ${CXX:-c++} -std=c++20 -g -fPIC -shared -Wl,-soname,"${2:-libtried.so.1}" -o "$work/$1/libtried.so" \
    "$work/$1/library.cc"
}

# expect STATUS TEXT NAME: of the library NAME after the first one.
expect() {
  status=0
  said=$("$verdict" "$work/old/libtried.so" "$work/$3/libtried.so" "$work/old" "$work/$3" 2>&1) || status=$?
  case $said in
    *"$2"*) [ "$status" -ne "$1" ] || return 0 ;;
  esac
  printf 'abi_test: %s: ended with %s, not %s, or did not say "%s":\n%s\n' "$3" "$status" "$1" "$2" "$said" >&2
  exit 1
}

library old <<'LIBRARY'
struct Options { int first = 1; };
struct Call { explicit Call(Options options); virtual ~Call(); virtual void Run(); int left; };
int Count(const Call& call);
Call::Call(Options options) : left(options.first) {}
Call::~Call() = default;
void Call::Run() {}
int Count(const Call& call) { return call.left; }
LIBRARY
sed 's/^struct Options.*/struct Options { int first = 1; int second = 2; };/' "$work/old/public.h" | library grown
sed 's/virtual void Run();/virtual void Walk() {} virtual void Run();/' "$work/old/public.h" | library before
sed '/^int Count/d' "$work/old/public.h" | library less
sed '$a int More() { return 1; }' "$work/old/public.h" | library more
sed 's/return call.left;/return call.left + 1;/' "$work/old/public.h" | library inside
sed '/^int Count/d' "$work/old/public.h" | library renamed libtried.so.2

expect 0 'the same' old
expect 0 'the same' inside
expect 0 'only additions' more
expect 0 'new:      int More()' more
expect 1 'gone:     int Count(const Call&)' less
expect 1 'changed:  struct Options' grown
expect 1 'BROKEN' before
expect 0 'libtried.so.1 became libtried.so.2' renamed
echo 'no library' >"$work/renamed/libtried.so"
expect 2 'cannot compare' renamed
