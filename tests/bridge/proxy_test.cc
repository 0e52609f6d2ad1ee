// SPDX-License-Identifier: Apache-2.0

// nearcall-proxy as a process, between clients and servers that are killed, are slow, or are many.
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bridge_fixture.h"
#include "support/process.h"
#include "support/temporary_directory.h"

namespace nearcall::bridge {
namespace {

using ::testing::HasSubstr;

class ProxyTest : public BridgeTest {
 protected:
  ProxyTest() { server = Must(ServerBuilder({.log_sink = log.sink()}).Listen("shm:here").Register(&local).Start()); }
  ~ProxyTest() override { server->Shutdown(); }

  // Which does not outlive this one.
  static testing::Process Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--pdeathsig", "KILL", NEARCALL_PROXY});
    return {"/usr/bin/setpriv", arguments};
  }

  // The port that it listens on.
  static int PortOf(testing::Process& proxy) {
    const std::string line = proxy.ReadLine();
    int port = 0;
    const size_t colon = line.substr(0, line.find(' ')).rfind(':');
    EXPECT_TRUE(absl::SimpleAtoi(line.substr(colon + 1, line.find(' ') - colon - 1), &port)) << line;
    return port;
  }

  void StartProxy(int on_port = 0) {
    proxy.emplace(Run({"--grace=30", absl::StrCat("grpc:127.0.0.1:", on_port), "shm:here"}));
    port = PortOf(*proxy);
    channel = GrpcChannel(port);
    stub = ByGrpc::NewStub(channel);
  }

  int End() {
    ::kill(proxy->pid(), SIGTERM);
    return proxy->End();
  }

  static size_t ThreadsOf(const testing::Process& process) {
    const std::filesystem::directory_iterator threads(absl::StrCat("/proc/", process.pid(), "/task"));
    return static_cast<size_t>(std::distance(begin(threads), end(threads)));
  }
  static int64_t ResidentMiB(const testing::Process& process) {
    std::ifstream file(absl::StrCat("/proc/", process.pid(), "/statm"));
    int64_t total = 0;
    int64_t resident = 0;
    file >> total >> resident;
    return resident * ::sysconf(_SC_PAGESIZE) >> 20;
  }

  bool IsServed() {
    ::grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kLong));
    context.set_wait_for_ready(true);
    pb::SimpleResponse reply;
    return stub->UnaryCall(&context, pb::SimpleRequest(), &reply).ok();
  }

  // Soon, and of nobody.
  bool TakesNoFurtherCalls() const {
    const auto other = ByGrpc::NewStub(GrpcChannel(port));
    return integration::Eventually([&] {
      ::grpc::ClientContext context;
      pb::Empty reply;
      return other->EmptyCall(&context, pb::Empty(), &reply).error_code() == ::grpc::UNAVAILABLE;
    });
  }

  LocalService local;
  std::unique_ptr<Server> server;
  std::optional<testing::Process> proxy;
  int port = 0;
  std::shared_ptr<::grpc::Channel> channel;
  std::unique_ptr<ByGrpc::Stub> stub;
};

// Streams of a client that the test holds open.
struct Chat {
  ::grpc::ClientContext context;
  std::unique_ptr<::grpc::ClientReaderWriter<LocalService::Request, LocalService::Reply>> stream;
};

std::vector<std::unique_ptr<Chat>> OpenChats(ByGrpc::Stub& stub, size_t count) {
  std::vector<std::unique_ptr<Chat>> chats;
  for (size_t i = 0; i < count; ++i) {
    chats.push_back(std::make_unique<Chat>());
    chats.back()->stream = stub.FullDuplexCall(&chats.back()->context);
  }
  return chats;
}

TEST_F(ProxyTest, AThousandStreams) {
  constexpr size_t kStreams = 1000;
  StartProxy();
  ASSERT_TRUE(IsServed());
  const int64_t before = ResidentMiB(*proxy);
  const auto chats = OpenChats(*stub, kStreams);
  for (const int32_t size : {10, 1000}) {
    for (const auto& chat : chats) ASSERT_TRUE(chat->stream->Write(AskingOne(size)));
    pb::StreamingOutputCallResponse reply;
    for (const auto& chat : chats) {
      ASSERT_TRUE(chat->stream->Read(&reply));
      ASSERT_EQ(reply.payload().body().size(), static_cast<size_t>(size));
    }
  }
  EXPECT_LE(ThreadsOf(*proxy), 64u);
  EXPECT_LE(ResidentMiB(*proxy) - before, 256);
  for (const auto& chat : chats) chat->stream->WritesDone();
  for (const auto& chat : chats) EXPECT_TRUE(chat->stream->Finish().ok());
  EXPECT_TRUE(integration::Eventually([&] { return integration::CallsActive(*server) == 0; }));
  EXPECT_TRUE(IsServed());
  EXPECT_EQ(End(), 0);
}

TEST_F(ProxyTest, OneThatIsKilledLeavesNothing) {
  integration::Counter began;
  integration::Counter ended;
  std::atomic<bool> all_cancelled = true;
  local.chat = [&](ServerContext& context, auto& stream) {
    began.Add();
    LocalService::Request request;
    while (stream.Read(&request)) continue;
    if (!context.IsCancelled()) all_cancelled = false;
    ended.Add();
    return absl::OkStatus();
  };
  constexpr size_t kStreams = 50;
  StartProxy();
  const auto chats = OpenChats(*stub, kStreams);
  for (const auto& chat : chats) ASSERT_TRUE(chat->stream->Write(AskingOne(1)));
  began.WaitFor(kStreams);  // one that has not begun does not any more
  const int former = port;
  proxy->Kill();
  ended.WaitFor(kStreams);
  EXPECT_TRUE(all_cancelled);
  for (const auto& chat : chats) EXPECT_EQ(chat->stream->Finish().error_code(), ::grpc::UNAVAILABLE);
  EXPECT_TRUE(integration::Eventually([&] { return integration::ConnectionCount(*server) == 0; }));
  StartProxy(former);
  EXPECT_TRUE(IsServed());
  EXPECT_EQ(End(), 0);
}

TEST_F(ProxyTest, AClientThatIsKilledIsForgotten) {
  integration::Counter ended;
  local.chat = [&](ServerContext& context, auto& stream) {
    LocalService::Request request;
    while (stream.Read(&request)) continue;
    EXPECT_TRUE(context.IsCancelled());
    ended.Add();
    return absl::OkStatus();
  };
  StartProxy();
  // Which calls by its name as any program of this machine: a proxy too, and the one to be killed.
  auto client = Run({"shm:there", absl::StrCat("grpc:127.0.0.1:", port)});
  ASSERT_EQ(client.ReadLine(), absl::StrCat("shm:there -> grpc:127.0.0.1:", port));
  const pb::TestService::Stub here(Must(Channel::Connect("shm:there", {.log_sink = log.sink()})));
  std::vector<decltype(here.FullDuplexCall())> chats;
  for (int i = 0; i < 20; ++i) {
    chats.push_back(here.FullDuplexCall());
    ASSERT_TRUE(chats.back()->Write(AskingOne(1)));
  }
  ASSERT_TRUE(integration::Eventually([&] { return integration::CallsActive(*server) >= 20; }));
  client.Kill();
  ended.WaitFor(20);
  for (auto& chat : chats) EXPECT_EQ(chat->Finish().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(IsServed());
  EXPECT_EQ(End(), 0);
}

TEST_F(ProxyTest, AServerThatEndsIsFoundAgain) {
  StartProxy();
  ASSERT_TRUE(IsServed());
  server->Shutdown();
  server->Wait();
  server = nullptr;
  ::grpc::ClientContext context;
  pb::SimpleResponse reply;
  EXPECT_EQ(stub->UnaryCall(&context, pb::SimpleRequest(), &reply).error_code(), ::grpc::UNAVAILABLE);
  server = Must(ServerBuilder({.log_sink = log.sink()}).Listen("shm:here").Register(&local).Start());
  EXPECT_TRUE(IsServed());
  EXPECT_EQ(End(), 0);
}

// Each would take 100 MB, if it read.
TEST_F(ProxyTest, SlowReadersTakeNoMemoryAndNoTurn) {
  constexpr int kReaders = 20;
  std::atomic<int> written = 0;
  local.chat = [&](ServerContext&, auto& stream) {
    pb::StreamingOutputCallResponse reply;
    reply.mutable_payload()->set_body(std::string(100'000, 'x'));
    for (int i = 0; i < 1000 && stream.Write(reply); ++i) ++written;
    return absl::OkStatus();
  };
  StartProxy();
  ASSERT_TRUE(IsServed());
  const int64_t before = ResidentMiB(*proxy);
  // Without a window of their own none of them would come to stand.
  const auto reading = GrpcChannel(port);
  const auto slow = ByGrpc::NewStub(reading);
  const auto chats = OpenChats(*slow, kReaders);
  int so_far = -1;
  ASSERT_TRUE(integration::Eventually([&] {
    absl::SleepFor(absl::Milliseconds(100));
    return written > 0 && std::exchange(so_far, written.load()) == written;
  }));
  EXPECT_LE(ResidentMiB(*proxy) - before, 64);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(IsServed());
  for (const auto& chat : chats) chat->context.TryCancel();
  for (const auto& chat : chats) EXPECT_FALSE(chat->stream->Finish().ok());
  EXPECT_TRUE(integration::Eventually([&] { return integration::CallsActive(*server) == 0; }));
  EXPECT_EQ(End(), 0);
}

TEST_F(ProxyTest, ASignalLetsCallsFinish) {
  Event begun;
  Event go;
  local.unary = [&](ServerContext&, const auto&, auto&) {
    begun.Set();
    go.Wait();
    return absl::OkStatus();
  };
  StartProxy();
  ::grpc::Status status;
  std::thread caller([&] {
    ::grpc::ClientContext context;
    pb::SimpleResponse reply;
    status = stub->UnaryCall(&context, pb::SimpleRequest(), &reply);
  });
  begun.Wait();
  ::kill(proxy->pid(), SIGTERM);
  EXPECT_TRUE(TakesNoFurtherCalls());
  go.Set();
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(proxy->End(), 0);
}

TEST_F(ProxyTest, ASecondSignalEndsIt) {
  Event begun;
  local.chat = [&](ServerContext&, auto& stream) {
    begun.Set();
    LocalService::Request request;
    while (stream.Read(&request)) continue;
    return absl::OkStatus();
  };
  StartProxy();
  const auto chats = OpenChats(*stub, 1);
  begun.Wait();
  ::kill(proxy->pid(), SIGTERM);
  EXPECT_TRUE(TakesNoFurtherCalls());
  ::kill(proxy->pid(), SIGTERM);
  EXPECT_EQ(proxy->End(), -1);
  EXPECT_FALSE(chats[0]->stream->Finish().ok());
}

// ---- what it is told ----

struct Ran {
  int code;
  std::string text;
};

class ProxyConfigTest : public ProxyTest {
 protected:
  Ran RunToItsEnd(const std::string& arguments) {
    const std::string file = scratch / "output";
    testing::Process process("/bin/sh",
                             {"-c", absl::StrCat("exec " NEARCALL_PROXY " ", arguments, " >", file, " 2>&1")});
    const int code = process.End();
    std::ifstream text(file);
    return {code, std::string(std::istreambuf_iterator<char>(text), {})};
  }

  Ran Check(const std::string& config) { return RunToItsEnd(absl::StrCat("--check -c ", Write(config))); }

  std::string Write(const std::string& config) {
    std::ofstream(scratch / "proxy.conf") << config;
    return scratch / "proxy.conf";
  }

  // 0: it has made it.
  int OpenSsl(const std::string& arguments) {
    return std::system(absl::StrCat("cd ", scratch.path(), " && openssl ", arguments, " 2>/dev/null").c_str());
  }

  const testing::TemporaryDirectory scratch;
};

MATCHER_P2(Ends, code, part, "") {
  *result_listener << "ended with " << arg.code << ": " << arg.text;
  return arg.code == code && absl::StrContains(arg.text, part);
}

TEST_F(ProxyConfigTest, SaysWhatIsWrong) {
  EXPECT_THAT(RunToItsEnd("--help"), Ends(0, "nearcall-proxy grpc:localhost:50051 shm:search"));
  EXPECT_THAT(RunToItsEnd(""), Ends(2, "nothing to pass on"));
  EXPECT_THAT(RunToItsEnd("shm:a"), Ends(2, "LISTEN TO"));
  EXPECT_THAT(RunToItsEnd("shm:a shm:b"), Ends(2, "exactly one"));
  EXPECT_THAT(RunToItsEnd("grpc:0.0.0.0:1 shm:a"), Ends(2, "--plaintext"));
  EXPECT_THAT(RunToItsEnd("--check shm:a grpc:127.example.net:1"), Ends(2, "--plaintext"));
  EXPECT_THAT(RunToItsEnd("--check shm:a grpc:127.0.0.2:1"), Ends(0, ""));
  EXPECT_THAT(RunToItsEnd("--check --plaintext grpc:0.0.0.0:1 shm:a"), Ends(0, ""));
  EXPECT_THAT(RunToItsEnd("grpc:localhost shm:a"), Ends(1, "grpc:HOST:PORT"));
  EXPECT_THAT(RunToItsEnd("-c /nowhere"), Ends(1, "cannot read /nowhere"));
  EXPECT_THAT(Check("port {\n  lisen: \"x\"\n}"), Ends(2, "proxy.conf:2:8"));
  EXPECT_THAT(Check("port { listen: 'grpc:[::1]:1' }"), Ends(2, "no route"));
  EXPECT_THAT(Check("port { listen: 'grpc:[::1]:1' route { to: 'grpc:a:1' } }"), Ends(2, "no server of this machine"));
  EXPECT_THAT(Check("name { listen: 'shm:a' to: 'grpc:db.example.net:1' }"), Ends(2, "set tls"));
  EXPECT_THAT(Check("name { listen: 'shm:a' to: 'grpc:db.example.net:1' tls {} }"), Ends(0, ""));
  EXPECT_THAT(Check("port { listen: 'grpc:a:1' tls { certificate: 'c' } route { to: 'shm:a' } }"),
              Ends(2, "go together"));
  EXPECT_THAT(RunToItsEnd(absl::StrCat("shm:here grpc:localhost:1")), Ends(1, "shm:here"));
}

TEST_F(ProxyConfigTest, ServicesGoToTheirServers) {
  LocalService other;
  other.unary = [](ServerContext&, const auto&, pb::SimpleResponse& reply) {
    reply.set_server_id("there");
    return absl::OkStatus();
  };
  const auto there = Must(ServerBuilder({.log_sink = log.sink()}).Listen("shm:there").Register(&other).Start());
  proxy.emplace(Run({"-c", Write("port { listen: 'grpc:127.0.0.1:0'\n"
                                 "       route { to: 'shm:here' service: 'grpc.health.v1.Health' }\n"
                                 "       route { to: 'shm:there' service: 'grpc.testing.TestService' } }")}));
  port = PortOf(*proxy);
  stub = ByGrpc::NewStub(GrpcChannel(port));
  ::grpc::ClientContext context;
  pb::SimpleResponse reply;
  EXPECT_TRUE(stub->UnaryCall(&context, pb::SimpleRequest(), &reply).ok());
  EXPECT_EQ(reply.server_id(), "there");
  const GenericStub by_name(Must(grpc::Connect(absl::StrCat("grpc:127.0.0.1:", port))));
  EXPECT_TRUE(by_name.Unary("grpc.health.v1.Health/Check", Bytes()).ok());
  EXPECT_EQ(by_name.Unary("nearcall.stats.v1.Stats/Get", Bytes()).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(End(), 0);
  there->Shutdown();
}

// A certificate for each side, of one authority; who has none is not let in.
TEST_F(ProxyConfigTest, Certificates) {
  if (OpenSsl("version >/dev/null") != 0) GTEST_SKIP() << "no openssl (openssl)";
  const std::string subject = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost ";
  ASSERT_EQ(OpenSsl(absl::StrCat("req -x509 ", subject, "-addext subjectAltName=DNS:localhost -keyout key -out pem")),
            0);
  const std::string tls = absl::StrCat("tls { certificate: '", scratch / "pem", "' key: '", scratch / "key",
                                       "' authorities: '", scratch / "pem", "' }");
  proxy.emplace(
      Run({"-c", Write(absl::StrCat("port { listen: 'grpc:localhost:0' ", tls, " route { to: 'shm:here' } }"))}));
  port = PortOf(*proxy);
  std::string identity;
  local.unary = [&](ServerContext& context, const auto&, auto&) {
    identity = std::string(context.client_metadata().Get("nearcall-peer-identity").value_or("nobody"));
    return absl::OkStatus();
  };
  const std::string to = absl::StrCat("grpc:localhost:", port);
  auto names =
      Run({"-c", Write(absl::StrCat("name { listen: 'shm:known' to: '", to, "' ", tls, " }\n",
                                    "name { listen: 'shm:unknown' to: '", to, "' tls { authorities: '", scratch / "pem",
                                    "' } }\n", "name { listen: 'shm:plain' to: '", to, "' }"))});
  for (int i = 0; i < 3; ++i) ASSERT_NE(names.ReadLine(), "");
  const auto ask = [&](const std::string& name) {
    return pb::TestService::Stub(Must(Channel::Connect(name))).UnaryCall({}, {.timeout = kLong}).status();
  };
  Must(ask("shm:known"));
  EXPECT_EQ(identity, "localhost");
  EXPECT_EQ(ask("shm:unknown").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ask("shm:plain").code(), absl::StatusCode::kUnavailable);
  ::kill(names.pid(), SIGTERM);
  EXPECT_EQ(names.End(), 0);
  EXPECT_EQ(End(), 0);
}

}  // namespace
}  // namespace nearcall::bridge
