// SPDX-License-Identifier: Apache-2.0

// What the plugin writes for each goldens/*.proto is what lies beside it, byte for byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "absl/strings/str_replace.h"
#include "protoc.h"

namespace nearcall::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::filesystem::path kGoldens = std::filesystem::path(TEST_DIR) / "goldens";

std::vector<std::string> FileNames(const ProtocRun& run) {
  std::vector<std::string> names;
  for (const auto& [name, text] : run.files) names.push_back(name);
  return names;
}

class GoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, IsWhatThePluginWrites) {
  const ProtocRun run = RunProtoc(kGoldens, {GetParam()});
  ASSERT_TRUE(run.ok) << run.errors;
  EXPECT_THAT(run.errors, IsEmpty());
  const std::string base = GetParam().substr(0, GetParam().size() - std::string(".proto").size());
  EXPECT_THAT(FileNames(run), ::testing::ElementsAre(base + ".nearcall.pb.cc", base + ".nearcall.pb.h"));
  for (const auto& [name, text] : run.files) {
    if (std::getenv("NEARCALL_UPDATE_GOLDENS") != nullptr) std::ofstream(kGoldens / name, std::ios::binary) << text;
    EXPECT_EQ(ReadFile(kGoldens / name), text) << "NEARCALL_UPDATE_GOLDENS=1 accepts this as " << name;
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& test) {
  return absl::StrReplaceAll(test.param, {{"/", "_"}, {".proto", ""}});
}

INSTANTIATE_TEST_SUITE_P(Goldens, GoldenTest, ::testing::ValuesIn(ProtosIn(kGoldens)), NameOf);

// The other files are the same with it and without.
class MockGoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(MockGoldenTest, IsWhatThePluginWritesIfAsked) {
  const ProtocRun run = RunProtoc(kGoldens, {GetParam()}, {"--nearcall_opt=generate_mock_code=true"});
  ASSERT_TRUE(run.ok) << run.errors;
  EXPECT_EQ(run.files.size(), 3u);
  for (const auto& [name, text] : run.files) {
    if (std::getenv("NEARCALL_UPDATE_GOLDENS") != nullptr) std::ofstream(kGoldens / name, std::ios::binary) << text;
    EXPECT_EQ(ReadFile(kGoldens / name), text) << "NEARCALL_UPDATE_GOLDENS=1 accepts this as " << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, MockGoldenTest,
                         ::testing::Values("global_names.proto", "mocks.proto", "no_services.proto", "one_way.proto",
                                           "streams.proto"),
                         NameOf);

TEST(PluginTest, WritesTheSameWhateverElseIsInTheRunAndInWhichOrder) {
  std::vector<std::string> protos = ProtosIn(kGoldens);
  std::erase(protos, "global_namespaces.proto");  // its services have the names of the others' packages
  const ProtocRun all = RunProtoc(kGoldens, protos);
  ASSERT_TRUE(all.ok) << all.errors;
  std::reverse(protos.begin(), protos.end());
  EXPECT_EQ(RunProtoc(kGoldens, protos).files, all.files);
  for (const auto& [name, text] : all.files) EXPECT_EQ(text, ReadFile(kGoldens / name)) << name;
}

// Nobody hands out the numbers of options: another's may be ours.
TEST(PluginTest, ObeysNoOptionOfSomebodyElse) {
  const ProtocRun run = RunProtoc(std::filesystem::path(TEST_DIR) / "foreign", {"hops.proto"});
  ASSERT_TRUE(run.ok) << run.errors;
  EXPECT_THAT(run.files.at("hops.nearcall.pb.h"),
              HasSubstr("::nearcall::Priority::kNormal, /*timeout_ns=*/0, /*may_block=*/false);"));
}

TEST(PluginTest, WritesNoMocksUnlessAsked) {
  const ProtocRun run = RunProtoc(kGoldens, {"echo.proto"}, {"--nearcall_opt=generate_mock_code=false"});
  ASSERT_TRUE(run.ok) << run.errors;
  EXPECT_EQ(run.files.size(), 2u);
}

TEST(PluginTest, WritesAThirdOfTheHeaderLinesOfGrpcForFourMethods) {
  constexpr int kLinesOfGrpc = 656;  // grpc_cpp_plugin 1.51 for a service of four methods
  const std::string header = ReadFile(kGoldens / "echo.nearcall.pb.h");
  EXPECT_GT(header.size(), 0u);
  EXPECT_LE(std::count(header.begin(), header.end(), '\n'), kLinesOfGrpc / 3);
}

}  // namespace
}  // namespace nearcall::testing
