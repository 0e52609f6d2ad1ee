#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# deb_test.sh SOURCE PACKAGES: installs the .deb files of directory PACKAGES in a bare root of this distribution, builds
# the hello program there as a user would, with pkg-config and with CMake, and runs it: also where only the runtime is
# left. Needs debootstrap, and to be root.
set -eu
if [ "${3:-}" != apart ]; then
  # What is mounted and started there is gone when this has ended, whatever happens.
  trap 'rm -rf --one-file-system "$2/root"' EXIT
  unshare --mount --pid --fork --kill-child "$0" "$1" "$2" apart
  exit
fi
source=$1
packages=$2
. /etc/os-release
root=$packages/root

debootstrap --variant=minbase "$VERSION_CODENAME" "$root"
mount -t proc proc "$root/proc"
mkdir "$root/packages"
find "$packages" -maxdepth 1 -name '*.deb' ! -name '*-dbgsym_*' -exec cp {} "$root/packages" ';'
cp -R "$source/examples/hello" "$root/hello"
cat >"$root/hello/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(hello LANGUAGES CXX)
find_package(nearcall REQUIRED)
nearcall_add_library(hello_api PROTOS hello.proto)
foreach(program hello_server hello_client)
  add_executable(${program} ${program}.cc)
  target_link_libraries(${program} PRIVATE hello_api)
endforeach()
CMAKE

cat >"$root/hello/try" <<'TRY'
set -eux
export DEBIAN_FRONTEND=noninteractive
cd /hello
apt-get update
apt-get install -y --no-install-recommends /packages/*.deb g++ pkg-config cmake make
protoc --plugin="$(pkg-config --variable=plugin nearcall)" \
  -I. -I"$(pkg-config --variable=includedir nearcall)" --cpp_out=. --nearcall_out=. hello.proto
for program in hello_server hello_client; do
  g++ -std=c++20 -Wall -Wextra -Werror -I. $program.cc hello.pb.cc hello.nearcall.pb.cc \
    $(pkg-config --cflags --libs nearcall) -o $program
done
cmake -S . -B cmake
cmake --build cmake
./hello_test.sh ./hello_server ./hello_client
./hello_test.sh cmake/hello_server cmake/hello_client
[ -s /usr/share/man/man1/protoc-gen-nearcall.1.gz ]
[ -s /usr/share/man/man1/nearcall.1.gz ]
[ -s /usr/share/man/man1/nearcall-proxy.1.gz ]
nearcall-proxy --check grpc:localhost:50051 shm:hello
[ -s /usr/share/man/man7/nearcall.7.gz ]
[ -s /usr/share/zsh/vendor-completions/_nearcall ]
nearcall ls
apt-get purge -y libnearcall-dev libnearcall-grpc-dev nearcall-proxy nearcall-tools libprotobuf-dev libabsl-dev
./hello_test.sh cmake/hello_server cmake/hello_client
TRY
chroot "$root" sh /hello/try
echo "==> installed in a bare root of $VERSION_CODENAME, the hello program was built and runs there"
