// SPDX-License-Identifier: Apache-2.0
#include "interop_fixture.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "driven_server.h"
#include "nearcall/event_queue.h"

namespace nearcall::interop {

using integration::Address;
using integration::kLong;
using integration::Link;
using integration::Must;

pb::Payload Zeros(int32_t size) {
  pb::Payload payload;
  payload.set_body(std::string(static_cast<size_t>(size), '\0'));
  return payload;
}

pb::SimpleRequest LargeRequest() {
  pb::SimpleRequest request;
  request.set_response_size(kLargeReplySize);
  *request.mutable_payload() = Zeros(kLargeRequestSize);
  return request;
}

pb::StreamingInputCallRequest Input(int32_t size) {
  pb::StreamingInputCallRequest request;
  *request.mutable_payload() = Zeros(size);
  return request;
}

pb::StreamingOutputCallRequest Output(int32_t request_size) {
  pb::StreamingOutputCallRequest request;
  *request.mutable_payload() = Zeros(request_size);
  return request;
}

pb::StreamingOutputCallRequest Output(int32_t request_size, int32_t reply_size) {
  pb::StreamingOutputCallRequest request = Output(request_size);
  request.add_response_parameters()->set_size(reply_size);
  return request;
}

namespace {

void ExpectZeros(const pb::Payload& payload, int32_t size) {
  EXPECT_EQ(payload.type(), pb::COMPRESSABLE);
  EXPECT_EQ(payload.body().size(), static_cast<size_t>(size));
  EXPECT_EQ(payload.body().find_first_not_of('\0'), std::string::npos);
}

}  // namespace

void ExpectLargeReply(const absl::StatusOr<pb::SimpleResponse>& reply) {
  ASSERT_TRUE(reply.ok()) << reply.status();
  ExpectZeros(reply->payload(), kLargeReplySize);
}

void ExpectSize(const pb::StreamingOutputCallResponse& reply, int32_t size) {
  ExpectZeros(reply.payload(), size);
}

Where WhereIsTheServer() {
  const char* const where = std::getenv("NEARCALL_TEST_SERVER");
  if (where == nullptr) return Where::kOtherProcess;
  for (const auto& [name, which] :
       {std::pair("exec", Where::kExec), std::pair("shared", Where::kShared), std::pair("proxy", Where::kProxy)}) {
    if (absl::string_view(where) == name) return which;
  }
  return Where::kInProcess;
}

namespace {

std::string HowItIsReached() {
  switch (WhereIsTheServer()) {
    case Where::kInProcess:
      return "in-process";
    case Where::kExec:
      return absl::StrCat("exec-", integration::TransportName());
    case Where::kProxy:
      return "gRPC";
    case Where::kShared:
      return absl::StrCat("shared-", integration::TransportName());
    case Where::kOtherProcess:
      break;
  }
  return std::string(integration::TransportName());
}

}  // namespace

ServerUnderTest::ServerUnderTest() {
  const Where where = WhereIsTheServer();
  const bool forks = where == Where::kOtherProcess || where == Where::kShared || where == Where::kProxy;
  if (forks) child_.emplace(Serve);
}

void ServerUnderTest::Serve(Link& parent) {
  // Lives as long as the test, however long that runs, and however it ends.
  ::alarm(0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  parent.Await();
  const std::unique_ptr<Service> service = MakeService(absl::StrCat("server ", ::getpid()));
  // Which Wait() runs.
  const auto queue = integration::ServersHaveQueues() ? std::make_unique<EventQueue>() : nullptr;
  const ServerOptions options = {
      .expected_clients = 48, .handle_signals = true, .signal_grace = kLong, .event_queue = queue.get()};
  const bool shared = WhereIsTheServer() == Where::kShared;
  const auto server =
      Must(ServerBuilder(options).Listen(Address(), {.shared = shared}).Register(service.get()).Start());
  const auto other = shared ? Must(ServerBuilder({.expected_clients = 48})
                                       .Listen(Address(), {.shared = true})
                                       .Register(service.get())
                                       .Start())
                            : nullptr;
  parent.Tell("ready");
  server->Wait();
  if (shared) other->Shutdown(kLong);
}

void ServerUnderTest::Start() {
  if (child_.has_value()) {
    child_->link().Tell();
    if (child_->link().Await() != "ready") throw std::runtime_error("the server does not start");
    return;
  }
  if (!InProcess()) return;
  service_ = MakeService(absl::StrCat("server ", ::getpid()));
  server_ = integration::StartInStyle({.expected_clients = 48}, [this](ServerOptions options) {
    return Must(ServerBuilder(std::move(options)).Register(service_.get()).Start());
  });
}

std::shared_ptr<Channel> ServerUnderTest::InProcessChannel(ChannelOptions options) {
  return Must(server_->InProcessChannel(std::move(options)));
}

int ServerUnderTest::End() {
  if (server_ != nullptr) {
    server_->Shutdown(kLong);
    server_->Wait();
  }
  if (!child_.has_value()) return 0;
  if (!code_.has_value()) {
    ::kill(child_->pid(), SIGTERM);
    code_ = child_->Join();
  }
  return *code_;
}

int64_t ServerUnderTest::ResidentSize() const {
  std::ifstream file(absl::StrCat("/proc/", child_.has_value() ? child_->pid() : ::getpid(), "/statm"));
  int64_t total = 0;
  int64_t resident = 0;
  file >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

namespace {

testing::Process StartProxy(const std::string& listen, const std::string& to) {
  const char* const program = std::getenv("NEARCALL_PROXY");
  if (program == nullptr) throw std::runtime_error("NEARCALL_PROXY names no program");
  // Which does not outlive this one.
  return {"/usr/bin/setpriv", {"--pdeathsig", "KILL", program, "--grace=30", listen, to}};
}

// "grpc:127.0.0.1:40321" of "grpc:127.0.0.1:40321 -> shm:echo".
std::string ListeningAt(testing::Process& proxy) {
  const std::string line = proxy.ReadLine();
  return line.substr(0, line.find(' '));
}

int EndOf(testing::Process& proxy) {
  ::kill(proxy.pid(), SIGTERM);
  return proxy.End();
}

}  // namespace

Proxies::Proxies()
    : port_(StartProxy("grpc:127.0.0.1:0", integration::Address())), name_(StartProxy(Address(), ListeningAt(port_))) {
  if (ListeningAt(name_) != Address()) throw std::runtime_error("the proxy does not start");
}

int Proxies::End() {
  return EndOf(name_) | EndOf(port_);
}

void Interop::TearDown() {
  if (proxies_.has_value()) {
    EXPECT_EQ(proxies_->End(), 0);
  }
  EXPECT_EQ(server.End(), 0);
  if (HasFailure()) return;
  const ::testing::TestInfo* const test = ::testing::UnitTest::GetInstance()->current_test_info();
  absl::PrintF("interop: %s over %s, %s: passed\n", test->name(), HowItIsReached(),
               integration::ServersHaveQueues() ? "event-queue" : Style());
  std::fflush(stdout);
}

}  // namespace nearcall::interop
