#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# abi_verdict.sh OLD.so NEW.so OLD_HEADERS NEW_HEADERS: do programs that were linked with OLD.so run with NEW.so? Both
# have debug information; types that are not in the public headers do not count. What stands in headers only, such as
# templates, is not seen: programs have their own copy of it.
#
# Ends with 0 if they do, or if NEW.so has another SONAME, so that they never load it; with 1 if they load it and break;
# with 2 if the libraries cannot be compared.
set -euo pipefail

old=$1 new=$2
compare=(abidiff --headers-dir1 "$3" --headers-dir2 "$4" --leaf-changes-only "$old" "$new")

# exit statuses of abidiff: 1 and 2 are errors, 4 is a change, of which 8 says that it breaks for sure.
status=0
report=$("${compare[@]}") || status=$?
if ((status & 3)); then
  printf 'abi: abidiff cannot compare %s with %s\n%s\n' "$old" "$new" "$report" >&2
  exit 2
fi
# What it says without what is new.
rest=0
[ "$status" -eq 0 ] || "${compare[@]}" --no-added-syms >/dev/null || rest=$?

soname() { readelf -d "$1" | sed -n 's/.*(SONAME).*\[\(.*\)\]$/\1/p'; }

# list LABEL SCRIPT: the lines of the report that sed SCRIPT prints, each once.
list() { sed -nE "$2" <<<"$report" | sort -u | sed "s/^/$1/"; }

[ -z "$report" ] || printf '%s\n\n' "$report"
list "gone:     " "s/^ *\[D\] '(function |method |)?(.*)'.*/\2/p"
list "changed:  " "s/^ *\[C\] '(function |method |)?(.*)'.*/\2/p; s/^'(.*) at [^ ]*' changed:/\1/p"
list "new:      " "s/^ *\[A\] '(function |method |)?(.*)'.*/\2/p"

if [ "$status" -eq 0 ]; then
  echo "==> the same: programs that were built with the old library run with the new one, and the other way round"
elif [ "$rest" -eq 0 ]; then
  echo "==> only additions: programs that were built with the old library run with the new one"
elif [ "$(soname "$old")" != "$(soname "$new")" ]; then
  echo "==> broken, and it says so: $(soname "$old") became $(soname "$new"), so that programs keep the old library" \
    "until they are built anew"
else
  echo "==> BROKEN: programs that were built with the old library load the new one, for both are $(soname "$new")," \
    "and crash or do not start. Undo it, or raise the version in CMakeLists.txt, so that the library has another name"
  exit 1
fi
