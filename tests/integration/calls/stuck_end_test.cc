// SPDX-License-Identifier: Apache-2.0

// A server that cannot end, because a handler does not return or a Done is kept, says so.
#include <signal.h>
#include <sys/resource.h>

#include <string>

#include "child.h"
#include "fixture.h"

namespace nearcall::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StuckEndTest : public IntegrationTest {
 protected:
  // A handler that begins, and runs on whatever it is told.
  void BlockSay() {
    echo.say = [this](ServerContext& context, const Blob& request, Blob& reply) {
      began.Set();
      may_end.Wait();
      return EchoBack(context, request, reply);
    };
  }

  // The line that says what is wrong.
  std::string Complaint() {
    std::string found;
    EXPECT_TRUE(Eventually([&] {
      for (const std::string& line : log.lines()) {
        if (absl::StrContains(line, "the server cannot end")) found = line;
      }
      return !found.empty();
    }));
    return found;
  }

  Event began;
  Event may_end;
};

TEST_F(StuckEndTest, AHandlerThatDoesNotReturnIsNamed) {
  BlockSay();
  auto server = StartServer();
  Pending call = SayAsync(ConnectStub(), "");
  began.Wait();
  auto ending = std::async(std::launch::async, [&] { server.reset(); });
  EXPECT_THAT(Complaint(), AllOf(HasSubstr("1 call has not ended: nearcall.integration.Echo/Say of pid " +
                                           std::to_string(KnownPid(::getpid()))),
                                 HasSubstr("its handler has not returned"), HasSubstr("abort_after_grace")));
  may_end.Set();
  ending.get();
}

// Even if its client has gone long ago.
TEST_F(StuckEndTest, ADoneThatIsKeptIsNamed) {
  class Keeper final : public Echo::AsyncService {
   public:
    void Say(ServerContext&, const Blob&, Blob&, Done done) override {
      kept = std::move(done);
      began.Set();
    }
    Done kept;
    Event began;
  };
  Keeper keeper;
  auto server =
      Must(ServerBuilder({.expected_clients = 48, .log_sink = log.sink()}).Listen(Address()).Register(&keeper).Start());
  {
    std::stop_source stop;
    Pending call = SayAsync(ConnectStub(), "", {.stop_token = stop.get_token()});
    keeper.began.Wait();
    stop.request_stop();
  }
  ASSERT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
  auto ending = std::async(std::launch::async, [&] { server.reset(); });
  EXPECT_THAT(Complaint(), AllOf(HasSubstr("Echo/Say"), HasSubstr("has its Done")));
  std::exchange(keeper.kept, nullptr)(absl::OkStatus());
  ending.get();
}

TEST_F(StuckEndTest, AServerThatEndsInTimeSaysNothing) {
  BlockSay();
  auto server = StartServer();
  Pending call = SayAsync(ConnectStub(), "");
  began.Wait();
  may_end.Set();
  server.reset();
  EXPECT_FALSE(log.Has("cannot end"));
}

// If it is asked to, it ends the process instead.
TEST_F(StuckEndTest, AbortAfterGraceEndsTheProcess) {
  Child child([this](Link& parent) {
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);
    BlockSay();
    const LogSink sink = [&](LogSeverity, absl::string_view line) { parent.Tell(line); };
    auto server = StartServer({.log_sink = sink, .abort_after_grace = absl::Milliseconds(10)});
    Pending call = SayAsync(ConnectStub(), "");
    began.Wait();
    server.reset();
  });
  EXPECT_THAT(child.link().Await(), AllOf(HasSubstr("cannot end"), HasSubstr("Echo/Say")));
  EXPECT_EQ(child.Join(), -SIGABRT);
}

}  // namespace
}  // namespace nearcall::integration
