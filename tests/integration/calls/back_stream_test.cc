// SPDX-License-Identifier: Apache-2.0

// Streams that the server begins to its client.
#include "absl/strings/str_cat.h"
#include "co_service.h"
#include "fixture.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

enum class Handlers { kBlocking, kCoroutine };

class BackStreamTest : public StreamTest, public ::testing::WithParamInterface<Handlers> {
 protected:
  BackStreamTest() {
    echo.say = [this](ServerContext& context, const Blob&, Blob&) {
      client = context.client();
      return absl::OkStatus();
    };
  }

  // The stub of a client that serves Streams.
  Streams::Stub ConnectBack(ChannelOptions options = {}) {
    options.services = {GetParam() == Handlers::kBlocking ? static_cast<Service*>(&mine) : &co_mine};
    channel = Connect(std::move(options));
    Must(Echo::Stub(channel).Say(MakeBlob("")).status());
    return Streams::Stub(client);
  }

  StreamService mine;
  CoStreamService co_mine;
  std::shared_ptr<Channel> channel;
  std::shared_ptr<Channel> client;
};

INSTANTIATE_TEST_SUITE_P(All, BackStreamTest, ::testing::Values(Handlers::kBlocking, Handlers::kCoroutine),
                         [](const auto& test) {
                           return std::string(test.param == Handlers::kBlocking ? "Blocking" : "Coroutine");
                         });

TEST_P(BackStreamTest, Down) {
  const auto server = StartServer();
  const auto reader = ConnectBack().Down(MakeBlob("1000"), InTime());
  int count = 0;
  for (const Blob& element : *reader) EXPECT_EQ(element.data(), std::to_string(count++));
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(count, 1000);
}

TEST_P(BackStreamTest, Up) {
  const auto server = StartServer();
  const auto writer = ConnectBack().Up(InTime());
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(writer->Write(MakeBlob("four")));
  ASSERT_TRUE(writer->WritesDone());
  EXPECT_EQ(Must(writer->Finish()).data(), "1000 elements, 4000 B");
}

TEST_P(BackStreamTest, Chat) {
  const auto server = StartServer();
  const auto chat = ConnectBack().Chat(InTime());
  Blob said;
  for (const size_t size : {size_t{1}, size_t{1000}, size_t{1} << 20}) {
    ASSERT_TRUE(chat->Write(Element(size, size)));
    ASSERT_TRUE(chat->Read(&said));
    EXPECT_TRUE(IsElement(said, size, size)) << size;
  }
  ASSERT_TRUE(chat->WritesDone());
  EXPECT_FALSE(chat->Read(&said));
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_P(BackStreamTest, ByCoroutines) {
  const auto server = StartServer();
  ConnectBack();
  const auto talk = [](std::shared_ptr<Channel> to) -> Task<absl::Status> {
    const CallOptions options = InTime();
    Streams::CoStub stub(to);
    auto chat = stub.Chat(options);
    Blob said;
    for (size_t i = 0; i < 100; ++i) {
      EXPECT_TRUE(co_await chat.Write(Element(i, 1000)));
      EXPECT_TRUE(co_await chat.Read(&said));
      EXPECT_TRUE(IsElement(said, i, 1000)) << i;
    }
    EXPECT_TRUE(co_await chat.WritesDone());
    co_return co_await chat.Finish();
  };
  EXPECT_TRUE(SyncWait(talk(client)).ok());
}

// As many as fit into a window, and no more.
TEST_P(BackStreamTest, AClientThatDoesNotReadStopsItsWriterOnly) {
  mine.up = [&](ServerContext& context, ServerReader<Blob>& reader, Blob& reply) {
    may_read.Wait();
    return CountUp(context, reader, reply);
  };
  co_mine.up = [&](ServerContext& context, CoServerReader<Blob>& reader, Blob& reply) -> Task<absl::Status> {
    may_read.Wait();
    co_return co_await CoCountUp(context, reader, reply);
  };
  const auto server = StartServer();
  const Streams::Stub stub = ConnectBack({.stream_window_bytes = 10'000});
  const auto writer = stub.Up({.timeout = kLong, .when_full = WhenFull::kFailFast});
  size_t written = 0;
  while (writer->Write(Element(written, 1000))) ++written;
  EXPECT_GE(written, ElementsIn(10'000, 1000).at_least);
  EXPECT_LE(written, ElementsIn(10'000, 1000).at_most);
  may_read.Set();
  EXPECT_EQ(writer->Finish().status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob(""), InTime()).ok());
}

TEST_P(BackStreamTest, TheEndOfTheClientEndsIt) {
  const auto server = StartServer();
  const auto chat = ConnectBack().Chat(InTime());
  Blob said;
  ASSERT_TRUE(chat->Write(Element(1, 10)));
  ASSERT_TRUE(chat->Read(&said));
  channel.reset();
  EXPECT_FALSE(chat->Read(&said));
  const absl::Status status = chat->Finish();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
  EXPECT_EQ(ExecStateOf(status), ExecState::kMaybeExecuted);
}

TEST_P(BackStreamTest, ACancelEndsTheClientsHandler) {
  Event ended;
  mine.chat = [&](ServerContext& context, ChatStream& stream) {
    began.Set();
    Blob element;
    while (stream.Read(&element)) {
    }
    EXPECT_TRUE(context.IsCancelled());
    ended.Set();
    return absl::OkStatus();
  };
  co_mine.chat = [&](ServerContext& context, CoChatStream& stream) -> Task<absl::Status> {
    began.Set();
    while (co_await stream.Read()) {
    }
    EXPECT_TRUE(context.IsCancelled());
    ended.Set();
    co_return absl::OkStatus();
  };
  const auto server = StartServer();
  const auto chat = ConnectBack().Chat(InTime());
  began.Wait();
  chat->Cancel();
  EXPECT_EQ(chat->Finish().code(), StatusCode::kCancelled);
  ended.Wait();
}

}  // namespace
}  // namespace nearcall::integration
