#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# package_test.sh WAY SOURCE BUILD WORK: `install` installs Nearcall to WORK/prefix; the other ways build and run a
# program that is not part of the project (project/) with it, in each of the ways that users have.
set -eu
verb=$1
source=$2
build=$3
work=$4
project=$source/tests/package/project
prefix=$work/prefix

run_contract_test() {
  "$1" || {
    echo "package_test: the contract does not hold" >&2
    exit 1
  }
}

install_package() {
  rm -rf "$work"
  mkdir -p "$work"
  cmake --install "$build" --prefix "$work/elsewhere"
  mv "$work/elsewhere" "$prefix" # an installed tree may be moved
  # Not the source's name alone: that may be one that an installed file has, too, such as /nearcall.
  set -- -e "$build" -e "$work"
  for part in "$source"/*/; do set -- "$@" -e "$part"; done
  if grep -rIlF "$@" "$prefix"; then
    echo "package_test: the files above name a directory of the machine that built them" >&2
    exit 1
  fi
}

# configure DIRECTORY [OPTION...]
configure() {
  dir=$work/$1
  shift
  cmake -S "$project" -B "$dir" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" "$@"
}

find_package() {
  configure find_package
  cmake --build "$dir"
  run_contract_test "$dir/contract_test"
}

find_package_static() {
  configure find_package_static -DNEARCALL_LINK=nearcall::nearcall_static
  cmake --build "$dir"
  run_contract_test "$dir/contract_test"
}

# nearcall::grpc, and its archive.
beyond() {
  for target in nearcall::grpc nearcall::grpc_static; do
    link=nearcall::nearcall
    [ "$target" = nearcall::grpc ] || link=nearcall::nearcall_static
    configure beyond -DBEYOND="$target" -DNEARCALL_LINK="$link"
    cmake --build "$dir" --target beyond
    [ "$("$dir/beyond")" = hello ]
  done
}

# Two plug-ins that know nothing of each other, in one process.
plugins() {
  configure plugins -DPLUGINS=ON
  cmake --build "$dir" --target plugin_host plugin_a plugin_b
  "$dir/plugin_host" "$dir/libplugin_a.so" "$dir/libplugin_b.so" || {
    echo "package_test: two plug-ins of one process cannot both use nearcall" >&2
    exit 1
  }
}

# generate DIRECTORY: makes it, goes there, and generates the program's code, with what pkg-config knows.
generate() {
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name nearcall.pc)")${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
  export PKG_CONFIG_PATH
  mkdir -p "$work/$1"
  cd "$work/$1"
  protoc --plugin="$(pkg-config --variable=plugin nearcall)" -I "$project" \
    -I "$(pkg-config --variable=includedir nearcall)" --cpp_out=. --nearcall_out=. "$project/echo.proto"
}

# Every compiler that is here, without a warning: each standard, with RTTI or without, linked in each way.
compilers() {
  generate compilers
  tried=
  for compiler in g++ g++-12 g++-13 g++-14 clang++ clang++-14 clang++-19; do
    path=$(command -v "$compiler") || continue
    path=$(readlink -f "$path")
    case "$tried " in *" $path "*) continue ;; esac
    tried="$tried $path"
    compile_with "$compiler" -std=c++20 -fno-rtti
    compile_with "$compiler" -std=c++2b -frtti
  done
}

# compile_with COMPILER OPTION...
compile_with() {
  echo "$*"
  for file in "$project"/*contract*.cc echo.pb.cc echo.nearcall.pb.cc; do
    # shellcheck disable=SC2046 # these are lists of flags
    "$@" -Wall -Wextra -Werror -I. $(pkg-config --cflags nearcall) -c "$file" -o "$(basename "$file" .cc).o"
  done
  objects='contract_test.o async_contract.o derived_contract.o echo.pb.o echo.nearcall.pb.o'
  # shellcheck disable=SC2046,SC2086
  "$@" -o with_archive $objects $(pkg-config --static --libs nearcall | sed 's/-lnearcall\b/-l:libnearcall.a/')
  # shellcheck disable=SC2046,SC2086
  "$@" -o contract_test $objects $(pkg-config --libs nearcall)
  run_contract_test ./with_archive
  LD_LIBRARY_PATH=$(pkg-config --variable=libdir nearcall) run_contract_test ./contract_test
}

pkg_config() {
  generate pkg_config
  # shellcheck disable=SC2046 # these are lists of flags
  ${CXX:-c++} -std=c++20 -Wall -Wextra -Werror -I. $(pkg-config --cflags nearcall) -o contract_test \
    "$project"/*contract*.cc echo.pb.cc echo.nearcall.pb.cc $(pkg-config --libs nearcall)
  LD_LIBRARY_PATH=$(pkg-config --variable=libdir nearcall)
  export LD_LIBRARY_PATH # for a shared libnearcall
  run_contract_test ./contract_test
}

# The files that the documentation begins with, as they stand there, and what it says to do with them.
quick_start() {
  rm -rf "$work/quick_start"
  mkdir -p "$work/quick_start"
  cd "$work/quick_start"
  awk '/`[^`]*`:$/ { name = $0; sub(/`:$/, "", name); sub(/.*`/, "", name) }
       /^```/ { inside = !inside && name != ""; if (!inside) name = ""; next }
       inside { print > name }' "$source/docs/index.md"
  cmake -B build -G Ninja -DCMAKE_PREFIX_PATH="$prefix"
  cmake --build build
  NEARCALL_DIR=$(mktemp -d)
  export NEARCALL_DIR
  build/server &
  server=$!
  trap 'kill "$server" 2>/dev/null; wait; rm -rf "$NEARCALL_DIR"' EXIT
  until [ -e "$NEARCALL_DIR/counter" ]; do kill -0 "$server" && sleep 0.05; done
  [ "$(build/client)" = "$(seq 5)" ]
  [ "$(NEARCALL_TRANSPORT=pipe build/client)" = "$(seq 5)" ]
  nearcall=$prefix/bin/nearcall
  [ -x "$nearcall" ] || return 0 # built where CLI11 is
  "$nearcall" ls counter demo.Counter | grep Count
  [ "$("$nearcall" call counter demo.Counter/Sum -d '{"from": 1, "to": 100}')" = '{"value":5050}' ]
}

# Configured only: what it would build is what the project's own build is.
add_subdirectory() {
  cmake -S "$project" -B "$work/add_subdirectory" -G Ninja -DNEARCALL_SOURCE_DIR="$source"
}

case $verb in
  install) install_package ;;
  find_package | find_package_static | pkg_config | add_subdirectory) "$verb" ;;
  beyond | plugins | compilers | quick_start) "$verb" ;;
  *)
    echo "package_test: unknown verb $verb" >&2
    exit 2
    ;;
esac
