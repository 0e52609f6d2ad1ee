// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nearcall/channel.h"
#include "nearcall/interceptor.h"
#include "nearcall/server.h"
#include "nearcall/server_context.h"
#include "nearcall/service.h"

// For tests of programs that serve or call; all of it is in this header, and needs no framework. A handler is tested as
// it is called, through a stub:
//
//   EchoImpl echo;
//   nearcall::testing::TestServer server({&echo});
//   const absl::StatusOr<demo::Reply> reply = demo::Echo::Stub(server.channel()).Say(request);
//
// And a program that calls, with a mock in place of the service (protoc's --nearcall_opt=generate_mock_code=true):
//
//   demo::MockEcho echo;  // of x.nearcall.mock.h
//   EXPECT_CALL(echo, Say).WillOnce([](auto&, const demo::Request&, demo::Reply& reply) {
//     reply.set_text("hello");
//     return absl::OkStatus();
//   });
//   nearcall::testing::TestServer server({&echo});
//   Greeter greeter(server.channel());  // what is tested
//
// Faults come between the two, for some calls or for all:
//
//   server.faults().Add({.status = absl::UnavailableError("busy"), .times = 2});
//   server.faults().Add({.method = "demo.Echo/Say", .delay = absl::Milliseconds(20)});
//   server.faults().Add({.method = "demo.Echo/Say", .death = true});  // and then server.Restart()
namespace nearcall::testing {

// What happens to a call in place of its handler, or before it.
struct Fault {
  // "package.Service/Method". Empty: any.
  std::string method = {};

  // Before all else; it ends early if the caller gives up.
  absl::Duration delay = absl::ZeroDuration();

  // Answered in place of the handler, unless it is OK.
  absl::Status status = {};

  // The server dies, as its clients see it: what they have begun ends with UNAVAILABLE (ExecState::kMaybeExecuted), and
  // so does what they begin until there is another server.
  bool death = false;

  // So many calls, then it is over.
  size_t times = std::numeric_limits<size_t>::max();
};

// An interceptor of a server, of a TestServer's or of another. Each call has the first fault that is for it. (They
// delay the handler's thread: a server with an event queue would stand still.) Thread-safe.
class FaultInjector final : public ServerInterceptor {
 public:
  // `die` does what a fault with `death` is to do: begins the end of the server, without a grace, and does not wait.
  // (Without it such a call ends alike, and the server lives.)
  explicit FaultInjector(std::function<void()> die = {}) : die_(std::move(die)) {}

  void Add(Fault fault) {
    const std::lock_guard lock(mutex_);
    faults_.push_back(std::move(fault));
  }
  void Clear() {
    const std::lock_guard lock(mutex_);
    faults_.clear();
  }
  // How many calls have had one.
  size_t injected() const {
    const std::lock_guard lock(mutex_);
    return injected_;
  }

  absl::StatusOr<OnCallEnd> Start(const CallInfo& call, ServerContext& context) override {
    const std::optional<Fault> fault = Take(call.method);
    if (!fault.has_value()) return nullptr;
    if (fault->delay > absl::ZeroDuration()) WaitFor(context, fault->delay);
    if (fault->death) {
      if (die_) {
        die_();
        WaitFor(context, absl::InfiniteDuration());
      }
      return absl::UnavailableError("the server has died (nearcall::testing::Fault)");
    }
    if (!fault->status.ok()) return fault->status;
    return nullptr;
  }

 private:
  std::optional<Fault> Take(absl::string_view method) {
    const std::lock_guard lock(mutex_);
    for (Fault& fault : faults_) {
      if (fault.times == 0 || (!fault.method.empty() && fault.method != method)) continue;
      if (fault.times != std::numeric_limits<size_t>::max()) --fault.times;
      ++injected_;
      return fault;
    }
    return std::nullopt;
  }

  // Or until nobody waits for the call any more.
  static void WaitFor(ServerContext& context, absl::Duration time) {
    context.WillBlock();
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    if (time == absl::InfiniteDuration()) {
      never.wait(lock, context.stop_token(), [] { return false; });
    } else {
      never.wait_for(lock, context.stop_token(), absl::ToChronoNanoseconds(time), [] { return false; });
    }
  }

  const std::function<void()> die_;
  mutable std::mutex mutex_;
  std::vector<Fault> faults_;
  size_t injected_ = 0;
};

// A server in this process, with a name of its own, and a channel to it: calls go their usual way, over the best
// transport or that of $NEARCALL_TRANSPORT. What cannot be started ends the process, and says why. Used by one thread;
// its channel, its faults and Kill() by any.
class TestServer {
 public:
  // `services` outlive it. Those of `options` that a test wants: `interceptors` come after the faults, and `log_sink`
  // is silent unless it is set.
  explicit TestServer(std::vector<Service*> services, ServerOptions options = {}, ChannelOptions channel_options = {})
      : services_(std::move(services)), options_(std::move(options)) {
    if (!options_.log_sink) options_.log_sink = [](LogSeverity, absl::string_view) {};
    if (!channel_options.log_sink) channel_options.log_sink = [](LogSeverity, absl::string_view) {};
    options_.interceptors.insert(options_.interceptors.begin(), faults_);
    Start();
    channel_ = Must(Channel::Connect(address(), std::move(channel_options)));
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;
  // The channel is let go of first, then the server is waited for.
  ~TestServer() {
    channel_.reset();
    End();
    ::rmdir(directory_.c_str());
  }

  // To be given to stubs; it connects again after a Restart().
  const std::shared_ptr<Channel>& channel() const { return channel_; }
  // For programs that connect by themselves.
  std::string address() const { return absl::StrCat(directory_, "/test"); }
  Server& server() { return *server_; }
  FaultInjector& faults() { return *faults_; }

  // The server dies, as its clients see it (see Fault::death).
  void Kill() {
    if (Server* const living = living_.load()) living->Shutdown();
  }
  // It is there again. Waits for the handlers that run still.
  void Restart() {
    End();
    Start();
  }

 private:
  template <typename T>
  static T Must(absl::StatusOr<T> made) {
    if (made.ok()) return *std::move(made);
    std::fprintf(stderr, "nearcall::testing::TestServer: %s\n", made.status().ToString().c_str());
    std::abort();
  }

  static std::string MakeDirectory() {
    const char* const parent = ::getenv("TMPDIR");
    std::string name = absl::StrCat(parent == nullptr || *parent == '\0' ? "/tmp" : parent, "/nearcall-test-XXXXXX");
    if (::mkdtemp(name.data()) != nullptr) return name;
    return Must(absl::StatusOr<std::string>(
        absl::UnavailableError(absl::StrCat("cannot make the directory ", name, " for its name"))));
  }

  void Start() {
    ServerBuilder builder(options_);
    builder.Listen(address());
    for (Service* service : services_) builder.Register(service);
    server_ = Must(builder.Start());
    living_ = server_.get();
  }

  // Handlers may be just killing it.
  void End() {
    Kill();
    server_->Wait();
    living_ = nullptr;
    server_.reset();
  }

  const std::string directory_ = MakeDirectory();
  const std::vector<Service*> services_;
  const std::shared_ptr<FaultInjector> faults_ = std::make_shared<FaultInjector>([this] { Kill(); });
  ServerOptions options_;
  std::unique_ptr<Server> server_;
  std::atomic<Server*> living_{nullptr};
  std::shared_ptr<Channel> channel_;
};

}  // namespace nearcall::testing
