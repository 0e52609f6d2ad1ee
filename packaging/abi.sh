#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# abi.sh [OLD [NEW]]: do programs that were linked with libnearcall.so of commit OLD run with that of commit NEW? Builds
# both in build/abi, and compares what they export (abi_verdict.sh, which also says what the exit status means).
#
# OLD is by default the last release (a tag v...), else where this branch left origin/main, else the commit before this
# one. NEW is by default the sources as they are, committed or not. `./dev abi` installs what this needs.
set -euo pipefail

root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
work=$root/build/abi

die() {
  printf 'abi: %s\n' "$*" >&2
  exit 2
}

commit_of() { git -C "$root" rev-parse --verify --quiet "$1^{commit}"; }

default_old() {
  local head base
  head=$(commit_of HEAD) || return 1
  git -C "$root" describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null && return
  base=$(git -C "$root" merge-base HEAD origin/main 2>/dev/null) || base=$head
  if [ "$base" = "$head" ]; then base=$(commit_of HEAD~1) || return 1; fi
  echo "$base"
}

# build SIDE: the library of $work/SIDE/source. Its debug information has the types. Both sides are built alike, so that
# ccache compiles once what is the same. A compiler that is newer than the sources may warn: not of interest here.
build() {
  local launcher=()
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    export CCACHE_BASEDIR=$work/$1 CCACHE_NOHASHDIR=1
  fi
  cmake -S "$work/$1/source" -B "$work/$1/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS=-O0 -g -w" \
    -DNEARCALL_SHARED=ON -DNEARCALL_BUILD_TESTS=OFF -DNEARCALL_BUILD_EXAMPLES=OFF "${launcher[@]}" >"$work/$1/log" &&
    cmake --build "$work/$1/build" --target nearcall
}

[ $# -le 2 ] || die "takes two commits at most"
old=${1:-$(default_old)} || die "no history here; name the commit to compare with"
old_commit=$(commit_of "$old") || die "there is no commit $old"
new=${2:-"the sources here"}

rm -rf -- "$work"
mkdir -p "$work/old/source" "$work/new"
git -C "$root" archive "$old_commit" | tar -C "$work/old/source" -xf -
if [ $# -eq 2 ]; then
  new_commit=$(commit_of "$new") || die "there is no commit $new"
  mkdir "$work/new/source"
  git -C "$root" archive "$new_commit" | tar -C "$work/new/source" -xf -
else
  "$root/packaging/copy_sources.sh" "$work/new/source"
fi
build old || die "the library of $old does not build"
build new || die "the library of $new does not build"

printf '==> from %s to %s\n' "$(git -C "$root" log -1 --format='%h (%s)' "$old_commit")" "$new"
exec "$root/packaging/abi_verdict.sh" "$work"/{old,new}/build/runtime/libnearcall.so \
  "$work"/{old,new}/source/runtime/include
