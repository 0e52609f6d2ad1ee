// SPDX-License-Identifier: Apache-2.0

// The runtime's threads beside the program's: signals, stacks, and threads that are cancelled or end in the middle.
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "child.h"
#include "fixture.h"
#include "meeting_place.h"
#include "support/sanitizers.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class ThreadTest : public IntegrationTest {
 protected:
  size_t stack_size = 0;

  static size_t StackOfThisThread() {
    pthread_attr_t attributes;
    size_t size = 0;
    ::pthread_getattr_np(::pthread_self(), &attributes);
    ::pthread_attr_getstacksize(&attributes, &size);
    ::pthread_attr_destroy(&attributes);
    return size;
  }

  // One that ends its thread if the request says so.
  Handler ExitIfAsked() {
    return [](ServerContext& context, const Blob& request, Blob& reply) {
      if (request.data() == "exit") ::pthread_exit(nullptr);
      return EchoBack(context, request, reply);
    };
  }

  // Calls `stub`, and starts as many calls that end their threads as would use up all places and threads.
  void ExpectServerSurvives(absl::StatusOr<Blob> (Echo::Stub::*method)(const Blob&, const CallOptions&) const) {
    echo.say = echo.may_block = ExitIfAsked();
    const auto server = StartServer({.max_handler_threads = 2});
    const Echo::Stub stub = ConnectStub();
    for (int i = 0; i < 20; ++i) {
      const absl::Status status = (stub.*method)(MakeBlob("exit"), {.timeout = kLong}).status();
      EXPECT_THAT(status, FailsWith(StatusCode::kInternal, "pthread_exit"));
      EXPECT_EQ(Must((stub.*method)(MakeBlob("next"), {.timeout = kLong})).data(), "next");
    }
    EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
    server->Shutdown(kLong);
    server->Wait();
  }
};

// --- signals ---

// Blocks SIGTERM, and says whether it comes by a descriptor, as a program with signalfd(2) in its loop wants it.
void ExpectSignalByDescriptor(Link& parent) {
  sigset_t term;
  ::sigemptyset(&term);
  ::sigaddset(&term, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &term, nullptr);
  const base::Fd descriptor(::signalfd(-1, &term, SFD_CLOEXEC));
  parent.Tell("blocked");
  signalfd_siginfo info;
  EXPECT_EQ(::read(descriptor.get(), &info, sizeof(info)), static_cast<ssize_t>(sizeof(info)));
  EXPECT_EQ(info.ssi_signo, static_cast<uint32_t>(SIGTERM));
}

void ExpectSurvivesSignal(Child& child) {
  EXPECT_EQ(child.link().Await(), "blocked");
  ::kill(child.pid(), SIGTERM);
  EXPECT_EQ(child.Join(), 0);
}

TEST_F(ThreadTest, ASignalThatAProgramBlocksAfterStartDoesNotReachTheServersThreads) {
  for (int i = 0; i < 5; ++i) {
    Child child([this](Link& parent) {
      const auto server = StartServer();
      EXPECT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
      ExpectSignalByDescriptor(parent);
    });
    ExpectSurvivesSignal(child);
  }
}

TEST_F(ThreadTest, ASignalThatAProgramBlocksAfterAnAsynchronousCallDoesNotReachTheChannelsThread) {
  if (!testing::kForksWithThreads) GTEST_SKIP() << "NOT TESTED: the sanitizer does not survive it";
  for (int i = 0; i < 5; ++i) {
    Child client([this](Link& parent) {
      parent.Await();
      const auto channel = Connect();
      Counter ended;
      Echo::AsyncStub(channel).Say(MakeBlob(""), [&](const absl::StatusOr<Blob>&) { ended.Add(); });
      ended.WaitFor(1);
      ExpectSignalByDescriptor(parent);
    });
    const auto server = StartServer();
    client.link().Tell();
    ExpectSurvivesSignal(client);
  }
}

// --- stacks ---

TEST_F(ThreadTest, HandlersHaveTheStackThatWasAskedFor) {
  echo.say = echo.may_block = [&](ServerContext&, const Blob&, Blob&) {
    stack_size = StackOfThisThread();
    return absl::OkStatus();
  };
  const auto server = StartServer({.handler_stack_size = size_t{1} << 20});
  const Echo::Stub stub = ConnectStub();
  for (const bool blocks : {false, true}) {
    const CallOptions options = {.timeout = kLong};
    EXPECT_TRUE((blocks ? stub.MayBlock(MakeBlob(""), options) : stub.Say(MakeBlob(""), options)).ok());
    EXPECT_GE(stack_size, size_t{1} << 20);
    EXPECT_LT(stack_size, size_t{2} << 20);
  }
}

TEST_F(ThreadTest, CallbacksHaveTheStackThatWasAskedFor) {
  const auto server = StartServer();
  const auto channel = Connect({.callback_stack_size = size_t{1} << 20});
  Counter ended;
  Echo::AsyncStub(channel).Say(MakeBlob(""), [&](const absl::StatusOr<Blob>&) {
    stack_size = StackOfThisThread();
    ended.Add();
  });
  ended.WaitFor(1);
  EXPECT_GE(stack_size, size_t{1} << 20);
  EXPECT_LT(stack_size, size_t{2} << 20);
}

TEST_F(ThreadTest, StacksOutOfRangeAreRefused) {
  const auto server = StartServer();
  for (const size_t size : {size_t{1000}, size_t{1} << 40}) {
    EXPECT_THAT(Channel::Connect(Address(), {.callback_stack_size = size}).status(),
                FailsWith(StatusCode::kInvalidArgument, "callback_stack_size"));
    EXPECT_THAT(ServerBuilder({.handler_stack_size = size}).Listen(Address("other")).Start().status(),
                FailsWith(StatusCode::kInvalidArgument, "handler_stack_size"));
  }
}

// Each handler's thread takes all of its stack then.
TEST_F(ThreadTest, UnderMlockallTheLimitOfLockedMemoryIsNamed) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "NOT TESTED: only root can become another user, and is not subject to the limit";
  if (testing::kSanitizers) GTEST_SKIP() << "NOT TESTED: a sanitizer's memory cannot be locked";
  const std::string place = MakeMeetingPlace(directory());
  Child child([this, &place](Link&) {
    const rlimit limit = {.rlim_cur = 6 << 20, .rlim_max = 6 << 20};
    EXPECT_EQ(::setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    BecomeStranger();
    EXPECT_EQ(::mlockall(MCL_FUTURE), 0);
    const testing::ScopedEnv own("NEARCALL_DIR", (place + "/own").c_str());
    const std::string address = Address(place + "/locked");
    EXPECT_THAT(ServerBuilder({.handler_stack_size = size_t{48} << 20}).Listen(address).Start().status(),
                FailsWith(StatusCode::kResourceExhausted, "RLIMIT_MEMLOCK"));
    const auto server = StartServer({.handler_stack_size = size_t{64} << 10}, address);
    const auto channel = Connect({.callback_stack_size = size_t{48} << 20}, address);
    EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob(""), {.timeout = kLong}).ok());
    Counter ended;
    Echo::AsyncStub(channel).Say(MakeBlob(""), [&](const absl::StatusOr<Blob>& reply) {
      EXPECT_THAT(reply.status(), FailsWith(StatusCode::kResourceExhausted, "RLIMIT_MEMLOCK"));
      ended.Add();
    });
    ended.WaitFor(1);
  });
  EXPECT_EQ(child.Join(), 0);
}

// --- pthread_exit ---

TEST_F(ThreadTest, AHandlerThatEndsItsThreadEndsItsCallOnly) {
  ExpectServerSurvives(&Echo::Stub::Say);
}

TEST_F(ThreadTest, ABlockingHandlerThatEndsItsThreadEndsItsCallOnly) {
  ExpectServerSurvives(&Echo::Stub::MayBlock);
}

TEST_F(ThreadTest, ACallbackThatEndsItsThreadEndsNothingElse) {
  const auto server = StartServer();
  auto channel = Connect();
  Counter ended;
  for (size_t i = 1; i <= 20; ++i) {
    for (const bool exits : {true, false}) {
      Echo::AsyncStub(channel).Say(MakeBlob(""), [&, exits](const absl::StatusOr<Blob>& reply) {
        EXPECT_TRUE(reply.ok()) << reply.status();
        ended.Add();
        if (exits) ::pthread_exit(nullptr);
      });
    }
    ended.WaitFor(2 * i);
  }
  channel.reset();
  EXPECT_EQ(ended.value(), 40u);
}

// The destructor waits for callbacks, whichever thread they need.
TEST_F(ThreadTest, CallbacksThatEndTheirThreadsWhileTheChannelEnds) {
  Event may_end;
  echo.may_block = [&](ServerContext&, const Blob&, Blob&) {
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  auto channel = Connect();
  Counter ended;
  for (int i = 0; i < 10; ++i) {
    Echo::AsyncStub(channel).MayBlock(MakeBlob(""), [&](const absl::StatusOr<Blob>&) {
      ended.Add();
      ::pthread_exit(nullptr);
    });
  }
  channel.reset();
  EXPECT_EQ(ended.value(), 10u);
  may_end.Set();
}

// --- pthread_cancel ---

TEST_F(ThreadTest, AThreadThatIsCancelledFinishesItsCallFirst) {
  Event began, may_end;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    if (request.data() != "hold") return EchoBack(context, request, reply);
    began.Set();
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  struct Caller {
    const Echo::Stub& stub;
    bool replied = false;
  } caller{stub};
  pthread_t thread;
  ASSERT_EQ(::pthread_create(
                &thread, nullptr,
                [](void* argument) -> void* {
                  auto& self = *static_cast<Caller*>(argument);
                  self.replied = self.stub.Say(MakeBlob("hold"), {.timeout = kLong}).ok();
                  ::pthread_testcancel();
                  return nullptr;
                },
                &caller),
            0);
  began.Wait();
  EXPECT_EQ(::pthread_cancel(thread), 0);
  may_end.Set();
  void* result = nullptr;
  EXPECT_EQ(::pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED);
  EXPECT_TRUE(caller.replied);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(stub.Say(MakeBlob("next"), {.timeout = kLong}).ok());
}

// --- fork and exit ---

TEST_F(ThreadTest, WaitInAChildThatWasForkedAfterStartSaysWhy) {
  if (!testing::kForksWithThreads) GTEST_SKIP() << "NOT TESTED: the sanitizer does not survive it";
  const auto server = StartServer();
  const pid_t child = ::fork();
  if (child == 0) {
    server->Wait();
    _exit(log.Has("before fork()") ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
}

std::unique_ptr<Server> global_server;

// exit(3) destroys what is global, on the handler's thread.
TEST_F(ThreadTest, AHandlerMayEndTheProcess) {
  if (!testing::kForksWithThreads) GTEST_SKIP() << "NOT TESTED: the sanitizer does not survive it";
  for (const char* method : {"inline", "worker"}) {
    Child server([this](Link& parent) {
      echo.say = echo.may_block = [](ServerContext&, const Blob&, Blob&) -> absl::Status {
        global_server.reset();
        _exit(0);
      };
      global_server = StartServer();
      parent.Tell();
      parent.Await();  // the handler may have destroyed the server already
    });
    server.link().Await();
    const Echo::Stub stub = ConnectStub();
    const bool is_inline = absl::string_view(method) == "inline";
    const absl::Status status = is_inline ? stub.Say(MakeBlob(""), {.timeout = kLong}).status()
                                          : stub.MayBlock(MakeBlob(""), {.timeout = kLong}).status();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << method << " " << status;
    EXPECT_EQ(server.Join(), 0) << method;
  }
}

}  // namespace
}  // namespace nearcall::integration
