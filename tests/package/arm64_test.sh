#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# arm64_test.sh SOURCE DIRECTORY: compiles the runtime and its unit tests for arm64, in a bare root of this distribution
# below DIRECTORY, and runs what qemu-user can run of them. Needs debootstrap, and to be root.
set -eu
if [ "${3:-}" != apart ]; then
  # What is mounted and started there is gone when this has ended, whatever happens.
  mkdir -p "$2"
  trap 'rm -rf --one-file-system "$2/root"' EXIT
  unshare --mount --ipc --pid --fork --kill-child "$0" "$1" "$2" apart
  exit
fi
source=$1
. /etc/os-release
root=$2/root

debootstrap --variant=minbase "$VERSION_CODENAME" "$root"
mount -t proc proc "$root/proc"
mkdir -p "$root/source" "$root/dev/mqueue" "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
(cd "$source" && git -c safe.directory="$source" ls-files -z | xargs -0 cp --parents -t "$root/source")

cat >"$root/try" <<'TRY'
set -eux
export DEBIAN_FRONTEND=noninteractive
dpkg --add-architecture arm64
apt-get update
apt-get install -y --no-install-recommends g++ crossbuild-essential-arm64 cmake ninja-build pkg-config qemu-user \
  protobuf-compiler libprotobuf-dev libprotoc-dev libabsl-dev \
  libprotobuf-dev:arm64 libprotoc-dev:arm64 libabsl-dev:arm64 libgtest-dev:arm64 libgmock-dev:arm64
cmake -S /source -B /native -G Ninja -DCMAKE_BUILD_TYPE=Release -DNEARCALL_BUILD_TESTS=OFF -DNEARCALL_BUILD_EXAMPLES=OFF
ninja -C /native protoc-gen-nearcall
cmake -S /source -B /arm64 -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DNEARCALL_WERROR=ON \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
  -DNEARCALL_PLUGIN_EXECUTABLE=/native/protoc-plugin/protoc-gen-nearcall -DNEARCALL_UNITE=ON -DNEARCALL_INSTALL=OFF
ninja -C /arm64 base_test wire_test transport_test session_test rpc_test

cd /arm64/tests
# What qemu-user does not do: seccomp(2), process_vm_readv(2), the limits of memory, to start the program once more, a
# futex(2) of a number that it does not know. In the upper floors that leaves out who meets over `shm:`, where the holes
# of memory are filled by one of these.
no_base='ReactorDeathTest.*:BufferHandleTest.AChild*:BufferMemoryTest.WhatHides*:MappingTest.IsNotInherited*'
no_base="$no_base:SharedMemoryTest.*Kernel*:SharedMemoryTest.*Hole*:SharedMemoryTest.*LastPage*"
no_base="$no_base:SharedMemoryTest.WithoutMemory*:SharedMemoryTest.APageThat*:SemaphoreTest.A*ThatFails*"
no_base="$no_base:ThreadTest.BlocksEverySignal*:ThreadTest.WithoutMemoryToLock*"
transport='*ShmRing*:ShmFetch*:StreamingCopy*:VainWakes*:RungInVain*:SemaphoreBell*:SocketBell*:FdSleeper*:Timer*'
transport="$transport:Mq*:Pipe*:FifoControl*:FifoRendezvous*:Sysv*:Hello*:Address*:DirectoryTest*:DirectoryLock*"
qemu-aarch64 ./base_test --gtest_brief=1 --gtest_filter="-$no_base"
qemu-aarch64 ./wire_test --gtest_brief=1 --gtest_filter='-ReassemblerTest.WithoutMemory*'
qemu-aarch64 ./transport_test --gtest_brief=1 --gtest_filter="$transport"
qemu-aarch64 ./session_test --gtest_brief=1
qemu-aarch64 ./rpc_test --gtest_brief=1 \
  --gtest_filter='-ChannelTest.*:DoorTest.*:Server*Test.*:WaitForReadyTest.*:HerdTest.*'
TRY
chroot "$root" sh /try
