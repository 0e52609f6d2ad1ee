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

if(NEARCALL_SANITIZE)
  add_compile_options(-fsanitize=${NEARCALL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${NEARCALL_SANITIZE})
  # clang 14 cannot do both this part of "undefined" and coroutines ("Cannot represent a difference across sections").
  if(NEARCALL_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize=function)
  endif()
endif()
