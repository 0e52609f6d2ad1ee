#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# build.sh DIRECTORY: makes the site of the documentation there. A link that leads nowhere is an error, and so is what
# Doxygen warns of in the public headers.
set -eu
root=$(cd -P -- "$(dirname -- "$0")/../.." && pwd)
mkdir -p "$1"
site=$(cd -P -- "$1" && pwd)
cd "$root"
mkdocs build --quiet --strict --clean --config-file tools/docs/mkdocs.yml --site-dir "$site"
warnings=$({ cat tools/docs/Doxyfile && echo "OUTPUT_DIRECTORY = $site"; } | doxygen - 2>&1)
[ -z "$warnings" ] || {
  printf '%s\n' "$warnings"
  exit 1
}
echo "$site/index.html; $site/reference/index.html"
