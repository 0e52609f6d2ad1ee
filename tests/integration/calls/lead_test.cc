// SPDX-License-Identifier: Apache-2.0

// A handler that waits holds up nobody, though no client rings for the server.
#include <functional>
#include <memory>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/limits.h"
#include "nearcall/internal/method.h"
#include "raw_peer.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using wire::FrameHeader;
using wire::FrameKind;

class LeadTest : public StreamTest {
 protected:
  void Call(absl::string_view method, uint16_t more_flags = 0, uint16_t less_flags = 0) {
    FrameHeader header = client_->Header(FrameKind::kRequest, 0);
    header.sequence = header.call_id = ++sent_;
    header.method_id = internal::MethodId(absl::StrCat("nearcall.integration.", method).c_str());
    header.flags = static_cast<uint8_t>((header.flags | more_flags) & ~less_flags);
    client_->SendInSilence(header);
  }

  // A client's call of `method` waits until its next call has been served. It never rings, and is not asked to: the
  // server has just read from it.
  void ExpectTheOtherIsServed(absl::string_view method, uint16_t more_flags = 0, uint16_t less_flags = 0) {
    echo.say = [this](ServerContext& context, const Blob& request, Blob& reply) {
      if (absl::EndsWith(context.method(), "/Say")) return say(context, request, reply);
      other_served.Set();
      return absl::OkStatus();
    };
    server_ = StartServer();
    client_ = std::make_unique<RawClient>(Address());
    Call(method, more_flags, less_flags);
    waits.Wait();
    Call("Echo/Urgent");
    other_served.Wait();
  }

  Handler say = EchoBack;
  Event waits;
  Event other_served;

 private:
  std::unique_ptr<Server> server_;
  std::unique_ptr<RawClient> client_;
  uint64_t sent_ = 0;
};

TEST_F(LeadTest, AHandlerThatSaysThatItWillBlockHoldsUpNobody) {
  say = [this](ServerContext& context, const Blob&, Blob&) {
    context.WillBlock();
    waits.Set();
    other_served.Wait();
    return absl::OkStatus();
  };
  ExpectTheOtherIsServed("Echo/Say");
}

TEST_F(LeadTest, AHandlerThatWaitsForACallOfItsOwnHoldsUpNobody) {
  EchoService slow;
  slow.say = [this](ServerContext&, const Blob&, Blob&) {
    waits.Set();
    other_served.Wait();
    return absl::OkStatus();
  };
  const auto server = Must(ServerBuilder().Listen(Address("slow")).Register(&slow).Start());
  const Echo::Stub stub(Connect({}, Address("slow")));
  say = [&](ServerContext&, const Blob& request, Blob& reply) { return stub.Say(request, &reply); };
  ExpectTheOtherIsServed("Echo/Say");
}

TEST_F(LeadTest, ADialogueWhoseHandlerReadsHoldsUpNobody) {
  streams.chat = [this](ServerContext& context, ChatStream& stream) {
    waits.Set();
    Blob element;
    EXPECT_FALSE(stream.Read(&element));
    EXPECT_TRUE(context.IsCancelled());
    return absl::OkStatus();
  };
  ExpectTheOtherIsServed("Streams/Chat", wire::kElements, wire::kEnd);
}

TEST_F(LeadTest, AMethodThatHasTakenLongHasAThreadOfItsOwnNextTime) {
  std::thread::id quick;
  std::thread::id slow;
  echo.say = [&](ServerContext&, const Blob&, Blob&) {
    quick = std::this_thread::get_id();
    return absl::OkStatus();
  };
  bool first = true;
  const Server* serving = nullptr;
  echo.spell = [&](ServerContext&, const Text&, Text&) {
    slow = std::this_thread::get_id();
    if (!std::exchange(first, false)) return absl::OkStatus();
    // Until its client has rung and another thread leads, and long.
    EXPECT_TRUE(Eventually([&] { return !absl::StrContains(serving->DebugString(), "leader in a handler"); }));
    base::SleepUntil(base::NowNs() + 2 * base::kBlockingHandlerNs);
    return absl::OkStatus();
  };
  // With one place the second call begins when all of the first has ended.
  const auto server = StartServer({.max_handler_threads = 1});
  serving = server.get();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Spell(Text(), {.timeout = kLong}).ok());
  EXPECT_TRUE(stub.Spell(Text(), {.timeout = kLong}).ok());
  EXPECT_TRUE(stub.Say(MakeBlob(""), {.timeout = kLong}).ok());
  EXPECT_NE(slow, quick);
}

}  // namespace
}  // namespace nearcall::integration
