# SPDX-License-Identifier: Apache-2.0

# What `cmake --install` puts where, so that other projects find Nearcall by find_package() and by pkg-config. Nothing
# in it names the place: the installed tree may be moved.
include_guard()
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/nearcall)

# Components: runtime (what a program needs to run), development, tools (protoc's plugin, the command
# line); grpc_runtime, grpc_development and proxy, where grpc++ is there.
install(TARGETS nearcall EXPORT nearcallTargets
  LIBRARY COMPONENT runtime NAMELINK_COMPONENT development
  ARCHIVE COMPONENT development)
if(NEARCALL_SHARED)
  install(TARGETS nearcall_static EXPORT nearcallTargets ARCHIVE COMPONENT development)
endif()
if(NOT NEARCALL_PLUGIN_EXECUTABLE)
  install(TARGETS protoc-gen-nearcall EXPORT nearcallToolsTargets RUNTIME COMPONENT tools)
  install(FILES ${PROJECT_SOURCE_DIR}/protoc-plugin/protoc-gen-nearcall.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
    COMPONENT tools)
endif()
if(NEARCALL_BUILD_TOOLS)
  install(TARGETS nearcall_tool RUNTIME COMPONENT tools)
  install(FILES ${PROJECT_SOURCE_DIR}/tools/nearcall/nearcall.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
    COMPONENT tools)
  install(FILES ${PROJECT_SOURCE_DIR}/tools/nearcall/nearcall.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7
    COMPONENT tools)
  install(FILES ${PROJECT_SOURCE_DIR}/tools/nearcall/nearcall.bash RENAME nearcall COMPONENT tools
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${PROJECT_SOURCE_DIR}/tools/nearcall/nearcall.zsh RENAME _nearcall COMPONENT tools
    DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()

if(NEARCALL_BUILD_GRPC)
  install(TARGETS nearcall_grpc EXPORT nearcallGrpcTargets
    LIBRARY COMPONENT grpc_runtime NAMELINK_COMPONENT grpc_development
    ARCHIVE COMPONENT grpc_development)
  if(NEARCALL_SHARED)
    install(TARGETS nearcall_grpc_static EXPORT nearcallGrpcTargets ARCHIVE COMPONENT grpc_development)
  endif()
  install(EXPORT nearcallGrpcTargets NAMESPACE nearcall:: DESTINATION ${package_dir} COMPONENT grpc_development)
  install(FILES ${PROJECT_SOURCE_DIR}/bridge/include/nearcall/grpc.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/nearcall
    COMPONENT grpc_development)
endif()
if(TARGET nearcall_proxy)
  install(TARGETS nearcall_proxy RUNTIME COMPONENT proxy)
  install(FILES ${PROJECT_SOURCE_DIR}/tools/proxy/nearcall-proxy.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
    COMPONENT proxy)
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/include/nearcall DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT development FILES_MATCHING PATTERN *.h)
get_target_property(public_idl_files nearcall_idl NEARCALL_PUBLIC_FILES)
install(FILES ${public_idl_files} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/nearcall COMPONENT development)

# All that is installed, and nothing else.
add_custom_target(nearcall_installed)
foreach(target nearcall nearcall_static protoc-gen-nearcall nearcall_tool nearcall_grpc
        nearcall_grpc_static nearcall_proxy)
  if(TARGET ${target})
    add_dependencies(nearcall_installed ${target})
  endif()
endforeach()

# ---- find_package(nearcall) ----

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/nearcallConfig.cmake.in
  ${PROJECT_BINARY_DIR}/nearcallConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/nearcallConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT nearcallTargets NAMESPACE nearcall:: DESTINATION ${package_dir} COMPONENT development)
if(NOT NEARCALL_PLUGIN_EXECUTABLE)
  install(EXPORT nearcallToolsTargets NAMESPACE nearcall:: DESTINATION ${package_dir} COMPONENT tools)
endif()
install(FILES
  ${PROJECT_BINARY_DIR}/nearcallConfig.cmake
  ${PROJECT_BINARY_DIR}/nearcallConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/NearcallGenerate.cmake
  ${PROJECT_SOURCE_DIR}/cmake/NearcallProtobuf.cmake
  DESTINATION ${package_dir} COMPONENT development)

# ---- pkg-config ----

# nearcall_pc_requires(OUT KIND): the modules of the Abseil targets that `nearcall` links, "absl_status, absl_time".
# KIND is INTERFACE_LINK_LIBRARIES for what its headers use, LINK_LIBRARIES for all.
function(nearcall_pc_requires out kind)
  get_target_property(libraries nearcall ${kind})
  list(FILTER libraries INCLUDE REGEX "^absl::")
  list(REMOVE_DUPLICATES libraries)
  list(TRANSFORM libraries REPLACE "^absl::" "absl_")
  list(JOIN libraries ", " modules)
  set(${out} ${modules} PARENT_SCOPE)
endfunction()

nearcall_pc_requires(all_modules LINK_LIBRARIES)
nearcall_pc_requires(public_modules INTERFACE_LINK_LIBRARIES)
get_target_property(library_type nearcall TYPE)
if(library_type STREQUAL "SHARED_LIBRARY")
  set(pc_requires ${public_modules})
  set(pc_requires_private ${all_modules})
else()
  set(pc_requires ${all_modules})  # whoever links the archive links these as well
  set(pc_requires_private)
endif()

# Paths in the file are relative to where it is.
foreach(dir LIBDIR INCLUDEDIR BINDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(pc_${dir} ${CMAKE_INSTALL_${dir}})
  else()
    set(pc_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
set(pc_prefix ${CMAKE_INSTALL_PREFIX})
cmake_path(RELATIVE_PATH pc_prefix BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
configure_file(${PROJECT_SOURCE_DIR}/cmake/nearcall.pc.in ${PROJECT_BINARY_DIR}/nearcall.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/nearcall.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
