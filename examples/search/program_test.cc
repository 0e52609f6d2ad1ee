// SPDX-License-Identifier: Apache-2.0

// The two programs as people use them, over each transport. What a program has printed is what orders events: `watch`
// says from when on it watches.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "program.h"
#include "temporary_tree.h"

namespace search {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int kExitBySigint = 128 + SIGINT;

class ProgramTest : public ::testing::TestWithParam<std::string> {
 protected:
  void TearDown() override {
    if (server_ != nullptr) EndServer();
  }

  void StartServer(const std::vector<std::string>& flags = {}) {
    std::vector<std::string> command = {SEARCH_SERVER, address_};
    command.insert(command.end(), flags.begin(), flags.end());
    server_ = std::make_unique<Program>(command);
  }

  void EndServer() {
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->End(), 0) << server_->errors();
    server_.reset();
  }

  std::vector<std::string> ClientCommand(const std::vector<std::string>& arguments) const {
    std::vector<std::string> command = {SEARCH_CLIENT, "--connect_timeout=10s", address_};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }

  struct Answer {
    int code;
    std::string output;
    std::string errors;
  };
  Answer Ask(const std::vector<std::string>& arguments, Errors errors = Errors::kToFile) const {
    Program client(ClientCommand(arguments), errors);
    const int code = client.End();
    return {code, client.output(), client.errors()};
  }

  // A file of files of one word each: more hits than a stream's window and a pipe can hold.
  void AddManyHits() const {
    for (int i = 0; i < 4000; ++i) tree_.Write(absl::StrCat("many/", i), "needle" + std::string(150, '.') + "\n");
    ASSERT_EQ(Ask({"add", "--tree", tree_.Path("many")}).code, 0);
  }

  // True when the server runs no handler of a stream any more.
  bool StreamsEnd() const {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    do {
      if (absl::StrContains(Ask({"stats"}).output, ", 0 streams")) return true;
    } while (std::chrono::steady_clock::now() < limit);
    return false;
  }

  TemporaryTree tree_;
  const std::string address_ = GetParam() + ":" + tree_.Path("socket");
  std::unique_ptr<Program> server_;
};

INSTANTIATE_TEST_SUITE_P(Transports, ProgramTest, ::testing::Values("shm", "mq", "pipe"),
                         [](const auto& param_info) { return param_info.param; });

TEST_P(ProgramTest, AFileGoesUpAndIsFound) {
  StartServer();
  tree_.Write("a", "hay\n  a needle here\n");
  const Answer added = Ask({"add", tree_.Path("a")});
  EXPECT_EQ(added.code, 0) << added.errors;
  EXPECT_THAT(added.output, StartsWith("added 1 files (0 of them replaced, 0 unchanged), 3 words, 20 bytes"));
  EXPECT_THAT(added.errors, IsEmpty()) << "no progress where there is no terminal";
  EXPECT_EQ(Ask({"find", "needle"}).output, tree_.Path("a") + ":2: a needle here\n1 files\n");
  EXPECT_EQ(Ask({"best", "needle"}).output, tree_.Path("a") + ":2: a needle here\n1 of 1 files\n");
  EXPECT_EQ(Ask({"find", "unicorn"}).code, 1);
}

TEST_P(ProgramTest, ATerminalShowsHowFarAnUploadIs) {
  StartServer();
  tree_.Write("a", std::string(100'000, '\n'));
  const Answer added = Ask({"add", tree_.Path("a")}, Errors::kToTerminal);
  EXPECT_EQ(added.code, 0) << added.errors;
  EXPECT_THAT(added.errors, AllOf(ContainsRegex("\\[#+-+\\] +33 %  0.0 MiB  .*/a"), EndsWith("\r\x1b[K")));
}

TEST_P(ProgramTest, NothingStaysOfAnUploadThatFails) {
  StartServer({"--max_index_mib=1"});
  tree_.Write("a", "needle\n");
  const Answer missing = Ask({"add", tree_.Path("a"), tree_.Path("missing")});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.errors, HasSubstr(tree_.Path("missing")));

  tree_.Write("b", std::string((size_t{1} << 20) - 6, '\n'));
  const Answer full = Ask({"add", tree_.Path("a"), tree_.Path("b")});
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.errors, HasSubstr("no room"));
  EXPECT_TRUE(StreamsEnd());
  EXPECT_THAT(Ask({"stats"}).output, StartsWith("0 files, 0 lines"));
}

TEST_P(ProgramTest, AWatchTellsOfWhatOthersAdd) {
  StartServer();
  Program watch(ClientCommand({"watch", "--hits=3", "red"}));
  ASSERT_EQ(watch.ReadLine(), "watching: red");
  tree_.Write("a", "red\ngreen\n");
  ASSERT_EQ(Ask({"add", tree_.Path("a")}).code, 0);
  EXPECT_EQ(watch.ReadLine(), "red: " + tree_.Path("a") + ":1: red");

  watch.WriteLine("green");
  ASSERT_EQ(watch.ReadLine(), "watching: green red");
  watch.WriteLine("-red");
  ASSERT_EQ(watch.ReadLine(), "watching: green");
  watch.WriteLine("?");
  tree_.Write("b", "red\nred\ngreen\n");
  ASSERT_EQ(Ask({"add", tree_.Path("a"), tree_.Path("b")}).code, 0);
  EXPECT_EQ(watch.ReadLine(), "green: " + tree_.Path("b") + ":3: green") << "a had been there, red is not watched";

  tree_.Write("a", "green again\n");
  ASSERT_EQ(Ask({"add", tree_.Path("a")}).code, 0);
  EXPECT_EQ(watch.ReadLine(), "green: " + tree_.Path("a") + ":1: green again");
  EXPECT_EQ(watch.End(), 0) << watch.errors();
  EXPECT_THAT(watch.errors(), HasSubstr("there is no word in '?'"));
  EXPECT_TRUE(StreamsEnd());
}

TEST_P(ProgramTest, CtrlCCancelsAWatch) {
  StartServer();
  Program watch(ClientCommand({"watch", "red"}));
  ASSERT_EQ(watch.ReadLine(), "watching: red");
  watch.Signal(SIGINT);
  EXPECT_EQ(watch.End(), kExitBySigint);
  EXPECT_EQ(watch.errors(), "search_client: CANCELLED by SIGINT\n");
  EXPECT_TRUE(StreamsEnd());
}

TEST_P(ProgramTest, CtrlCCancelsASearchAndTheServerSeeksNoFurther) {
  StartServer();
  AddManyHits();
  Program find(ClientCommand({"find", "needle"}));
  ASSERT_THAT(find.ReadLine(), HasSubstr(": needle"));
  find.Signal(SIGINT);  // it waits for us to read, and the server for it
  EXPECT_EQ(find.End(), kExitBySigint);
  EXPECT_EQ(find.errors(), "search_client: CANCELLED by SIGINT\n");
  EXPECT_THAT(find.output(), Not(HasSubstr(" files\n")));
  EXPECT_TRUE(StreamsEnd());
  EXPECT_THAT(Ask({"find", "--hits=2", "needle"}).output, EndsWith("the first 2 files\n"));
  EXPECT_TRUE(StreamsEnd());
}

TEST_P(ProgramTest, AServerThatIsToEndEndsItsStreams) {
  StartServer({"--grace=10ms"});
  Program watch(ClientCommand({"watch", "red"}));
  ASSERT_EQ(watch.ReadLine(), "watching: red");
  server_->Signal(SIGINT);
  EXPECT_EQ(server_->End(), 0) << server_->errors();
  server_.reset();
  EXPECT_EQ(watch.End(), 1);
  EXPECT_THAT(watch.errors(), StartsWith("search_client: ")) << "it says why";
}

}  // namespace
}  // namespace search
