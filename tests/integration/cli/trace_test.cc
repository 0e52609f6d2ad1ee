// SPDX-License-Identifier: Apache-2.0

// `nearcall trace`, as a process.
#include <google/protobuf/util/json_util.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli_fixture.h"
#include "handlers.h"
#include "nearcall/generic.h"
#include "nearcall/stats/v1/stats.pb.h"

namespace nearcall::integration {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kSay[] = "nearcall.integration.Echo/Say";

// Somebody who calls all the time.
class Caller {
 public:
  explicit Caller(const Echo::Stub& stub)
      : thread_([this, stub] {
          while (!over_) stub.Say(MakeBlob("12345678"), InTime()).IgnoreError();
        }) {}
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  ~Caller() {
    over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

class CliTraceTest : public CliTest {
 protected:
  // Its exit code. What it has still to say is read: it waits for that.
  static int EndOf(testing::Process& process) {
    while (!process.ReadLine().empty()) continue;
    return process.End();
  }

  static testing::Process Begin(const std::string& arguments) {
    return testing::Process("/bin/sh", {"-c", "exec " NEARCALL_TOOL " trace " + arguments + " 2>&1"});
  }
};

TEST_F(CliTraceTest, ALineForEachCall) {
  const auto server = StartServer();
  const Caller caller(ConnectStub());
  const Ran ran = Nearcall("trace -n 5 " + Address());
  EXPECT_EQ(ran.code, 0) << ran.text;
  const std::vector<std::string> lines = absl::StrSplit(ran.text, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(5));
  for (const std::string& line : lines) {
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    ASSERT_THAT(fields, SizeIs(11)) << line;
    EXPECT_EQ(fields[2], "OK");
    EXPECT_EQ(fields[3], absl::StrCat(MakeBlob("12345678").ByteSizeLong()));
    EXPECT_EQ(fields[7], TransportUnderTest().MeetsAtSocket() ? absl::StrCat(::getpid()) : "0");
    EXPECT_EQ(fields[9], TransportName());
    EXPECT_EQ(fields[10], kSay);
  }
}

TEST_F(CliTraceTest, OfOneMethodAsJson) {
  const auto server = StartServer();
  const Caller caller(ConnectStub());
  const Caller other(ConnectStub());
  const Ran ran = Nearcall(absl::StrCat("trace --json -n 3 ", Address(), " ", kSay));
  EXPECT_EQ(ran.code, 0) << ran.text;
  const std::vector<std::string> lines = absl::StrSplit(ran.text, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(3));
  for (const std::string& line : lines) {
    stats::v1::Call call;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(line, &call).ok()) << line;
    EXPECT_EQ(call.method(), kSay);
    EXPECT_GT(call.duration_ns(), 0);
    EXPECT_THAT(line, HasSubstr("\"code\":0,")) << "what is zero, too";
  }
}

TEST_F(CliTraceTest, OnATerminalThereAreColumns) {
  const auto server = StartServer();
  const Caller caller(ConnectStub());
  const Ran ran = Run(absl::StrCat("NO_COLOR=1 TERM=xterm script -qec '" NEARCALL_TOOL " trace -n 1 ", Address(),
                                   "' /dev/null </dev/null"));
  EXPECT_THAT(ran.text, StartsWith("TIME             "));
  EXPECT_THAT(ran.text, ::testing::ContainsRegex("\n[0-9:.]+ +[0-9.]+[mun]?s  OK +10B +10B +[0-9]+  "));
}

TEST_F(CliTraceTest, CtrlCEndsIt) {
  const auto server = StartServer();
  const Caller caller(ConnectStub());
  for (const int signal : {SIGINT, SIGTERM}) {
    testing::Process process = Begin(Address());
    EXPECT_THAT(process.ReadLine(), EndsWith(kSay));
    ::kill(process.pid(), signal);
    EXPECT_EQ(EndOf(process), 0);
  }
}

TEST_F(CliTraceTest, ItEndsWithItsServer) {
  auto server = StartServer();
  auto caller = std::make_unique<Caller>(ConnectStub());
  testing::Process process = Begin(Address());
  EXPECT_THAT(process.ReadLine(), EndsWith(kSay));
  caller.reset();
  server.reset();
  EXPECT_EQ(EndOf(process), 64 + 14);
}

// Takes a call, and says nothing until its client goes.
class Silent final : public GenericService {
 public:
  absl::Status Call(ServerContext& context, CallKind, ServerReaderWriter<Bytes, Bytes>&) override {
    EXPECT_TRUE(Eventually([&] { return context.IsCancelled(); }));
    return absl::CancelledError();
  }
};

TEST_F(CliTraceTest, SaysWhyItCannot) {
  EXPECT_THAT(Nearcall("trace"), Ends(2, "ADDRESS is required"));
  EXPECT_THAT(Nearcall("trace -n 0 " + Address()), Ends(2, ""));
  EXPECT_THAT(Nearcall("trace " + Address("nobody")), Ends(3, "nobody"));
  if (TransportUnderTest().MeetsAtSocket()) {
    const base::Fd hangs = MakeSocket("hangs", false);
    EXPECT_THAT(Nearcall("trace --timeout 300ms " + Address("hangs")), Ends(3, "did not answer"));
  }
  {
    const auto silent = StartServer({.stats = false});
    EXPECT_THAT(Nearcall("trace " + Address()), Ends(4, "ServerOptions::stats is false"));
  }
  {
    const auto refusing = StartServer(
        {.authorize = [](const PeerIdentity&, absl::string_view) { return absl::PermissionDeniedError("not you"); }});
    EXPECT_THAT(Nearcall("trace " + Address()), Ends(64 + 7, "not you"));
  }
  Silent silent;
  const auto server =
      Must(ServerBuilder({.log_sink = log.sink(), .stats = false}).Listen(Address()).RegisterGeneric(&silent).Start());
  EXPECT_THAT(Nearcall("trace --timeout 300ms " + Address()), Ends(64 + 4, "did not answer in time (--timeout)"));
}

TEST_F(CliTraceTest, AServerThatLiesSpoilsOnlyItsOwnPicture) {
  stats::v1::TraceResponse lie;
  lie.set_dropped(~uint64_t{0});
  stats::v1::Call& call = *lie.add_calls();
  call.set_method("a\033[2J\n\"b");
  call.set_transport("\033c\t");
  call.set_code(-7);
  call.set_start_time_unix_ns(std::numeric_limits<int64_t>::min());
  call.set_duration_ns(-1);
  call.set_uid(~uint64_t{0});
  for (const std::string& answer : {std::string("\xff garbage"), lie.SerializeAsString()}) {
    FalseAnswers liar(answer);
    const auto server =
        Must(ServerBuilder({.log_sink = log.sink(), .stats = false}).Listen(Address()).RegisterGeneric(&liar).Start());
    for (const char* how : {"", "--json "}) {
      const Ran ran = Nearcall(absl::StrCat("trace ", how, Address()));
      EXPECT_EQ(ran.code, 64 + 13) << how << ": " << ran.text;
      EXPECT_THAT(ran.text, Not(HasSubstr("\033")));
    }
  }
}

}  // namespace
}  // namespace nearcall::integration
