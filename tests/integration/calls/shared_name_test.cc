// SPDX-License-Identifier: Apache-2.0

// Several servers behind one name (ListenOptions::shared): each call goes to one of them.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "measured.h"
#include "raw_peer.h"
#include "stream_fixture.h"
#include "support/process.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// One of several servers of a name: answers with its own.
class One {
 public:
  One(std::string name, LogSink log, absl::string_view address = Address()) {
    echo_.say = [this, name](ServerContext&, const Blob&, Blob& reply) {
      ++calls_;
      reply.set_data(name);
      return absl::OkStatus();
    };
    streams_.down = [name](ServerContext&, const Blob&, ServerWriter<Blob>& writer) {
      writer.Write(MakeBlob(name));
      return absl::OkStatus();
    };
    server_ = Must(ServerBuilder({.expected_clients = 48, .log_sink = std::move(log)})
                       .Listen(address, {.shared = true})
                       .Register(&echo_)
                       .Register(&streams_)
                       .Start());
  }

  Server& server() { return *server_; }
  size_t calls() const { return calls_; }
  void End(absl::Duration grace = absl::ZeroDuration()) {
    server_->Shutdown(grace);
    server_->Wait();
  }

 private:
  EchoService echo_;
  StreamService streams_;
  std::atomic<size_t> calls_{0};
  std::unique_ptr<Server> server_;  // uses the others
};

class SharedNameTest : public IntegrationTest {
 protected:
  void SetUp() override { NEEDS_SOCKETS(); }
  std::unique_ptr<One> Start(const std::string& name) { return std::make_unique<One>(name, log.sink()); }

  // Who answers `count` such calls.
  template <typename Call>
  static std::set<std::string> WhoAnswers(Call&& call, int count = 12) {
    std::set<std::string> names;
    for (int i = 0; i < count; ++i) {
      const absl::StatusOr<Blob> reply = call();
      names.insert(reply.ok() ? reply->data() : reply.status().ToString());
    }
    return names;
  }
  static std::set<std::string> WhoAnswers(const Echo::Stub& stub) {
    return WhoAnswers([&] { return stub.Say(MakeBlob(""), InTime()); });
  }
  static bool Reaches(const Echo::Stub& stub, const std::set<std::string>& names) {
    return Eventually([&] { return WhoAnswers(stub) == names; });
  }
};

absl::StatusOr<Blob> SayByCallback(const Echo::AsyncStub& stub) {
  std::promise<absl::StatusOr<Blob>> ended;
  stub.Say(
      MakeBlob(""), [&](absl::StatusOr<Blob> reply) { ended.set_value(std::move(reply)); }, InTime());
  return ended.get_future().get();
}

absl::StatusOr<Blob> SayByCoroutine(const Echo::CoStub& stub) {
  const auto call = [&]() -> Task<absl::StatusOr<Blob>> {
    const CallOptions options = InTime();
    co_return co_await stub.Say(MakeBlob(""), options);
  };
  return SyncWait(call());
}

absl::StatusOr<Blob> ReadOne(const Streams::Stub& stub) {
  const auto stream = stub.Down(MakeBlob(""), InTime());
  Blob blob;
  stream->Read(&blob);
  const absl::Status status = stream->Finish();
  if (!status.ok()) return status;
  return blob;
}

TEST_F(SharedNameTest, CallsOfEachStyleGoToAllServers) {
  const auto one = Start("one");
  const auto two = Start("two");
  const auto three = Start("three");
  const auto channel = Connect();
  const std::set<std::string> all = {"one", "two", "three"};
  EXPECT_TRUE(Reaches(Echo::Stub(channel), all));
  EXPECT_EQ(WhoAnswers([stub = Echo::AsyncStub(channel)] { return SayByCallback(stub); }), all);
  EXPECT_EQ(WhoAnswers([stub = Echo::CoStub(channel)] { return SayByCoroutine(stub); }), all);
  EXPECT_EQ(WhoAnswers([stub = Streams::Stub(channel)] { return ReadOne(stub); }), all);
}

TEST_F(SharedNameTest, ACallGoesToWhoHasTheFewest) {
  Event may_end;
  Counter begun;
  const auto hold = [&](ServerContext&, const Blob&, Blob&) {
    begun.Add();
    may_end.Wait();
    return absl::OkStatus();
  };
  std::vector<std::unique_ptr<EchoService>> services;
  std::vector<std::unique_ptr<Server>> servers;
  for (int i = 0; i < 3; ++i) {
    services.push_back(std::make_unique<EchoService>());
    services.back()->may_block = hold;
    servers.push_back(Must(ServerBuilder({.expected_clients = 48, .log_sink = log.sink()})
                               .Listen(Address(), {.shared = true})
                               .Register(services.back().get())
                               .Start()));
  }
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(Eventually([&] {
    const bool answered = stub.Say(MakeBlob("")).ok();
    const auto has_had_some = [](const auto& server) { return NumberIn(server->DebugString(), "started: ") > 0; };
    return answered && std::all_of(servers.begin(), servers.end(), has_had_some);
  }));
  std::vector<std::thread> callers;
  for (size_t i = 0; i < servers.size(); ++i) {
    callers.emplace_back([&] { EXPECT_TRUE(stub.MayBlock(MakeBlob(""), InTime()).ok()); });
    begun.WaitFor(i + 1);
  }
  for (const auto& server : servers) EXPECT_EQ(CallsActive(*server), 1u);
  may_end.Set();
  for (std::thread& caller : callers) caller.join();
}

TEST_F(SharedNameTest, AServerThatComesGetsCalls) {
  const auto one = Start("one");
  const Echo::Stub stub = ConnectStub();
  EXPECT_EQ(WhoAnswers(stub), std::set<std::string>{"one"});
  const auto two = Start("two");
  EXPECT_TRUE(Reaches(stub, {"one", "two"}));
}

TEST_F(SharedNameTest, NoCallIsLostWhenAServerGoes) {
  auto stays = Start("stays");
  auto goes = Start("goes");
  const auto channel = Connect();
  EXPECT_TRUE(Reaches(Echo::Stub(channel), {"stays", "goes"}));
  std::atomic<bool> done{false};
  std::vector<std::thread> callers;
  const auto load = [&](auto call) {
    callers.emplace_back([&done, call] {
      while (!done) EXPECT_EQ(call().status(), absl::OkStatus());
    });
  };
  load([stub = Echo::Stub(channel)] { return stub.Say(MakeBlob(""), InTime()); });
  load([stub = Echo::AsyncStub(channel)] { return SayByCallback(stub); });
  load([stub = Echo::CoStub(channel)] { return SayByCoroutine(stub); });
  load([stub = Streams::Stub(channel)] { return ReadOne(stub); });
  for (size_t i = TortureCount("NEARCALL_TAKE_OVERS", 5); i > 0; --i) {
    EXPECT_TRUE(Eventually([&] { return goes->calls() > 0; }));
    goes->End(kLong);
    goes = Start("goes");
  }
  done = true;
  for (std::thread& caller : callers) caller.join();
}

TEST_F(SharedNameTest, AServerThatIsKilledIsLeftOut) {
  const auto one = Start("one");
  testing::Process two(ECHO_PEER, {"shared", Address(), "4"});
  EXPECT_EQ(two.ReadLine(), "ready");
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(Reaches(stub, {"one", ""}));
  two.Kill();
  EXPECT_TRUE(Reaches(stub, {"one"}));
  // Its name is still there, and is nobody's.
  EXPECT_TRUE(ConnectStub().Say(MakeBlob(""), InTime()).ok());
}

TEST_F(SharedNameTest, TheChannelIsReadyAsLongAsAnyServerIs) {
  auto one = Start("one");
  auto two = Start("two");
  const auto channel = Connect();
  const Echo::Stub stub(channel);
  EXPECT_TRUE(Reaches(stub, {"one", "two"}));
  one->End();
  EXPECT_TRUE(Reaches(stub, {"two"}));
  EXPECT_EQ(channel->state(), ChannelState::kReady);
  two->End();
  EXPECT_TRUE(channel->WaitForStateChange(ChannelState::kReady, absl::Now() + kLong));
  EXPECT_EQ(stub.Say(MakeBlob("")).status().code(), StatusCode::kUnavailable);
  one = Start("one");
  EXPECT_EQ(WhoAnswers(stub), std::set<std::string>{"one"});
}

TEST_F(SharedNameTest, ACallWaitsForTheFirstServer) {
  std::unique_ptr<One> one;
  std::thread starts([&] { one = Start("one"); });
  const auto channel = Channel::Connect(Address(), {.connect_timeout = kLong, .log_sink = log.sink()});
  starts.join();
  EXPECT_TRUE(channel.ok()) << channel.status();
  one.reset();
  const auto lazy = Connect({.lazy = true});
  Pending call = SayAsync(Echo::Stub(lazy), "", {.timeout = kLong, .wait_for_ready = true});
  one = Start("one");
  EXPECT_EQ(call.get().status(), absl::OkStatus());
}

// It would keep its clients waiting.
TEST_F(SharedNameTest, NoCallWaitsForAServerThatDoesNotAnswer) {
  const auto one = Start("one");
  const Echo::Stub stub = ConnectStub();
  EXPECT_EQ(WhoAnswers(stub), std::set<std::string>{"one"});
  const RawDoor stuck(absl::StrCat(directory(), "/echo.d/stuck"));
  absl::SleepFor(absl::Milliseconds(150));  // the channel looks around again
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = absl::Milliseconds(900)}).ok());
}

TEST_F(SharedNameTest, WhoHasTheNameForHimselfHasAllCalls) {
  const auto one = Start("one");
  const auto alone = StartServer();
  const Echo::Stub stub = ConnectStub();
  EXPECT_EQ(WhoAnswers([&] { return stub.Say(MakeBlob("alone")); }), std::set<std::string>{"alone"});
}

TEST_F(SharedNameTest, APathIsSharedToo) {
  const std::string address = absl::StrCat(TransportName(), ":", directory(), "/search");
  One one("one", log.sink(), address);
  One two("two", log.sink(), address);
  EXPECT_TRUE(Reaches(ConnectStub({}, address), {"one", "two"}));
}

TEST_F(SharedNameTest, AChannelIsConnectedToABoundedNumber) {
  std::vector<std::unique_ptr<One>> servers;
  for (int i = 0; i < 20; ++i) servers.push_back(Start(absl::StrCat(i)));
  const auto channel = Connect();
  const Echo::Stub stub(channel);
  std::set<std::string> seen;
  const auto call = [&] {
    seen.merge(WhoAnswers(stub));
    return seen.size() >= 16;
  };
  EXPECT_TRUE(Eventually(call));
  size_t connections = 0;
  for (const auto& one : servers) connections += ConnectionCount(one->server());
  EXPECT_EQ(connections, 16u);
}

TEST_F(SharedNameTest, NoServerLeavesItsName) {
  Start("one").reset();
  EXPECT_TRUE(std::filesystem::is_empty(directory() + "/echo.d"));
}

TEST_F(SharedNameTest, ADirectoryThatOthersCanWriteIsNotTrusted) {
  ASSERT_EQ(::mkdir((directory() + "/echo.d").c_str(), 0700), 0);
  ASSERT_EQ(::chmod((directory() + "/echo.d").c_str(), 0777), 0);
  EXPECT_THAT(ServerBuilder().Listen(Address(), {.shared = true}).Start().status(),
              FailsWith(StatusCode::kPermissionDenied, "can be written"));
  EXPECT_THAT(Channel::Connect(Address()).status(), FailsWith(StatusCode::kPermissionDenied, "can be written"));
}

TEST_F(SharedNameTest, ALinkIsNotFollowed) {
  const testing::TemporaryDirectory elsewhere;
  ASSERT_EQ(::symlink(elsewhere.path().c_str(), (directory() + "/echo.d").c_str()), 0);
  EXPECT_EQ(ServerBuilder().Listen(Address(), {.shared = true}).Start().status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(Channel::Connect(Address()).status().code(), StatusCode::kUnavailable);
}

TEST_F(SharedNameTest, OnlyNamesAndPathsAreShared) {
  EXPECT_THAT(ServerBuilder().Listen("fd:3", {.shared = true}).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "can be shared"));
}

}  // namespace
}  // namespace nearcall::integration
