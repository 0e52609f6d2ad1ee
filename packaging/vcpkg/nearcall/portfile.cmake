# SPDX-License-Identifier: Apache-2.0

# An overlay port of the sources that it lies in: vcpkg install nearcall --overlay-ports=packaging/vcpkg
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
string(COMPARE EQUAL "${VCPKG_LIBRARY_LINKAGE}" dynamic shared)

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DNEARCALL_BUILD_TESTS=OFF
    -DNEARCALL_BUILD_EXAMPLES=OFF
    -DNEARCALL_BUILD_TOOLS=OFF
    -DNEARCALL_BUILD_GRPC=OFF
    -DNEARCALL_INSTALL=ON
    -DNEARCALL_SHARED=${shared})
vcpkg_cmake_install()

# vcpkg has programs in tools/, one directory for each port.
vcpkg_copy_tools(TOOL_NAMES protoc-gen-nearcall AUTO_CLEAN)
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/nearcall)
set(plugin "plugin=\${bindir}/")
vcpkg_replace_string("${CURRENT_PACKAGES_DIR}/lib/pkgconfig/nearcall.pc" "${plugin}"
  "plugin=\${prefix}/tools/nearcall/")
if(NOT VCPKG_BUILD_TYPE) # else there is only one of both
  vcpkg_replace_string("${CURRENT_PACKAGES_DIR}/debug/lib/pkgconfig/nearcall.pc" "${plugin}"
    "plugin=\${prefix}/../tools/nearcall/")
endif()
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
