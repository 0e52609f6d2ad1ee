# SPDX-License-Identifier: Apache-2.0

# nearcall_compile_options(TARGET): the warnings and sanitizers of our own code. Generated protobuf code is not ours.
# Warnings are errors in our presets only (NEARCALL_WERROR): a newer compiler warns of more, and breaks nobody's build.
function(nearcall_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion $<$<BOOL:${NEARCALL_WERROR}>:-Werror>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(${target} PRIVATE -Wthread-safety)
  endif()
endfunction()

# nearcall_hide(TARGET): only what is marked NEARCALL_EXPORT can be seen from outside a shared library.
function(nearcall_hide target)
  set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
endfunction()

# nearcall_fuzzed(TARGET): libFuzzer sees which branches of it an input takes. Of what is fuzzed only: it makes the code
# half as large again, and its compilation half as slow again.
function(nearcall_fuzzed target)
  if(NEARCALL_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# nearcall_declared(OUT SOURCE): the names that SOURCE declares outside of classes and functions, by the look of it: of
# our sources, in which such a declaration begins a line.
function(nearcall_declared out source)
  file(READ ${source} text)
  string(REGEX REPLACE "\n(namespace|using namespace)[^\n]*" "" text "${text}")
  string(REGEX REPLACE "(\n(class|struct) [A-Za-z0-9_]+)[^\n]*" "\\1" text "${text}")
  string(REGEX REPLACE "[][(){}=;]" "@" text "${text}")
  string(REGEX MATCHALL "\n[A-Za-z][^\n@]*[ *&][A-Za-z0-9_]+ ?@" declarations "${text}")
  string(REGEX MATCHALL "\n(class|struct|union|enum|enum class) [A-Za-z0-9_]+" types "${text}")
  string(REGEX MATCHALL "\nMATCHER[^\n@]*@[A-Za-z0-9_]+" matchers "${text}")
  set(names ${declarations} ${types} ${matchers})
  list(TRANSFORM names REPLACE "^.*[ *&@]([A-Za-z0-9_]+) ?@?$" "\\1")
  set(${out} ${names} PARENT_SCOPE)
endfunction()

# nearcall_have_common(OUT LIST1 LIST2): by the names of two variables.
function(nearcall_have_common out list1 list2)
  foreach(item ${${list1}})
    if(item IN_LIST ${list2})
      set(${out} TRUE PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${out} FALSE PARENT_SCOPE)
endfunction()

# nearcall_unite(TARGET [options...]): with NEARCALL_UNITE compiles up to eight of its sources as one, so that headers,
# and what is made of their templates, are compiled once for them. No two of these declare the same name; but a name of
# one file may be that of a local variable of another, for which tests have the option -Wno-shadow.
function(nearcall_unite target)
  if(NOT NEARCALL_UNITE)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    nearcall_declared(names ${source})
    set(group 0)
    while(TRUE)
      list(LENGTH sources_${group} count)
      nearcall_have_common(clash names names_${group})
      if(count LESS 8 AND NOT clash)
        break()
      endif()
      math(EXPR group "${group} + 1")
    endwhile()
    list(APPEND sources_${group} ${source})
    list(APPEND names_${group} ${names})
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
  endforeach()
  # What a file has for itself looks to GCC as if it came from a header.
  target_compile_options(${target} PRIVATE ${ARGN} $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endfunction()

if(NEARCALL_SANITIZE)
  add_compile_options(-fsanitize=${NEARCALL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${NEARCALL_SANITIZE})
  # All that a report needs of debug information; a tenth of the compilation less.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_options(-gline-tables-only)
  endif()
  # clang 14 cannot do both this part of "undefined" and coroutines ("Cannot represent a difference across sections").
  if(NEARCALL_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize=function)
  endif()
endif()
