#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Read by ./dev: which packages of Debian each of its verbs needs, and how to tell that one is missing.

has_file() { [ -e "$1" ]; }
has_program() { command -v "$1" >/dev/null; }
has_header() { [ -e "/usr/include/$1" ] || [ -e "/usr/local/include/$1" ]; }
has_sanitizers() { has_program clang++ && [ -e "$(clang++ -print-file-name="libclang_rt.tsan-$(uname -m).a")" ]; }

# The packages of which the probe fails. One line each: package, probe, argument.
missing_packages() {
  local package probe argument
  while read -r package probe argument; do
    "$probe" "$argument" || printf '%s\n' "$package"
  done
}

build_packages() {
  cat <<'END'
g++                 has_program g++
cmake               has_program cmake
ninja-build         has_program ninja
make                has_program make
patch               has_program patch
pkg-config          has_program pkg-config
protobuf-compiler   has_program protoc
libprotobuf-dev     has_header google/protobuf/message.h
libprotoc-dev       has_header google/protobuf/compiler/plugin.h
libabsl-dev         has_header absl/status/statusor.h
libgtest-dev        has_header gtest/gtest.h
libgmock-dev        has_header gmock/gmock.h
libcli11-dev        has_header CLI/CLI.hpp
END
}

# With protobuf and Abseil from elsewhere.
other_protobuf_packages() { build_packages | grep -Ev '^(protobuf-compiler|libproto.*-dev|libabsl-dev) '; }

bench_packages() {
  build_packages
  cat <<'END'
libgrpc++-dev           has_header grpcpp/grpcpp.h
protobuf-compiler-grpc  has_program grpc_cpp_plugin
strace                  has_program strace
gnuplot-nox             has_program gnuplot
END
}

# The major version of the package clang: it is part of other packages' names.
clang_version() {
  # shellcheck source=/dev/null
  case $(. /etc/os-release 2>/dev/null && echo "${ID:-}${VERSION_ID:-}") in
    debian12) echo 14 ;;
    *) echo 19 ;;
  esac
}

sanitizer_packages() {
  build_packages
  cat <<END
clang               has_program clang++
libclang-rt-$(clang_version)-dev  has_sanitizers -
llvm                has_program llvm-symbolizer
END
}

mutants_packages() {
  build_packages
  cat <<'END'
rsync               has_program rsync
END
}

model_packages() {
  cat <<'END'
g++         has_program g++
spin        has_program spin
relacy-dev  has_header relacy/relacy.hpp
END
}

format_packages() { echo 'clang-format has_program clang-format'; }

tidy_packages() { build_packages && echo 'clang-tidy has_program clang-tidy'; }

arm64_packages() { echo 'debootstrap has_program debootstrap'; }

abi_packages() {
  build_packages
  echo 'abigail-tools has_program abidiff'
}

# The module is Debian's: another Python on the path need not have it.
has_python_module() { /usr/bin/python3 -c "import $1" 2>/dev/null || python3 -c "import $1" 2>/dev/null; }

docs_packages() {
  cat <<'END'
mkdocs   has_program mkdocs
doxygen  has_program doxygen
END
}

all_packages() {
  bench_packages
  abi_packages
  docs_packages
  cat <<END
python3-protobuf  has_python_module google.protobuf
python3-grpcio    has_python_module grpc
openssl           has_program openssl
libasio-dev       has_header asio.hpp
libglib2.0-dev    has_header glib-2.0/glib.h
libuv1-dev        has_header uv.h
qt6-base-dev      has_header $(uname -m)-linux-gnu/qt6/QtCore/QtCore
END
}

deb_packages() {
  build_packages
  cat <<'END'
build-essential  has_file /usr/share/build-essential/list
libgrpc++-dev    has_header grpcpp/grpcpp.h
debhelper        has_program dh
dpkg-dev         has_program dpkg-buildpackage
lintian          has_program lintian
debootstrap      has_program debootstrap
END
}

may_be_root() { [ "$(id -u)" -eq 0 ] || { has_program sudo && sudo -v; }; }

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# need LIST: installs what is missing of a list of packages. Calls apt-get only if something is.
need() {
  local missing
  mapfile -t missing < <("$1" | missing_packages)
  [ "${#missing[@]}" -gt 0 ] || return 0
  has_program apt-get || die "missing, by their Debian names: ${missing[*]}"
  may_be_root || die "missing packages; as root: apt-get install ${missing[*]}"
  local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o Acquire::Retries=3)
  quietly "apt-get update" "${apt[@]}" update || die "cannot update the list of packages"
  quietly "apt-get install ${missing[*]}" "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
    die "cannot install ${missing[*]}"
}
