#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# deb.sh: makes Debian packages of these sources, for the distribution that it runs on, in build/deb, and lets lintian
# judge them. `./dev deb` installs what this needs.
set -euo pipefail

root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
work=$root/build/deb

die() {
  printf 'deb: %s\n' "$*" >&2
  exit 1
}

rm -rf -- "$work"
"$root/packaging/copy_sources.sh" "$work/nearcall"
(cd "$work/nearcall" && dpkg-buildpackage --build=binary --no-sign) || die "no packages: see above"
lintian --allow-root --fail-on error,warning "$work"/*.changes || die "lintian found something: see above"
printf '==> %s\n' "$work"/*.deb
