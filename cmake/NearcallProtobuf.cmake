# SPDX-License-Identifier: Apache-2.0

# nearcall_find_protobuf(): Protocol Buffers with its compiler, the same choice wherever Nearcall looks for it: its own
# CMake package, which knows what it links (protobuf 22 and newer: Abseil), else CMake's module (Debian's protobuf 3.21
# has no package). No version is asked of the package: its own check takes equal major versions only, and 22 came
# after 3.21.
include_guard()

macro(nearcall_find_protobuf)
  if(NOT TARGET protobuf::protoc)
    set(protobuf_MODULE_COMPATIBLE ON)
    find_package(Protobuf CONFIG QUIET)
    if(NOT Protobuf_FOUND)
      find_package(Protobuf 3.21 MODULE QUIET)
    endif()
  endif()
endmacro()
