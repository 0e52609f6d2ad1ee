// SPDX-License-Identifier: Apache-2.0

// `nearcall stat` and `nearcall bench`, as processes.
#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli_fixture.h"
#include "nearcall/stats/v1/stats.pb.h"

namespace nearcall::integration {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSay[] = "nearcall.integration.Echo/Say";

class StatTest : public CliTest {
 protected:
  void CallSome(int calls) {
    const Echo::Stub stub = ConnectStub();
    for (int i = 0; i < calls; ++i) EXPECT_TRUE(stub.Say(MakeBlob("12345678"), InTime()).ok());
  }

  // The fields of the first line that begins with these two.
  static std::vector<std::string> FieldsOf(const std::string& text, const std::string& kind, const std::string& name) {
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::vector<std::string> fields = absl::StrSplit(line, '\t');
      if (fields.size() > 1 && fields[0] == kind && fields[1] == name) return fields;
    }
    ADD_FAILURE() << "no " << kind << " " << name << " in: " << text;
    return std::vector<std::string>(20, "?");
  }
};

// --- stat ---

TEST_F(StatTest, TellsOfOneServer) {
  const auto server = StartServer();
  CallSome(5);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  const Ran ran = Nearcall("stat --once " + Address());
  EXPECT_EQ(ran.code, 0) << ran.text;
  const std::vector<std::string> whole = FieldsOf(ran.text, "server", Address());
  EXPECT_EQ(whole[2], absl::StrCat(::getpid()));
  EXPECT_EQ(whole.back(), "serving");
  const std::vector<std::string> say = FieldsOf(ran.text, "method", kSay);
  double rate = 0;
  double p50 = 0;
  ASSERT_TRUE(absl::SimpleAtod(say[2], &rate) && absl::SimpleAtod(say[5], &p50)) << ran.text;
  EXPECT_GT(rate, 0);
  EXPECT_GT(p50, 0);
  EXPECT_EQ(say[3], "0") << "none is under way";
  EXPECT_THAT(ran.text, HasSubstr("\nconnection\t"));
  EXPECT_THAT(ran.text, HasSubstr("\nuser\t"));
  EXPECT_THAT(ran.text, Not(HasSubstr("Stats/Get"))) << "its own calls are no news";
  EXPECT_THAT(ran.text, Not(HasSubstr("\033"))) << "colours are for terminals";
}

TEST_F(StatTest, RatesAreThoseSinceTheLastTable) {
  const auto server = StartServer();
  CallSome(5);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  const Ran ran = Nearcall("stat -n 2 --interval 0.05 " + Address());
  EXPECT_EQ(ran.code, 0) << ran.text;
  const size_t second = ran.text.rfind("\nserver\t");
  ASSERT_NE(second, std::string::npos);
  EXPECT_NE(FieldsOf(ran.text, "method", kSay)[2], "0");
  EXPECT_EQ(FieldsOf(ran.text.substr(second + 1), "method", kSay)[2], "0");
}

TEST_F(StatTest, TellsOfAllServers) {
  const auto server = StartServer();
  CallSome(1);
  MakeSocket("dead", true);
  const base::Fd hangs = MakeSocket("hangs", false);
  const Ran ran = Nearcall("stat --once");
  EXPECT_EQ(ran.code, 0) << ran.text;
  EXPECT_THAT(ran.text, HasSubstr(absl::StrCat(ListedName(), "\t", ::getpid(), "\t")));
  EXPECT_THAT(ran.text, HasSubstr("\tserving\n"));
  EXPECT_THAT(ran.text, HasSubstr("dead\t-\t-\t"));
  EXPECT_THAT(ran.text, ::testing::ContainsRegex("hangs(\t-)+\thangs\n"));
}

TEST_F(StatTest, OnATerminalItIsATable) {
  const auto server = StartServer();
  CallSome(1);
  // script(1) is a terminal.
  const auto on_terminal = [&](const std::string& environment) {
    return Run(absl::StrCat(environment, " TERM=xterm script -qec '" NEARCALL_TOOL " stat --once ", Address(),
                            "' /dev/null </dev/null"));
  };
  const Ran table = on_terminal("NO_COLOR=");
  EXPECT_THAT(table.text, HasSubstr("METHOD"));
  EXPECT_THAT(table.text, HasSubstr("\033[1m"));
  EXPECT_THAT(on_terminal("NO_COLOR=1").text, Not(HasSubstr("\033")));
}

TEST_F(StatTest, JsonIsWhatTheServerTells) {
  const auto server = StartServer();
  CallSome(3);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  const Ran ran = Nearcall("stat --once --json " + Address());
  EXPECT_EQ(ran.code, 0) << ran.text;
  stats::v1::GetResponse stats;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(ran.text, &stats).ok()) << ran.text;
  EXPECT_EQ(stats.server().pid(), ::getpid());
  EXPECT_THAT(ran.text, HasSubstr(absl::StrCat("{\"name\":\"", kSay, "\",\"begun\":\"3\",")));
  EXPECT_THAT(Nearcall("stat --once --json").text,
              ::testing::StartsWith("{\"address\":\"" + ListedName() + "\",\"stats\":{\"server\":"));
}

TEST_F(StatTest, PrometheusCanReadIt) {
  const auto server = StartServer();
  CallSome(3);
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
  const Ran ran = Nearcall("stat --prometheus");
  EXPECT_EQ(ran.code, 0) << ran.text;
  const std::string labels = "{server=\"" + ListedName() +
                             "\",rpc_system=\"nearcall\",rpc_service=\"nearcall.integration.Echo\",rpc_method=\"Say\"";
  EXPECT_THAT(ran.text, HasSubstr("# TYPE rpc_server_call_duration_seconds histogram\n"));
  EXPECT_THAT(ran.text, HasSubstr("rpc_server_call_duration_seconds_bucket" + labels + ",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(ran.text, HasSubstr("rpc_server_call_duration_seconds_count" + labels + "} 3\n"));
  EXPECT_THAT(ran.text,
              HasSubstr("nearcall_server_calls_ended_total" + labels + ",rpc_response_status_code=\"OK\"} 3\n"));
  for (const absl::string_view line : absl::StrSplit(ran.text, '\n', absl::SkipEmpty())) {
    double value = 0;
    EXPECT_TRUE(absl::StartsWith(line, "# ") || absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &value)) << line;
  }
}

TEST_F(StatTest, SaysWhyItCannot) {
  const auto silent = StartServer({.stats = false});
  EXPECT_THAT(Nearcall("stat --once " + Address()), Ends(4, "ServerOptions::stats is false"));
  EXPECT_THAT(Nearcall("stat --once " + Address("nobody")), Ends(3, "nobody"));
  EXPECT_THAT(Nearcall("stat --once --prometheus --json"), Ends(2, "--prometheus"));
  EXPECT_THAT(Nearcall("stat --interval 0"), Ends(2, "must be more than zero"));
  NEEDS_SOCKETS();
  const base::Fd hangs = MakeSocket("hangs", false);
  EXPECT_THAT(Nearcall("stat --once --timeout 300ms " + Address("hangs")), Ends(3, "did not answer"));
}

TEST_F(StatTest, ItEndsWithItsServer) {
  auto server = StartServer();
  testing::Process process("/bin/sh", {"-c", "exec " NEARCALL_TOOL " stat --interval 0.02 " + Address() + " 2>&1"});
  EXPECT_THAT(process.ReadLine(), HasSubstr("server\t"));
  server.reset();
  EXPECT_EQ(process.End(), 64 + 14);
}

TEST_F(StatTest, AServerThatLiesSpoilsOnlyItsOwnPicture) {
  stats::v1::GetResponse lie;
  lie.mutable_server()->set_uptime_ns(-5);
  lie.mutable_server()->set_cpu_user_ns(-1);
  stats::v1::Method& method = *lie.add_methods();
  method.set_name("a\033[2J\n\"b");
  method.add_ended()->set_code(-7);
  method.mutable_ended(0)->set_count(~uint64_t{0});
  for (const uint64_t from : {uint64_t{9}, uint64_t{3}, uint64_t{3}}) {
    stats::v1::Bucket& bucket = *method.mutable_latency()->add_buckets();
    bucket.set_from_ns(from);
    bucket.set_count(~uint64_t{0});
  }
  lie.add_connections()->set_transport("\t");
  lie.add_users()->set_name("\033c");
  for (const std::string& answer : {std::string("garbage"), lie.SerializeAsString()}) {
    FalseAnswers liar(answer);
    const auto server =
        Must(ServerBuilder({.log_sink = log.sink(), .stats = false}).Listen(Address()).RegisterGeneric(&liar).Start());
    for (const char* how : {"--once", "-n 3 --interval 0.01", "--json --once", "--prometheus"}) {
      const Ran ran = Nearcall(absl::StrCat("stat ", how, " ", Address()));
      EXPECT_EQ(ran.code, answer == "garbage" ? 64 + 13 : 0) << how << ": " << ran.text;
      EXPECT_THAT(ran.text, Not(HasSubstr("\033")));
      EXPECT_EQ(Nearcall(absl::StrCat("stat ", how)).code, 0);
    }
  }
}

// --- bench ---

TEST_F(StatTest, BenchCallsAsOftenAsItIsTold) {
  const auto server = StartServer();
  const Ran ran = Nearcall(absl::StrCat("bench ", Address(), " ", kSay, " -n 50 -c 3 --connections 2"));
  EXPECT_THAT(ran, Ends(0, "50 calls in "));
  EXPECT_THAT(ran.text, HasSubstr("3 callers, 2 connections, closed loop"));
  EXPECT_THAT(ran.text, HasSubstr("latency of 50 calls that went well"));
  EXPECT_THAT(ran.text, HasSubstr("p99.9 "));
  EXPECT_THAT(Nearcall("stat --once --json " + Address()).text, HasSubstr(absl::StrCat(kSay, "\",\"begun\":\"50\"")));
}

TEST_F(StatTest, BenchKeepsARate) {
  const auto server = StartServer();
  const Ran ran = Nearcall(absl::StrCat("bench ", Address(), " ", kSay, " --rate 1000 --duration 0.1 --json"));
  EXPECT_THAT(ran, Ends(0, "\"rate\":1000,"));
  EXPECT_THAT(ran.text, HasSubstr("\"n\":100,")) << "each has its time";
}

// One that is late because the server was stuck has waited since it was due.
TEST_F(StatTest, BenchCountsTheWaitOfAnOpenLoop) {
  std::atomic<int> calls{0};
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    if (calls++ == 0) absl::SleepFor(absl::Milliseconds(200));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Ran ran = Nearcall(absl::StrCat("bench ", Address(), " ", kSay, " --rate 100 -n 10 --json"));
  EXPECT_EQ(ran.code, 0) << ran.text;
  const size_t at = ran.text.find("\"p50\":");
  ASSERT_NE(at, std::string::npos) << ran.text;
  EXPECT_GT(std::strtod(ran.text.c_str() + at + 6, nullptr), 100'000) << "in microseconds: " << ran.text;
}

TEST_F(StatTest, BenchSaysWhatFailed) {
  echo.spell = [&](ServerContext&, const Text& request, Text&) {
    return request.text() == "well" ? absl::OkStatus() : absl::NotFoundError("no such thing");
  };
  const auto server = StartServer();
  const std::string bench = absl::StrCat("bench ", Address(), " nearcall.integration.Echo/Spell -n 20 ");
  const Ran failed = Nearcall(bench);
  EXPECT_THAT(failed, Ends(64 + 5, "20 of them failed")) << "all";
  EXPECT_THAT(failed.text, HasSubstr("NOT_FOUND: 20, such as: no such thing\n"));
  EXPECT_THAT(Nearcall(bench + "--json").text, HasSubstr("\"failed\":{\"NOT_FOUND\":20}"));
  EXPECT_THAT(Nearcall(bench + "-d '{\"text\":\"well\"}'"), Ends(0, "0 of them failed"));
  EXPECT_THAT(Nearcall(bench + "-d '{\"no\":1}'"), Ends(5, "Cannot find field"));
  EXPECT_THAT(Nearcall("bench " + Address() + " nearcall.integration.Streams/Chat"), Ends(2, "streams"));
  EXPECT_THAT(Nearcall("bench " + Address() + " nearcall.integration.Echo/No"), Ends(4, "Echo/No"));
}

}  // namespace
}  // namespace nearcall::integration
