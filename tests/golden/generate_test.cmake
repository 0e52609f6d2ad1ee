# SPDX-License-Identifier: Apache-2.0

# Run by ctest: builds cmake_project in a directory of its own and checks what nearcall_generate() does there.
#   -D WORK_DIR= a directory for this test alone    -D PROJECT= the name of the project's directory in it
#   -D SOURCE_DIR= and -D BINARY_DIR= of Nearcall   -D PLUGIN=   -D COMPILER=   -D GENERATOR=
set(project "${WORK_DIR}/${PROJECT}")
set(build ${project}/build)
file(REMOVE_RECURSE ${WORK_DIR})
file(COPY ${CMAKE_CURRENT_LIST_DIR}/cmake_project/ DESTINATION "${project}")
file(TOUCH ${WORK_DIR}/outside.proto)

# configure(CASE): what CMake says for one of the cases in cmake_project/CMakeLists.txt, in `output`, `failed`.
function(configure case)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${project} -B ${build} -G ${GENERATOR}
            -D CMAKE_CXX_COMPILER=${COMPILER}
            -D NEARCALL_SOURCE_DIR=${SOURCE_DIR} -D NEARCALL_BINARY_DIR=${BINARY_DIR}
            -D NEARCALL_PLUGIN_EXECUTABLE=${PLUGIN} -D CASE=${case}
    OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE failed)
  # CMake breaks the lines of its messages where it likes.
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  set(output "${output}" PARENT_SCOPE)
  set(failed "${failed}" PARENT_SCOPE)
endfunction()

function(expect_error case text)
  configure(${case})
  string(FIND "${output}" "${text}" found)
  if(NOT failed OR found EQUAL -1)
    message(SEND_ERROR "${case}: expected the error \"${text}\", got: ${output}")
  endif()
endfunction()

function(expect_build what)
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${build}
                  OUTPUT_VARIABLE log ERROR_VARIABLE log RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${what}: the build failed: ${log}")
  endif()
  set(log "${log}" PARENT_SCOPE)
endfunction()

function(expect_runs_of_protoc names what)
  expect_build("${what}")
  string(REGEX MATCHALL "Generating the RPC code of [^ \n]*" runs "${log}")
  list(TRANSFORM runs REPLACE ".* " "")
  list(SORT runs)
  if(NOT runs STREQUAL names)
    message(SEND_ERROR "${what}: expected to generate \"${names}\" again, generated \"${runs}\"")
  endif()
endfunction()

if(GENERATOR STREQUAL "Ninja")  # what CMake says is the same for each
  expect_error(no_protos "nothing to generate for rpc: name .proto files after PROTOS")
  expect_error(missing "rpc: there is no file ${project}/missing.proto")
  expect_error(not_a_proto "CMakeLists.txt does not end in .proto")
  expect_error(outside "outside.proto lies in none of the directories ${project}/protos, ${project}; name one")
  expect_error(no_target "TARGET must name a target that exists, not \"nobody\"")
  expect_error(unknown_argument "unknown arguments: PROTO;a.proto")
endif()

configure(good)
if(failed)
  message(FATAL_ERROR "the project cannot be configured: ${output}")
endif()
expect_runs_of_protoc("top.proto;word/word.proto" "a first build")
foreach(file top.nearcall.pb.h word/word.nearcall.pb.h word/word.nearcall.mock.h)
  if(NOT EXISTS ${build}/nearcall_generated/rpc/${file})
    message(SEND_ERROR "${file} was not generated")
  endif()
endforeach()
expect_runs_of_protoc("" "nothing has changed")
# Some file systems tell times by the second.
execute_process(COMMAND ${CMAKE_COMMAND} -E sleep 1.1)
file(TOUCH ${project}/protos/word/word.proto)
expect_runs_of_protoc("top.proto;word/word.proto" "an imported file has changed")
