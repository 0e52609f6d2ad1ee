#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# copy_sources.sh DIRECTORY: these sources as they are now, committed or not, in a new directory. What is written beside
# them there lies beside no source of ours.
set -eu
root=$(cd -P -- "$(dirname -- "$0")/.." && pwd)
rm -rf -- "$1"
mkdir -p -- "$1"
tar -C "$root" --exclude=./.git --exclude='./build*' --exclude=./.cache -cf - . | tar -C "$1" -xf -
