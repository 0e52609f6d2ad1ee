#!/bin/sh
# package_test.sh install|find_package|pkg_config|add_subdirectory SOURCE BUILD WORK: installs Nearcall to WORK/prefix,
# and builds and runs a program that is not part of the project (project/) with it, in each of the ways that users have.
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
  if grep -rIl -e "$source" -e "$build" -e "$work" "$prefix"; then
    echo "package_test: the files above name a directory of the machine that built them" >&2
    exit 1
  fi
}

find_package() {
  cmake -S "$project" -B "$work/find_package" -G Ninja -DCMAKE_PREFIX_PATH="$prefix"
  cmake --build "$work/find_package"
  run_contract_test "$work/find_package/contract_test"
}

pkg_config() {
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name nearcall.pc)")
  export PKG_CONFIG_PATH
  mkdir -p "$work/pkg_config"
  cd "$work/pkg_config"
  protoc --plugin="$(pkg-config --variable=plugin nearcall)" -I "$project" \
    -I "$(pkg-config --variable=includedir nearcall)" --cpp_out=. --nearcall_out=. "$project/echo.proto"
  # shellcheck disable=SC2046 # these are lists of flags
  ${CXX:-c++} -std=c++20 -Wall -Wextra -Werror -I. $(pkg-config --cflags nearcall) -o contract_test \
    "$project/contract_test.cc" echo.pb.cc echo.nearcall.pb.cc $(pkg-config --libs nearcall)
  LD_LIBRARY_PATH=$(pkg-config --variable=libdir nearcall)
  export LD_LIBRARY_PATH # for a shared libnearcall
  run_contract_test ./contract_test
}

# Configured only: what it would build is what the project's own build is.
add_subdirectory() {
  cmake -S "$project" -B "$work/add_subdirectory" -G Ninja -DNEARCALL_SOURCE_DIR="$source"
}

case $verb in
  install) install_package ;;
  find_package | pkg_config | add_subdirectory) "$verb" ;;
  *)
    echo "package_test: unknown verb $verb" >&2
    exit 2
    ;;
esac
