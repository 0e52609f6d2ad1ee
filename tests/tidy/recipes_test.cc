// SPDX-License-Identifier: Apache-2.0

// Each way in which a recipe can differ from CMakeLists.txt is told.

#include "recipes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"

namespace nearcall::tidy {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kOptions[] = "-DNEARCALL_BUILD_TESTS=OFF -DNEARCALL_BUILD_EXAMPLES=OFF -DNEARCALL_SHARED=ON\n";

std::vector<SourceFile> Recipes() {
  return {
      {"CMakeLists.txt",
       "project(nearcall VERSION 1.2.3 LANGUAGES CXX)\noption(NEARCALL_BUILD_TESTS)\n"
       "option(NEARCALL_BUILD_EXAMPLES)\noption(NEARCALL_SHARED)\nset(NEARCALL_SANITIZE)\n"},
      {"cmake/NearcallDependencies.cmake",
       "nearcall needs Protocol Buffers 3.21\nnearcall needs Abseil\nnearcall's tests need GoogleTest\n"},
      {"debian/changelog", "nearcall (1.2.3) unstable\n"},
      {"debian/control",
       " libabsl-dev,\n libprotobuf-dev (>= 3),\n libprotoc-dev,\n protobuf-compiler,\n"
       "Package: libnearcall1.2\n"},
      {"debian/libnearcall1.2.install", "libnearcall.so.*\n"},
      {"debian/rules", kOptions},
      {"packaging/conan/conanfile.py", std::string("project\\(nearcall VERSION self.requires(\"protobuf/3\") "
                                                   "self.requires(\"abseil/2\") ") +
                                           kOptions},
      {"packaging/vcpkg/nearcall/portfile.cmake", kOptions},
      {"packaging/vcpkg/nearcall/vcpkg.json", "\"version\": \"1.2.3\", \"abseil\", \"name\": \"protobuf\""},
      {"protoc-plugin/protoc-gen-nearcall.1", "\"Nearcall 1.2\"\n"},
  };
}

// What is said if `from` in that file becomes `to`.
Problems With(const std::string& path, const std::string& from, const std::string& to) {
  std::vector<SourceFile> files = Recipes();
  for (SourceFile& file : files) {
    if (file.path == path) file.text = absl::StrReplaceAll(file.text, {{from, to}});
  }
  return RecipesAgree(files);
}

TEST(RecipesAgreeTest, IsQuietIfTheyDo) {
  EXPECT_THAT(RecipesAgree(Recipes()), IsEmpty());
}

TEST(RecipesAgreeTest, ReportsAnotherVersion) {
  for (const char* path : {"debian/changelog", "packaging/vcpkg/nearcall/vcpkg.json"}) {
    EXPECT_THAT(With(path, "1.2.3", "1.2.4"), ElementsAre(HasSubstr(path))) << path;
  }
  for (const char* path : {"debian/control", "protoc-plugin/protoc-gen-nearcall.1"}) {
    EXPECT_THAT(With(path, "1.2", "1.1"), ElementsAre(HasSubstr(path))) << path;
  }
  EXPECT_THAT(With("CMakeLists.txt", "1.2.3", "1.3.0"), Contains(HasSubstr("debian/libnearcall1.3.install")));
}

TEST(RecipesAgreeTest, ReportsOptionsThatAreNot) {
  for (const char* path : {"debian/rules", "packaging/conan/conanfile.py", "packaging/vcpkg/nearcall/portfile.cmake"}) {
    EXPECT_THAT(With(path, "ON\n", "ON -DNEARCALL_STATIC=ON\n"), ElementsAre(HasSubstr("no option NEARCALL_STATIC")))
        << path;
    EXPECT_THAT(With(path, "-DNEARCALL_SHARED=ON", ""), ElementsAre(HasSubstr("does not say NEARCALL_SHARED"))) << path;
  }
}

TEST(RecipesAgreeTest, ReportsMissingDependencies) {
  for (const char* path : {"debian/control", "packaging/conan/conanfile.py", "packaging/vcpkg/nearcall/vcpkg.json"}) {
    for (const char* name : {"protobuf", "ab"}) {
      EXPECT_THAT(With(path, name, "x"), Contains(HasSubstr(path))) << path << " " << name;
    }
  }
  EXPECT_THAT(With("cmake/NearcallDependencies.cmake", "needs Abseil\n", "needs Abseil\nnearcall needs zlib\n"),
              ElementsAre(HasSubstr("needs zlib, which no recipe brings")));
}

TEST(RecipesAgreeTest, ReportsAddresses) {
  EXPECT_THAT(With("packaging/conan/conanfile.py", "abseil/2\")", "abseil/2\") https://example.org/x"),
              ElementsAre(HasSubstr("conanfile.py:1: an address")));
}

}  // namespace
}  // namespace nearcall::tidy
