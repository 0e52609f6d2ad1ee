#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# check_changelog in a history of its own. The argument is the directory of this file.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd "$work"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_CEILING_DIRECTORIES=$work

die() {
  echo "check_changelog_test: $*" >&2
  exit 1
}

# change FILE...: a commit
change() {
  local file
  for file; do
    mkdir -p "$(dirname "$file")"
    echo x >>"$file"
  done
  git add -A
  git commit -qm x
}

passes() { "$1/check_changelog" >/dev/null || die "does not pass: $2"; }
refuses() { if "$1/check_changelog" 2>/dev/null; then die "passes: $2"; fi; }

passes "$1" "a directory without a history"
git init -q
change runtime/include/nearcall/a.h
passes "$1" "the first commit"
change runtime/src/a.h
passes "$1" "a change inside"
change runtime/include/nearcall/a.h
refuses "$1" "a change of a public header"
change runtime/include/nearcall/a.h CHANGELOG.md
passes "$1" "a change of a public header that is told"
change runtime/PROTOCOL.md
refuses "$1" "a change of the protocol"
change README.md
echo x >>idl-is-not-this
mkdir -p idl/nearcall
echo x >idl/nearcall/options.proto
refuses "$1" "a new file of the options, not committed yet"
