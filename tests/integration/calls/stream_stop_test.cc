// SPDX-License-Identifier: Apache-2.0

// Readers that stop for good: the server's, the client's, or both, with elements of all sizes, over one connection or
// many at a time. Their writers stop, nobody else does, and a cancel ends it.
#include <atomic>
#include <deque>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

enum class Stops { kServer, kClient, kBoth };

constexpr size_t kWindow = 64 << 10;

class StreamStopTest
    : public StreamTest,
      public ::testing::WithParamInterface<std::tuple<Stops, size_t /*connections*/, size_t /*size*/>> {
 protected:
  // One whose readers do not read.
  struct Stuck {
    std::shared_ptr<Channel> channel;
    std::unique_ptr<ClientReaderWriter<Blob, Blob>> chat;
    std::future<void> writing;
    std::atomic<size_t> client_wrote = 0;
  };

  StreamStopTest() {
    streams.chat = [this](ServerContext& context, ChatStream& stream) {
      if (context.client_metadata().Get("other").has_value()) return ChatBack(context, stream);
      WriteOrWait(context, stream);
      EXPECT_TRUE(context.IsCancelled());
      ++ended_;
      return absl::CancelledError("");
    };
  }

  static Stops who() { return std::get<0>(GetParam()); }
  static size_t connections() { return std::get<1>(GetParam()); }
  static size_t size() { return std::get<2>(GetParam()); }

  // The handler's part.
  void WriteOrWait(ServerContext& context, ChatStream& stream) {
    if (who() != Stops::kServer) {
      while (stream.Write(element_)) ++server_wrote_;
      return;
    }
    Event cancelled;
    const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
    cancelled.Wait();
  }

  // Fewer clients are expected than elsewhere: a queue of a message queue's connection is the larger.
  std::unique_ptr<Server> Start() {
    ServerOptions options = {.expected_clients = 12, .log_sink = log.sink()};
    return Must(ServerBuilder(std::move(options)).Listen(Address()).Register(&echo).Register(&streams).Start());
  }

  void Open(Stuck& stuck) {
    stuck.channel = Connect();
    stuck.chat = Streams::Stub(stuck.channel).Chat();
    if (who() == Stops::kClient) return;
    stuck.writing = std::async(std::launch::async, [this, &stuck] {
      while (stuck.chat->Write(element_)) ++stuck.client_wrote;
    });
  }

  static void ExpectOthersGoOn(const std::shared_ptr<Channel>& channel) {
    const auto chat = Streams::Stub(channel).Chat({.timeout = kLong, .metadata = {{"other", ""}}});
    Blob reply;
    for (size_t i = 0; i < 10; ++i) {
      ASSERT_TRUE(Echo::Stub(channel).Say(Element(i, 5000), InTime()).ok());
      ASSERT_TRUE(chat->Write(Element(i, 5000)) && chat->Read(&reply) && IsElement(reply, i, 5000));
    }
    EXPECT_TRUE(chat->Finish().ok());
  }

  void ExpectWriters(bool is_at_most) {
    const Bounds bounds = ElementsIn(kWindow, size());
    const auto all_wrote = [&](size_t least, size_t most) {
      const size_t of_server = server_wrote_;
      bool right = who() == Stops::kServer || (of_server >= connections() * least && of_server <= connections() * most);
      for (const Stuck& stuck : stuck_) {
        right = right && (who() == Stops::kClient || (stuck.client_wrote >= least && stuck.client_wrote <= most));
      }
      return right;
    };
    if (is_at_most) {
      EXPECT_TRUE(all_wrote(bounds.at_least, bounds.at_most)) << server_wrote_ << " by the server";
    } else {
      EXPECT_TRUE(Eventually([&] { return all_wrote(bounds.at_least, size_t{1} << 30); })) << server_wrote_;
    }
  }

  const Blob element_ = Element(1, size());
  std::deque<Stuck> stuck_;
  std::atomic<size_t> server_wrote_ = 0;
  std::atomic<size_t> ended_ = 0;
};

TEST_P(StreamStopTest, WritersStopOthersGoOnAndACancelEndsIt) {
  const auto server = Start();
  for (size_t i = 0; i < connections(); ++i) Open(stuck_.emplace_back());
  ExpectWriters(/*is_at_most=*/false);
  for (const Stuck& stuck : stuck_) ExpectOthersGoOn(stuck.channel);
  ExpectOthersGoOn(Connect());
  ExpectWriters(/*is_at_most=*/true);
  for (Stuck& stuck : stuck_) {
    stuck.chat->Cancel();
    if (stuck.writing.valid()) stuck.writing.get();
    EXPECT_EQ(stuck.chat->Finish().code(), StatusCode::kCancelled);
    ExpectOthersGoOn(stuck.channel);
  }
  EXPECT_TRUE(Eventually([&] { return ended_ == connections(); }));
  EXPECT_TRUE(Eventually([&] { return CallsActive(*server) == 0; }));
}

std::string NameOf(const ::testing::TestParamInfo<StreamStopTest::ParamType>& info) {
  static constexpr const char* kNames[] = {"ServerStops", "ClientStops", "BothStop"};
  const auto [who, connections, size] = info.param;
  return absl::StrCat(kNames[static_cast<int>(who)], "Over", connections, "With", size, "B");
}

INSTANTIATE_TEST_SUITE_P(AllSizes, StreamStopTest,
                         ::testing::Combine(::testing::Values(Stops::kServer, Stops::kClient, Stops::kBoth),
                                            ::testing::Values(1, 10), ::testing::Values(1, 64 << 10, 8 << 20)),
                         NameOf);

}  // namespace
}  // namespace nearcall::integration
