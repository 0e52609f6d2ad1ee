// SPDX-License-Identifier: Apache-2.0

// What cannot be generated is named with its place, and nothing is written.
#include <gmock/gmock.h>
#include <google/protobuf/stubs/common.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "protoc.h"
#include "support/temporary_directory.h"

namespace nearcall::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

const fs::path kBad = fs::path(TEST_DIR) / "bad";

// Those with an .error beside them; the others are imported by them.
std::vector<std::string> BadProtos() {
  std::vector<std::string> protos = ProtosIn(kBad);
  std::erase_if(protos,
                [](const std::string& proto) { return !fs::exists((kBad / proto).replace_extension(".error")); });
  return protos;
}

class RejectionTest : public ::testing::TestWithParam<std::string> {};

TEST_P(RejectionTest, NamesFileAndLineAndWritesNothing) {
  const ProtocRun run = RunProtoc(kBad, {GetParam()});
  const std::string problems = ReadFile((kBad / GetParam()).replace_extension(".error"));
  if (GOOGLE_PROTOBUF_VERSION >= 5027000 && absl::StrContains(problems, "and protobuf does not rename it")) {
    EXPECT_TRUE(run.ok && run.errors.empty()) << "this protobuf renames it: " << run.errors;
    return;
  }
  EXPECT_FALSE(run.ok);
  // protoc puts the option that named the plugin before its words.
  EXPECT_EQ(run.errors, absl::StrCat("--nearcall_out: ", problems));
  EXPECT_THAT(run.files, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Bad, RejectionTest, ::testing::ValuesIn(BadProtos()), [](const auto& test) {
  return absl::StrReplaceAll(test.param, {{".proto", ""}});
});

TEST(RejectionTest, OneBadFileKeepsTheOthersFromBeingWritten) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "fine.proto") << "syntax = \"proto3\";\npackage fine;\nmessage Q {}\n";
  for (const char* name : {"bad", "worse"}) {
    std::ofstream(directory / absl::StrCat(name, ".proto"))
        << "syntax = \"proto3\";\npackage " << name << ";\nmessage NAN {}\nservice S { rpc Go(NAN) returns (NAN); }\n";
  }
  const ProtocRun run = RunProtoc(directory.path(), {"fine.proto", "bad.proto", "worse.proto"});
  EXPECT_FALSE(run.ok);
  EXPECT_THAT(run.errors, HasSubstr("bad.proto:3: "));
  EXPECT_THAT(run.errors, HasSubstr("\nworse.proto:3: "));
  EXPECT_THAT(run.files, IsEmpty());
}

// It would end the string of the #include.
TEST(RejectionTest, AFileNameThatCannotBeIncludedIsNamed) {
  const fs::path directory = fs::path(::testing::TempDir()) / "nearcall_rejection_test";
  fs::create_directories(directory);
  std::ofstream(directory / "a\"b.proto") << "syntax = \"proto3\";\n";
  const ProtocRun run = RunProtoc(directory, {"a\"b.proto"});
  fs::remove_all(directory);
  EXPECT_FALSE(run.ok);
  EXPECT_THAT(run.errors, HasSubstr("a\\\"b.proto: the name of this file cannot stand in an #include"));
  EXPECT_THAT(run.files, IsEmpty());
}

// A compiler warns of a name that turns the direction of text, or that is no text.
TEST(RejectionTest, AFileNameThatLooksLikeAnotherIsNamed) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "a\xe2\x80\xae.proto") << "syntax = \"proto3\";\n";
  const ProtocRun run = RunProtoc(directory.path(), {"a\xe2\x80\xae.proto"});
  EXPECT_FALSE(run.ok);
  EXPECT_THAT(run.errors, HasSubstr("a\\xe2\\x80\\xae.proto: the name of this file cannot stand in an #include"));
  EXPECT_THAT(run.files, IsEmpty());
}

TEST(RejectionTest, WhatTwoFilesImportIsSaidOnce) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "bad.proto") << "syntax = \"proto3\";\nmessage NAN {}\n";
  for (const char* name : {"a", "b"}) {
    std::ofstream(directory / absl::StrCat(name, ".proto"))
        << "syntax = \"proto3\";\nimport \"bad.proto\";\nservice " << name << " { rpc Go(NAN) returns (NAN); }\n";
  }
  const ProtocRun run = RunProtoc(directory.path(), {"a.proto", "b.proto"});
  EXPECT_EQ(run.errors,
            "--nearcall_out: bad.proto:2: message NAN cannot be used from C++: \"NAN\" is a macro of a library that "
            "generated code includes; rename it\n");
}

TEST(RejectionTest, AnUnknownOptionIsNamed) {
  const ProtocRun run =
      RunProtoc(kBad, {"imported_elsewhere.proto"}, {"--nearcall_opt=mock=true", "--nearcall_opt=paths"});
  EXPECT_FALSE(run.ok);
  EXPECT_EQ(run.errors,
            "--nearcall_out: unknown option \"mock\": there is generate_mock_code=true, and no other\n"
            "unknown option \"paths\": there is generate_mock_code=true, and no other\n");
  EXPECT_THAT(run.files, IsEmpty());
}

TEST(RejectionTest, AnOptionIsTrueOrFalse) {
  const ProtocRun run = RunProtoc(kBad, {"imported_elsewhere.proto"}, {"--nearcall_opt=generate_mock_code=yes"});
  EXPECT_FALSE(run.ok);
  EXPECT_EQ(run.errors, "--nearcall_out: option generate_mock_code is \"yes\", allowed are true and false\n");
}

}  // namespace
}  // namespace nearcall::testing
