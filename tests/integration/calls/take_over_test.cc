// SPDX-License-Identifier: Apache-2.0

// A server that ends while its clients call, and its successor under the same name: no call is lost.
#include <atomic>
#include <thread>

#include "fixture.h"
#include "measured.h"
#include "raw_peer.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// Each ends within the grace.
constexpr absl::Duration kGrace = absl::Seconds(20);

class TakeOverTest : public IntegrationTest {
 protected:
  void SetUp() override { NEEDS_SOCKETS(); }
  void TakeOver() {
    server->Shutdown(kGrace);
    former.push_back(std::move(server));
    server = StartServer();
    if (former.size() < 8) return;
    former.front()->Wait();
    former.erase(former.begin());
  }

  // Threads that call, with messages of `size`, until the end.
  void Call(size_t size) {
    const Echo::Stub stub = ConnectStub();
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([this, stub, size] {
        const Blob request = MakeBlob(std::string(size, 'x'));
        while (!done) {
          const absl::Status status = stub.Say(request, {.timeout = kLong, .wait_for_ready = true}).status();
          ++made;
          if (status.ok()) continue;
          ++lost;
          ADD_FAILURE() << size << " B: " << status << ", " << static_cast<int>(ExecStateOf(status));
        }
      });
    }
  }

  // The same, asynchronous: each callback starts the next.
  void CallAsynchronously(const Echo::AsyncStub& stub, size_t size) {
    stub.Say(MakeBlob(std::string(size, 'x')),
             [this, stub, size](const absl::StatusOr<Blob>& reply) {
               ++made;
               if (!reply.ok()) {
                 ++lost;
                 ADD_FAILURE() << size << " B: " << reply.status();
               }
               if (done) return ended.Set();
               CallAsynchronously(stub, size);
             },
             {.timeout = kLong, .wait_for_ready = true});
  }

  void TakeOverManyTimes() {
    for (size_t i = TortureCount("NEARCALL_TAKE_OVERS", 10); i > 0; --i) {
      const size_t before = made;
      EXPECT_TRUE(Eventually([&] { return made > before + 20; }));
      TakeOver();
    }
    done = true;
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(lost, 0u) << "of " << made;
  }

  std::unique_ptr<Server> server = StartServer();
  std::vector<std::unique_ptr<Server>> former;
  std::vector<std::thread> callers;
  std::atomic<bool> done{false};
  std::atomic<size_t> made{0};
  std::atomic<size_t> lost{0};
  Event ended;
};

TEST_F(TakeOverTest, LosesNoSmallCall) {
  Call(64);
  TakeOverManyTimes();
}

TEST_F(TakeOverTest, LosesNoCallOfSeveralFrames) {
  Call(100'000);
  TakeOverManyTimes();
}

TEST_F(TakeOverTest, LosesNoLargeCall) {
  Call(1 << 20);
  TakeOverManyTimes();
}

TEST_F(TakeOverTest, LosesNoAsynchronousCall) {
  const auto channel = Connect();
  CallAsynchronously(Echo::AsyncStub(channel), 64);
  TakeOverManyTimes();
  ended.Wait();
}

// A client who has the server's offer, and has not acknowledged it, when the end begins: he believes that he is
// connected.
Server* ends_on_attach = nullptr;

absl::StatusOr<std::unique_ptr<transport::Transport>> AttachWhenItEnds(std::vector<base::Fd>&& fds,
                                                                       const transport::Geometry& geometry,
                                                                       const PeerIdentity& peer) {
  ends_on_attach->Shutdown(kGrace);
  return TransportUnderTest().attach(std::move(fds), geometry, peer);
}

TEST_F(TakeOverTest, WhoIsOnHisWayInIsAnswered) {
  ends_on_attach = server.get();
  transport::TransportRow row = TransportUnderTest();
  row.attach = AttachWhenItEnds;
  {
    RawClient client(Address(), {.max_message_size = 1 << 20, .max_calls_in_flight = 16}, {&row, 1});
    client.Send(client.Header(wire::FrameKind::kRequest, 0));
    EXPECT_EQ(client.Receive().kind, wire::FrameKind::kReply);
  }
  server->Wait();
}

TEST_F(TakeOverTest, WhoHasNotSaidWhoHeIsIsNotWaitedFor) {
  const base::Fd silent = ConnectRaw(directory() + "/echo");
  EXPECT_TRUE(Eventually([&] { return NumberIn(server->DebugString(), "handshakes under way: ") == 1; }));
  server->Shutdown(kGrace);
  EXPECT_TRUE(HangsUp(silent.get()));
  server->Wait();
}

}  // namespace
}  // namespace nearcall::integration
