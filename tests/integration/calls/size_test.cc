// SPDX-License-Identifier: Apache-2.0

// Messages of any size up to the limit, both ways, byte for byte.
#include <functional>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "fixture.h"
#include "raw_peer.h"
#include "wire/header.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// `size` bytes that differ by place and by `seed`.
std::string Pattern(size_t size, size_t seed) {
  std::string data(size, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (char& c : data) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    c = static_cast<char>(state >> 56);
  }
  return data;
}

// A Blob whose serialised form has exactly `size` bytes; there is none of 1 or 2.
Blob BlobOfSize(size_t size, size_t seed) {
  Blob blob;
  if (size == 0) return blob;
  for (size_t data = size; data-- > 0;) {
    blob.set_data(std::string(data, 'x'));
    if (blob.ByteSizeLong() <= size) break;
  }
  blob.set_data(Pattern(blob.data().size(), seed));
  return blob;
}

class SizeTest : public IntegrationTest {};

// Where something changes in one of the transports, or might: lines of a cache, pages (one, and as many as a ring or a
// pipe holds), what is serialised in place, frames (one, several, and as many as a queue holds).
std::vector<size_t> Boundaries() {
  const size_t frame = RawClient(Address()).connection().transport->max_frame_size();
  const size_t payload = frame - wire::kHeaderSize;
  std::vector<size_t> boundaries = {64, 4096, base::kInPlaceMax, base::kDefaultRingSize, 2 * base::kDefaultRingSize};
  for (const size_t count : {1u, 2u, 4u, 6u, 10u})
    boundaries.insert(boundaries.end(), {count * payload, count * frame});
  return boundaries;
}

std::string Digest(const Blob& blob) {
  return absl::StrCat("digest ", std::hash<std::string>()(blob.data()));
}

// Answers a number with so many bytes, anything else with its digest.
absl::Status OneWay(ServerContext&, const Blob& request, Blob& reply) {
  size_t size = 0;
  reply = absl::SimpleAtoi(request.data(), &size) ? BlobOfSize(size, size) : MakeBlob(Digest(request));
  return absl::OkStatus();
}

TEST_F(SizeTest, EachBoundaryIsCrossedInEachDirection) {
  echo.may_block = OneWay;
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  const CallOptions options = {.timeout = kLong};
  for (const size_t boundary : Boundaries()) {
    for (size_t size = boundary - 4; size <= boundary + 4; ++size) {
      const Blob blob = BlobOfSize(size, size);
      EXPECT_EQ(Must(stub.MayBlock(blob, options)).data(), Digest(blob)) << size;
      EXPECT_TRUE(Must(stub.MayBlock(MakeBlob(std::to_string(size)), options)).data() == blob.data()) << size;
      EXPECT_TRUE(Must(stub.Say(blob, options)).data() == blob.data()) << size;
    }
  }
}

TEST_F(SizeTest, NothingAndLittle) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  for (size_t size = 0; size < 70; ++size) {
    EXPECT_EQ(Must(stub.Say(MakeBlob(Pattern(size, size)))).data(), Pattern(size, size));
  }
}

TEST_F(SizeTest, MetadataBeforeTheMessageCrossesTheBoundariesToo) {
  echo.say = [](ServerContext& context, const Blob& request, Blob& reply) {
    context.trailing_metadata() = context.client_metadata();
    return EchoBack(context, request, reply);
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  for (const size_t envelope : {8100u, 8192u, 16200u, 16320u, 70'000u}) {
    for (size_t size = 0; size < 300; size += 50) {
      const Metadata metadata = {{"m", std::string(envelope, 'e')}};
      ResponseMetadata response;
      const auto reply = stub.Say(MakeBlob(Pattern(size, 1)),
                                  {.timeout = kLong, .metadata = metadata, .response_metadata = &response});
      ASSERT_TRUE(reply.ok()) << reply.status();
      EXPECT_EQ(reply->data(), Pattern(size, 1));
      EXPECT_EQ(response.trailing, metadata);
    }
  }
}

TEST_F(SizeTest, LargestMessage) {
  const auto server = StartServer();
  const Blob request = BlobOfSize(size_t{64} << 20, 64);
  ASSERT_EQ(request.ByteSizeLong(), size_t{64} << 20);
  const auto reply = ConnectStub().Say(request, {.timeout = 2 * kLong});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->data() == request.data());
}

// Who waits for room is woken by it, and not by the limit of every sleep (100 ms), which only guards against the worst.
TEST_F(SizeTest, LargeRequestsDoNotWaitLongerThanForRoom) {
  const auto server = StartServer({.max_spin = absl::ZeroDuration()});
  const Echo::Stub stub = ConnectStub({.max_spin = absl::ZeroDuration()});
  const Blob request = BlobOfSize(100'000, 1);
  const absl::Time before = absl::Now();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(stub.Say(request, {.timeout = kLong}).ok());
  EXPECT_LT(absl::Now() - before, 50 * absl::Milliseconds(50));
}

TEST_F(SizeTest, LargeOnesGoBothWaysAtOnce) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  std::vector<std::thread> callers;
  for (size_t i = 0; i < 4; ++i) {
    callers.emplace_back([&stub, i] {
      for (size_t round = 0; round < 4; ++round) {
        const std::string data = Pattern((i * 4 + round) * 100'000, i * 4 + round);
        const auto reply = stub.Say(MakeBlob(data), {.timeout = kLong});
        EXPECT_TRUE(reply.ok()) << reply.status();
        EXPECT_TRUE(reply.ok() && reply->data() == data) << i << " " << round;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// The reply is written by a worker thread, while the thread that reads sleeps.
TEST_F(SizeTest, LargeReplyOfABlockingMethodArrives) {
  Event may_answer;
  echo.may_block = [&](ServerContext&, const Blob&, Blob& reply) {
    may_answer.Wait();
    reply.set_data(Pattern(1'000'000, 1));
    return absl::OkStatus();
  };
  const auto server = StartServer({.max_spin = absl::ZeroDuration()});
  const Echo::Stub stub = ConnectStub();
  Pending pending = std::async(std::launch::async, [&] { return stub.MayBlock(MakeBlob("x"), {.timeout = kLong}); });
  ASSERT_TRUE(Eventually([&] { return IsAsleep(*server); }));
  may_answer.Set();
  const auto reply = pending.get();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->data() == Pattern(1'000'000, 1));
}

// The reply is written by a thread that has lost the lead meanwhile.
TEST_F(SizeTest, LargeReplyOfAHandlerThatWasStuckArrives) {
  Event may_answer;
  echo.say = [&](ServerContext&, const Blob& request, Blob& reply) {
    if (request.data() == "quick") return absl::OkStatus();
    may_answer.Wait();
    reply.set_data(Pattern(1'000'000, 1));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub();
  Pending pending = SayAsync(stub, "slow", {.timeout = kLong});
  ASSERT_TRUE(ConnectStub().Say(MakeBlob("quick"), {.timeout = kLong}).ok());
  ASSERT_TRUE(Eventually([&] { return IsAsleep(*server); }));
  may_answer.Set();
  const auto reply = pending.get();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->data() == Pattern(1'000'000, 1));
}

// --- limits ---

class LimitTest : public IntegrationTest {
 protected:
  // What a call ends with whose request (or reply) is one byte too large; and the connection serves on.
  void ExpectTooLarge(const Echo::Stub& stub, const Blob& request, const std::string& text, ExecState state) {
    const absl::Status status = stub.Say(request, {.timeout = kLong}).status();
    EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, text));
    EXPECT_EQ(ExecStateOf(status), state) << status;
    EXPECT_TRUE(stub.Say(BlobOfSize(100, 1), {.timeout = kLong}).ok());
  }
};

constexpr size_t kLimit = 100'000;

TEST_F(LimitTest, RequestOverTheClientsOwn) {
  const auto server = StartServer();
  const Echo::Stub stub = ConnectStub({.max_message_size = kLimit});
  EXPECT_TRUE(stub.Say(BlobOfSize(kLimit, 1)).ok());
  ExpectTooLarge(stub, BlobOfSize(kLimit + 1, 1), "has 100001 B, more than ChannelOptions::max_message_size (100000 B)",
                 ExecState::kNotSent);
}

TEST_F(LimitTest, RequestOverTheServers) {
  const auto server = StartServer({.max_message_size = kLimit});
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(BlobOfSize(kLimit, 1)).ok());
  ExpectTooLarge(stub, BlobOfSize(kLimit + 1, 1),
                 "has 100001 B, more than the server's ServerOptions::max_message_size (100000 B)",
                 ExecState::kNotSent);
}

TEST_F(LimitTest, ReplyOverTheServersOwn) {
  echo.say = [](ServerContext&, const Blob& request, Blob& reply) {
    reply = BlobOfSize(request.data().size() > 1000 ? kLimit + 1 : kLimit, 2);
    return absl::OkStatus();
  };
  const auto server = StartServer({.max_message_size = kLimit});
  ExpectTooLarge(ConnectStub(), BlobOfSize(2000, 1), "the reply has 100001 B", ExecState::kExecuted);
}

TEST_F(LimitTest, ReplyOverTheClients) {
  echo.say = [](ServerContext&, const Blob& request, Blob& reply) {
    reply = BlobOfSize(request.data().size() > 1000 ? kLimit + 1 : kLimit, 2);
    return absl::OkStatus();
  };
  const auto server = StartServer();
  ExpectTooLarge(ConnectStub({.max_message_size = kLimit}), BlobOfSize(2000, 1), "(100000 B)", ExecState::kExecuted);
}

}  // namespace
}  // namespace nearcall::integration
