# SPDX-License-Identifier: Apache-2.0

# What Nearcall is built on, all from the distribution's packages. A missing one is named with the package that has it.
find_package(Threads REQUIRED)

include(NearcallProtobuf)
nearcall_find_protobuf()
if(NOT Protobuf_FOUND OR NOT TARGET protobuf::protoc OR NOT TARGET protobuf::libprotoc)
  message(FATAL_ERROR "nearcall needs Protocol Buffers 3.21 or newer and its compiler library: "
                      "apt-get install libprotobuf-dev libprotoc-dev protobuf-compiler")
endif()

find_package(absl CONFIG QUIET)
if(NOT absl_FOUND)
  message(FATAL_ERROR "nearcall needs Abseil: apt-get install libabsl-dev")
endif()

if(NEARCALL_BUILD_TESTS)
  find_package(GTest CONFIG QUIET)
  if(NOT GTest_FOUND)
    message(FATAL_ERROR "nearcall's tests need GoogleTest: apt-get install libgtest-dev libgmock-dev")
  endif()
endif()
