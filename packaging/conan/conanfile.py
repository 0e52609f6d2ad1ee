# SPDX-License-Identifier: Apache-2.0
"""A recipe for Conan 2 of the sources that it lies in: conan create packaging/conan --build=missing"""

import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd, cross_building
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load


class NearcallConan(ConanFile):
    name = "nearcall"
    description = "gRPC-style RPC between processes of one Linux machine"
    license = "Apache-2.0"
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False]}
    default_options = {"shared": True}

    def _project(self):
        return os.path.join(self.recipe_folder, "..", "..")

    def set_version(self):
        project = load(self, os.path.join(self._project(), "CMakeLists.txt"))
        self.version = re.search(r"project\(nearcall VERSION ([0-9.]+)", project).group(1)

    def export_sources(self):
        for part in "CMakeLists.txt", "LICENSE", "cmake/*", "idl/*", "protoc-plugin/*", "runtime/*":
            copy(self, part, src=self._project(), dst=self.export_sources_folder)

    def validate(self):
        if self.settings.os != "Linux" or self.settings.arch not in ("x86_64", "armv8"):
            raise ConanInvalidConfiguration("nearcall is for Linux on 64-bit little-endian machines only")
        if cross_building(self):
            raise ConanInvalidConfiguration("this recipe does not build nearcall for another machine; CMake does, "
                                            "with NEARCALL_PLUGIN_EXECUTABLE")
        check_min_cppstd(self, 20)

    def requirements(self):
        # What is generated for users includes their headers and links them.
        self.requires("protobuf/[>=3.21]", transitive_headers=True, transitive_libs=True)
        self.requires("abseil/[>=20220623]", transitive_headers=True, transitive_libs=True)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["NEARCALL_BUILD_TESTS"] = False
        toolchain.cache_variables["NEARCALL_BUILD_EXAMPLES"] = False
        toolchain.cache_variables["NEARCALL_BUILD_TOOLS"] = False
        toolchain.cache_variables["NEARCALL_BUILD_GRPC"] = False
        toolchain.cache_variables["NEARCALL_INSTALL"] = True
        toolchain.cache_variables["NEARCALL_SHARED"] = bool(self.options.shared)
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", src=self.source_folder, dst=os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        # find_package(nearcall) takes the package's own files, which also bring nearcall_add_library().
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = [os.path.join("lib", "cmake", "nearcall")]
        self.cpp_info.set_property("pkg_config_name", "nearcall")
        self.cpp_info.libs = ["nearcall"]
        self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.requires = ["protobuf::libprotobuf", "abseil::absl_status", "abseil::absl_statusor",
                                  "abseil::absl_strings", "abseil::absl_synchronization", "abseil::absl_time"]
