# SPDX-License-Identifier: Apache-2.0

# Generates code from .proto files: protobuf's and Nearcall's, in one run of protoc for each file. The same in the build
# tree, with add_subdirectory or FetchContent, and from an installed package.
#
#   nearcall_add_library(NAME PROTOS a.proto ... [IMPORT_DIRS dir ...] [OUT_DIR dir] [MOCKS])
#     Makes the library NAME of what is generated. A program that links it includes "a.nearcall.pb.h".
#
#   nearcall_generate(TARGET t PROTOS a.proto ... [IMPORT_DIRS dir ...] [OUT_DIR dir] [MOCKS])
#     Adds what is generated to a target made before, in the same directory, by add_library or add_executable.
#
# IMPORT_DIRS is where protoc looks for imports, beside the current source directory, which comes last. Each of PROTOS
# must lie in one of them; below it, "dir/a.proto" becomes "dir/a.nearcall.pb.h". OUT_DIR is for the generated files;
# each target has its own by default. MOCKS: also "dir/a.nearcall.mock.h", with a GoogleMock of each service; a test
# that includes it links GoogleMock itself.
#
# What is generated links nearcall::nearcall. Set NEARCALL_LINK to nearcall::nearcall_static for the archive.
#
# When cross-compiling set NEARCALL_PLUGIN_EXECUTABLE and Protobuf_PROTOC_EXECUTABLE to programs of the build machine.
include_guard()
include(${CMAKE_CURRENT_LIST_DIR}/NearcallProtobuf.cmake)
cmake_policy(VERSION 3.20...3.25)

function(nearcall_add_library name)
  add_library(${name})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  nearcall_generate(TARGET ${name} ${ARGN})
endfunction()

function(nearcall_generate)
  cmake_parse_arguments(PARSE_ARGV 0 arg "MOCKS" "TARGET;OUT_DIR" "PROTOS;IMPORT_DIRS")
  _nearcall_check_arguments("${arg_TARGET}" "${arg_PROTOS}" "${arg_UNPARSED_ARGUMENTS}")

  set(out_dir ${CMAKE_CURRENT_BINARY_DIR}/nearcall_generated/${arg_TARGET})
  if(arg_OUT_DIR)
    cmake_path(ABSOLUTE_PATH arg_OUT_DIR BASE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR} NORMALIZE OUTPUT_VARIABLE out_dir)
  endif()
  set(import_dirs)
  foreach(dir ${arg_IMPORT_DIRS} ${CMAKE_CURRENT_SOURCE_DIR})
    cmake_path(ABSOLUTE_PATH dir NORMALIZE)
    string(REGEX REPLACE "(.)/$" "\\1" dir ${dir})
    list(APPEND import_dirs ${dir})
  endforeach()
  list(REMOVE_DUPLICATES import_dirs)

  set(protos)
  foreach(proto ${arg_PROTOS})
    cmake_path(ABSOLUTE_PATH proto NORMALIZE)
    list(APPEND protos ${proto})
  endforeach()
  foreach(proto ${protos})
    _nearcall_run_protoc(${arg_TARGET} ${proto} "${protos}" "${import_dirs}" ${out_dir} ${arg_MOCKS})
  endforeach()
  target_include_directories(${arg_TARGET} PUBLIC $<BUILD_INTERFACE:${out_dir}>)
  if(NOT NEARCALL_LINK)
    set(NEARCALL_LINK nearcall::nearcall)
  endif()
  target_link_libraries(${arg_TARGET} PUBLIC ${NEARCALL_LINK})
endfunction()

function(_nearcall_check_arguments target protos unknown)
  if(unknown)
    message(FATAL_ERROR "nearcall: unknown arguments: ${unknown}")
  elseif(NOT TARGET "${target}")
    message(FATAL_ERROR "nearcall_generate: TARGET must name a target that exists, not \"${target}\"")
  elseif(NOT protos)
    message(FATAL_ERROR "nearcall: nothing to generate for ${target}: name .proto files after PROTOS")
  endif()
  get_target_property(made_in ${target} SOURCE_DIR)
  if(NOT made_in STREQUAL CMAKE_CURRENT_SOURCE_DIR)
    message(FATAL_ERROR "nearcall_generate: ${target} is made in ${made_in}; call nearcall_generate there")
  endif()
endfunction()

# The rule that makes the four files of `proto`, one of `protos`, or with `mocks` five, and these files as sources of
# `target`.
function(_nearcall_run_protoc target proto protos import_dirs out_dir mocks)
  if(NOT EXISTS ${proto})
    message(FATAL_ERROR "nearcall: ${target}: there is no file ${proto}")
  elseif(NOT proto MATCHES "\\.proto$")
    message(FATAL_ERROR "nearcall: ${target}: ${proto} does not end in .proto")
  endif()
  _nearcall_name_in_import_dirs(name ${proto} "${import_dirs}")
  if(NOT name)
    list(JOIN import_dirs ", " list)
    message(FATAL_ERROR "nearcall: ${target}: ${proto} lies in none of the directories ${list}; "
                        "name one that holds it after IMPORT_DIRS")
  endif()
  if(NOT TARGET protobuf::protoc)
    # After add_subdirectory(nearcall): targets of a package are known only in the directory that looked for it.
    nearcall_find_protobuf()
  endif()
  _nearcall_plugin(plugin plugin_dependency)
  _nearcall_options_dir(options_dir)
  list(TRANSFORM import_dirs PREPEND -I OUTPUT_VARIABLE import_flags)
  cmake_path(REMOVE_EXTENSION name LAST_ONLY)
  set(base ${out_dir}/${name})
  # SUBTLE: in protoc's own order. Ninja runs a rule for ever whose depfile does not begin with the first output.
  set(outputs ${base}.nearcall.pb.cc ${base}.nearcall.pb.h ${base}.pb.cc ${base}.pb.h)
  set(options)
  if(mocks)
    list(PREPEND outputs ${base}.nearcall.mock.h)
    set(options --nearcall_opt=generate_mock_code=true)
  endif()
  file(MAKE_DIRECTORY ${out_dir})
  # protoc tells which files were imported, but not readably if a name has a blank: then any of `protos` may have been.
  set(depends DEPENDS ${proto} ${plugin_dependency} DEPFILE ${base}.d)
  if("${protos};${import_dirs};${options_dir};${out_dir}" MATCHES " ")
    set(depends DEPENDS ${protos} ${plugin_dependency})
  endif()
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND protobuf::protoc --plugin=protoc-gen-nearcall=${plugin} ${import_flags} -I${options_dir}
            --cpp_out=${out_dir} --nearcall_out=${out_dir} ${options} --dependency_out=${base}.d
            ${proto}
    ${depends}
    COMMENT "Generating the RPC code of ${name}.proto"
    VERBATIM)
  target_sources(${target} PRIVATE ${outputs})
  set_source_files_properties(${outputs} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# "dir/a.proto", by which other files import `proto`; empty if no import directory holds it.
function(_nearcall_name_in_import_dirs out proto import_dirs)
  set(${out} "" PARENT_SCOPE)
  foreach(dir ${import_dirs})
    cmake_path(IS_PREFIX dir ${proto} is_inside)
    if(is_inside)
      cmake_path(RELATIVE_PATH proto BASE_DIRECTORY ${dir} OUTPUT_VARIABLE name)
      set(${out} ${name} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# What protoc is to run, and what a rule that runs it depends on.
function(_nearcall_plugin out_path out_dependency)
  if(NEARCALL_PLUGIN_EXECUTABLE)
    set(${out_path} ${NEARCALL_PLUGIN_EXECUTABLE} PARENT_SCOPE)
    set(${out_dependency} ${NEARCALL_PLUGIN_EXECUTABLE} PARENT_SCOPE)
  else()
    set(${out_path} $<TARGET_FILE:nearcall::protoc-gen-nearcall> PARENT_SCOPE)
    set(${out_dependency} nearcall::protoc-gen-nearcall PARENT_SCOPE)
  endif()
endfunction()

# Where nearcall/options.proto is: in the source tree, or among the headers of an installed package.
function(_nearcall_options_dir out)
  set(dirs ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../idl)
  get_target_property(include_dirs nearcall::nearcall INTERFACE_INCLUDE_DIRECTORIES)
  foreach(dir ${dirs} ${include_dirs})
    if(EXISTS ${dir}/nearcall/options.proto)
      cmake_path(NORMAL_PATH dir)
      set(${out} ${dir} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "nearcall: nearcall/options.proto is missing from the installation of nearcall")
endfunction()
