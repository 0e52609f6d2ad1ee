# SPDX-License-Identifier: Apache-2.0

# What Nearcall is built on, all from the distribution's packages. A missing one is named with the package that has it.
find_package(Threads REQUIRED)

include(NearcallProtobuf)
if(NEARCALL_PROTOBUF_PREFIX)
  # What was found below another prefix does not count.
  foreach(package Protobuf absl utf8_range)
    unset(${package}_DIR CACHE)
  endforeach()
endif()
nearcall_find_protobuf()
if(NOT Protobuf_FOUND OR NOT TARGET protobuf::protoc OR NOT TARGET protobuf::libprotoc)
  message(FATAL_ERROR "nearcall needs Protocol Buffers 3.21 or newer and its compiler library: "
                      "apt-get install libprotobuf-dev libprotoc-dev protobuf-compiler")
endif()

find_package(absl CONFIG QUIET)
if(NOT absl_FOUND)
  message(FATAL_ERROR "nearcall needs Abseil: apt-get install libabsl-dev")
endif()

if(NEARCALL_PROTOBUF_PREFIX)
  foreach(package Protobuf absl)
    cmake_path(IS_PREFIX NEARCALL_PROTOBUF_PREFIX "${${package}_DIR}" NORMALIZE is_there)
    if(NOT is_there)
      message(FATAL_ERROR "nearcall: there is no CMake package ${package} below ${NEARCALL_PROTOBUF_PREFIX} "
                          "(NEARCALL_PROTOBUF_PREFIX); what was found: \"${${package}_DIR}\"")
    endif()
  endforeach()
endif()

if(NEARCALL_BUILD_TOOLS)
  find_package(CLI11 CONFIG QUIET)
  if(NOT CLI11_FOUND)
    message(STATUS "nearcall: the command line is not built, as there is no CLI11: apt-get install libcli11-dev")
    set(NEARCALL_BUILD_TOOLS OFF)
  endif()
endif()

# For nearcall::grpc, and for the benchmark. gRPC brings the protobuf and the Abseil that it was built with.
if((NEARCALL_BUILD_GRPC OR NEARCALL_BUILD_TESTS) AND NOT NEARCALL_PROTOBUF_PREFIX)
  find_package(gRPC CONFIG QUIET)
endif()
if(NEARCALL_BUILD_GRPC AND NOT TARGET gRPC::grpc++)
  message(STATUS "nearcall: nearcall::grpc is not built, as there is no grpc++: apt-get install libgrpc++-dev")
  set(NEARCALL_BUILD_GRPC OFF)
endif()

if(NEARCALL_BUILD_TESTS)
  find_package(GTest CONFIG QUIET)
  if(NOT GTest_FOUND)
    message(FATAL_ERROR "nearcall's tests need GoogleTest: apt-get install libgtest-dev libgmock-dev")
  endif()
endif()
