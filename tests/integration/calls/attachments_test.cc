// SPDX-License-Identifier: Apache-2.0

// Memory that goes with messages: the same whether it is passed or copied, in calls of every style and in streams, for
// one receiver or many, accounted, and gone when nobody has it any more.
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/buffer_memory.h"
#include "child.h"
#include "file_service.h"
#include "nearcall/generic.h"
#include "nearcall/interceptor.h"
#include "nearcall/topic.h"
#include "picture_service.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(AttachmentsTest, GoWithRequestAndReply) {
  const auto server = StartServer();
  const Pictures::Stub stub = ConnectPictures();
  std::vector<Buffer> returned;
  const std::vector<Buffer> sent = {Picture(kSmall, 1), Picture(kLarge, 2), Buffer(), Picture(1'000'001, 3)};
  const std::string sizes = "1:1000|2:307200|nothing|3:1000001";
  EXPECT_EQ(Must(stub.Invert(MakeBlob("x"), Attaching(sent, &returned))).data(), sizes);
  EXPECT_EQ(TextsOf(returned), "101:1000|102:307200|nothing|103:1000001");
  EXPECT_EQ(WaysOf(returned), CarriesDescriptors() ? "copied|passed|copied|passed" : "copied|copied|copied|copied");
  // None, and what had been there is gone.
  EXPECT_EQ(Must(stub.Invert(MakeBlob("x"), Attaching({}, &returned))).data(), "");
  EXPECT_THAT(returned, IsEmpty());
  EXPECT_EQ(Must(stub.Invert(MakeBlob("x"), Attaching(sent))).data(), sizes) << "they may be sent again";
}

// What a server has not asked for are copies, in both directions, and nobody notices.
TEST_F(AttachmentsTest, WithoutAGrantTheyAreCopied) {
  std::string ways;
  pictures.invert = [&](ServerContext& context, const Blob& request, Blob& reply) {
    ways = WaysOf(context.attachments());
    return PictureService::Return(context, request, reply);
  };
  const auto server = StartServer({});
  std::vector<Buffer> returned;
  const Pictures::Stub stub = ConnectPictures();
  const std::vector<Buffer> sent = {Picture(kLarge, 1), Picture(kSmall, 2), Picture(2'000'000, 3)};
  EXPECT_EQ(Must(stub.Invert(MakeBlob("x"), Attaching(sent, &returned))).data(), "1:307200|2:1000|3:2000000");
  EXPECT_EQ(TextsOf(returned), "101:307200|102:1000|103:2000000");
  EXPECT_EQ(ways + " and " + WaysOf(returned), "copied|copied|copied and copied|copied|copied");
}

TEST_F(AttachmentsTest, AServerPassesWithoutTakingAny) {
  ServerOptions options;
  options.passes_attachments = true;
  std::string ways;
  pictures.invert = [&](ServerContext& context, const Blob& request, Blob& reply) {
    ways = WaysOf(context.attachments());
    return PictureService::Return(context, request, reply);
  };
  const auto server = StartServer(options);
  std::vector<Buffer> returned;
  Must(ConnectPictures().Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1)}, &returned)));
  EXPECT_EQ(ways, "copied");
  EXPECT_EQ(WaysOf(returned), CarriesDescriptors() ? "passed" : "copied");
  // A client may want none either.
  Must(ConnectPictures({.max_attachment_bytes = kLarge - 1})
           .Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1)}, &returned)));
  EXPECT_EQ(TextsOf(returned) + WaysOf(returned), "101:307200copied");
}

// In order, as long as they fit into what was granted.
TEST_F(AttachmentsTest, BeyondTheGrantTheyAreCopied) {
  std::string ways;
  pictures.invert = [&](ServerContext& context, const Blob& request, Blob& reply) {
    ways = WaysOf(context.attachments());
    return PictureService::Return(context, request, reply);
  };
  const auto server = StartServer(Taking(2 * kLarge));
  const std::vector<Buffer> sent = {Picture(kLarge, 1), Picture(2 * kLarge, 2), Picture(kLarge, 3)};
  const auto reply = ConnectPictures().Invert(MakeBlob("x"), Attaching(sent));
  EXPECT_EQ(Must(reply).data(), "1:307200|2:614400|3:307200");
  EXPECT_EQ(ways, CarriesDescriptors() ? "passed|copied|passed" : "copied|copied|copied");
}

TEST_F(AttachmentsTest, SixteenGoWithOneMessage) {
  const auto server = StartServer();
  const Pictures::Stub stub = ConnectPictures();
  const std::vector<Buffer> sixteen(16, Picture(kLarge, 7));
  std::vector<Buffer> returned;
  Must(stub.Invert(MakeBlob("x"), Attaching(sixteen, &returned)));
  EXPECT_THAT(returned, SizeIs(16));
  const absl::Status refused = stub.Invert(MakeBlob("x"), Attaching(std::vector<Buffer>(17, Picture(10, 7)))).status();
  EXPECT_THAT(refused, FailsWith(StatusCode::kInvalidArgument, "CallOptions::attachments are 17, at most 16"));
  EXPECT_EQ(ExecStateOf(refused), ExecState::kNotSent);
  pictures.invert = [](ServerContext& context, const Blob&, Blob&) {
    context.reply_attachments().assign(17, Picture(10, 7));
    return absl::OkStatus();
  };
  EXPECT_THAT(stub.Invert(MakeBlob("x"), Attaching({})).status(),
              FailsWith(StatusCode::kInternal, "reply_attachments() are 17"));
}

// Copies count for the size of a message; what is passed does not.
TEST_F(AttachmentsTest, WhatIsTooLargeToBeCopiedIsRefusedBeforeItIsSent) {
  ServerOptions options = Taking(0);
  options.max_message_size = 400'000;
  const auto server = StartServer(options);
  const Pictures::Stub stub = ConnectPictures();
  EXPECT_TRUE(stub.Invert(MakeBlob("x"), Attaching({Picture(390'000, 1)})).ok());
  const absl::Status refused = stub.Invert(MakeBlob("x"), Attaching({Picture(400'000, 1)})).status();
  EXPECT_THAT(refused, FailsWith(StatusCode::kResourceExhausted, "400008 B of attachments to be copied"));
  EXPECT_EQ(ExecStateOf(refused), ExecState::kNotSent);
  pictures.invert = [](ServerContext& context, const Blob&, Blob&) {
    context.reply_attachments().push_back(Picture(500'000, 7));
    return absl::OkStatus();
  };
  EXPECT_THAT(stub.Invert(MakeBlob("x"), Attaching({})).status(),
              FailsWith(StatusCode::kResourceExhausted, "more than max_message_size"));
  const auto chat = stub.Chat({.timeout = kLong});
  chat->Attach(Picture(400'000, 1));
  EXPECT_FALSE(chat->Write(MakeBlob("")));
  EXPECT_THAT(chat->Finish(), FailsWith(StatusCode::kResourceExhausted, "an element of"));
}

TEST_F(AttachmentsTest, LargerThanAnyMessageWhereTheyArePassed) {
  NEEDS_DESCRIPTORS();
  ServerOptions options = Taking();
  options.max_message_size = 1000;
  const auto server = StartServer(options);
  std::vector<Buffer> returned;
  const auto reply = ConnectPictures().Invert(MakeBlob("x"), Attaching({Picture(5'000'000, 9)}, &returned));
  EXPECT_EQ(Must(reply).data(), "9:5000000");
  EXPECT_EQ(TextsOf(returned), "109:5000000");
}

TEST_F(AttachmentsTest, ACallbackGetsThemToo) {
  constexpr size_t kCalls = 100;
  const auto server = StartServer();
  const Pictures::AsyncStub async(Connect());
  struct One {
    std::vector<Buffer> returned;
    std::string reply;
  };
  std::vector<One> calls(kCalls);
  Counter ended;
  for (size_t i = 0; i < kCalls; ++i) {
    async.Invert(
        MakeBlob("x"),
        [&, i](const absl::StatusOr<Blob>& reply) {
          calls[i].reply = reply.ok() ? reply->data() : reply.status().ToString();
          ended.Add();
        },
        Attaching({Picture(i % 4 == 0 ? kLarge : kSmall, i)}, &calls[i].returned));
  }
  ended.WaitFor(kCalls);
  for (size_t i = 0; i < kCalls; ++i) {
    const size_t size = i % 4 == 0 ? kLarge : kSmall;
    EXPECT_EQ(calls[i].reply, absl::StrCat(i, ":", size));
    EXPECT_EQ(TextsOf(calls[i].returned), absl::StrCat(i + 100, ":", size));
  }
}

TEST_F(AttachmentsTest, ACoroutineGetsThemToo) {
  const auto server = StartServer();
  std::vector<Buffer> returned;
  const CallOptions options = Attaching({Picture(kLarge, 5)}, &returned);
  const auto call = [&](Pictures::CoStub stub) -> Task<absl::StatusOr<Blob>> {
    const Blob request = MakeBlob("x");
    co_return co_await stub.Invert(request, options);
  };
  EXPECT_EQ(Must(SyncWait(call(Pictures::CoStub(Connect())))).data(), "5:307200");
  EXPECT_EQ(TextsOf(returned), "105:307200");
}

// Elements without any, with a small one, and with a large one and others.
std::vector<Buffer> PicturesOfElement(size_t i) {
  if (i % 3 == 0) return {};
  if (i % 3 == 1) return {Picture(kSmall, i)};
  return {Picture(kSmall, i), Picture(kLarge, i), Buffer()};
}

std::string AnswersToElement(size_t i) {
  if (i % 3 == 0) return "";
  if (i % 3 == 1) return absl::StrCat(i + 100, ":1000");
  return absl::StrCat(i + 100, ":1000|", i + 100, ":307200|nothing");
}

void ExpectElementsToBringThem(const Pictures::Stub& stub) {
  const auto chat = stub.Chat({.timeout = kLong});
  for (size_t i = 0; i < 60; ++i) {
    for (const Buffer& picture : PicturesOfElement(i)) chat->Attach(picture);
    ASSERT_TRUE(chat->Write(MakeBlob(absl::StrCat(i)))) << chat->Finish();
    Blob reply;
    ASSERT_TRUE(chat->Read(&reply)) << chat->Finish();
    EXPECT_EQ(reply.data(), absl::StrCat(i));
    EXPECT_EQ(TextsOf(chat->attachments()), AnswersToElement(i));
  }
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(AttachmentsTest, GoWithElementsInBothDirections) {
  const auto server = StartServer();
  ExpectElementsToBringThem(ConnectPictures());
}

TEST_F(AttachmentsTest, GoWithWhatOpensAStreamAndWhatEndsIt) {
  const auto server = StartServer();
  const Pictures::Stub stub = ConnectPictures();
  std::vector<Buffer> returned;
  const auto down = stub.Down(MakeBlob("3:1000,4:400000,5:10"), Attaching({Picture(kLarge, 6)}, &returned));
  std::string all;
  for (Blob blob; down->Read(&blob);) absl::StrAppend(&all, blob.data(), "=", TextsOf(down->attachments()), ";");
  EXPECT_EQ(all, "3:1000=3:1000;4:400000=4:400000;5:10=5:10;");
  EXPECT_TRUE(down->Finish().ok());
  EXPECT_EQ(TextsOf(returned), "106:307200");

  const auto up = stub.Up({.timeout = kLong});
  EXPECT_TRUE(up->Write(MakeBlob("none")));
  up->Attach(Picture(kLarge, 8));
  up->Attach(Picture(kSmall, 9));
  EXPECT_TRUE(up->WriteLast(MakeBlob("some")));
  EXPECT_EQ(Must(up->Finish()).data(), "none=;some=8:307200|9:1000;");
}

Task<std::string> TalkOfThirty(Pictures::CoStub stub) {
  const CallOptions options = {.timeout = kLong};
  auto chat = stub.Chat(options);
  std::string all;
  for (size_t i = 0; i < 30; ++i) {
    const Blob blob = MakeBlob(absl::StrCat(i));
    for (const Buffer& picture : PicturesOfElement(i)) chat.Attach(picture);
    if (!co_await chat.Write(blob)) break;
    Blob reply;
    if (!co_await chat.Read(&reply)) break;
    if (TextsOf(chat.attachments()) != AnswersToElement(i)) break;
    absl::StrAppend(&all, reply.data(), ",");
  }
  const absl::Status ended = co_await chat.Finish();
  co_return ended.ok() ? all : ended.ToString();
}

TEST_F(AttachmentsTest, GoWithElementsOfCoroutines) {
  SuspendingPictureService suspending;
  const auto server = Must(ServerBuilder(Taking()).Listen(Address()).Register(&suspending).Start());
  EXPECT_THAT(SyncWait(TalkOfThirty(Pictures::CoStub(Connect()))), ::testing::EndsWith("28,29,"));
}

class NothingToSay final : public ClientInterceptor {
  absl::StatusOr<OnCallEnd> Start(const CallInfo&, CallOptions&) override { return nullptr; }
};

TEST_F(AttachmentsTest, GoPastInterceptors) {
  const auto server = StartServer();
  const ChannelOptions options = {.interceptors = {std::make_shared<NothingToSay>()}};
  std::vector<Buffer> returned;
  Must(ConnectPictures(options).Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1)}, &returned)));
  EXPECT_EQ(TextsOf(returned), "101:307200");
  ExpectElementsToBringThem(ConnectPictures(options));
  EXPECT_THAT(SyncWait(TalkOfThirty(Pictures::CoStub(Connect(options)))), ::testing::EndsWith("28,29,"));
}

TEST_F(AttachmentsTest, GoWithinOneProcessToo) {
  const auto server = StartServer();
  std::vector<Buffer> returned;
  const Pictures::Stub stub(Must(server->InProcessChannel()));
  Must(stub.Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1)}, &returned)));
  EXPECT_EQ(TextsOf(returned) + WaysOf(returned), "101:307200passed") << "whatever the server's transport";
}

TEST_F(AttachmentsTest, GoOneWay) {
  std::mutex mutex;
  std::vector<std::string> came;
  Event all_have_come;
  pictures.show = [&](ServerContext& context) {
    const std::lock_guard lock(mutex);
    came.push_back(TextsOf(context.attachments()));
    if (came.size() == 3) all_have_come.Set();
  };
  const auto server = StartServer();
  const Pictures::Stub stub = ConnectPictures();  // as long as a local call may take to leave
  for (const Capacity capacity : {Capacity::kQueued, Capacity::kLocal, Capacity::kStarted}) {
    CallOptions options = Attaching({Picture(kLarge, 1), Picture(kSmall, 2)});
    options.capacity = capacity;
    Must(stub.Show(MakeBlob(""), options));
  }
  all_have_come.Wait();
  const std::lock_guard lock(mutex);
  EXPECT_EQ(absl::StrJoin(came, " "), "1:307200|2:1000 1:307200|2:1000 1:307200|2:1000");
}

TEST_F(AttachmentsTest, GoWithCallsBack) {
  PictureService back;
  pictures.invert = [](ServerContext& context, const Blob&, Blob& reply) {
    std::vector<Buffer> returned;
    absl::StatusOr<Blob> answer =
        Pictures::Stub(context.client()).Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1)}, &returned));
    if (!answer.ok()) return answer.status();
    reply.set_data(absl::StrCat(answer->data(), ",", TextsOf(returned), ",", WaysOf(returned)));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Pictures::Stub stub = ConnectPictures({.services = {&back}});
  EXPECT_EQ(Must(stub.Invert(MakeBlob("x"), Attaching({}))).data(),
            CarriesDescriptors() ? "1:307200,101:307200,passed" : "1:307200,101:307200,copied");
}

// With descriptors of the program's own, of which each side gets its own.
TEST_F(AttachmentsTest, GoBesideDescriptors) {
  NEEDS_DESCRIPTORS();
  ServerOptions options = Taking();
  options.max_descriptors_per_message = 2;
  AlbumService albums;
  const auto server = Must(ServerBuilder(options).Listen(Address()).Register(&albums).Start());
  const Albums::Stub stub(Connect());
  const UniqueFd one = FileOf("one");
  const UniqueFd two = FileOf("two");
  const std::vector<int> files = {one.get(), two.get()};
  std::vector<Buffer> returned;
  std::vector<UniqueFd> returned_files;
  CallOptions call = Attaching({Picture(kLarge, 1), Picture(kSmall, 2), Picture(kLarge, 3)}, &returned);
  call.descriptors = files;
  call.reply_descriptors = &returned_files;
  EXPECT_EQ(Must(stub.Both(MakeBlob("x"), call)).data(), "one|two and 1:307200|2:1000|3:307200");
  EXPECT_EQ(TextsOf(returned), "101:307200|102:1000|103:307200");
  EXPECT_EQ(TextsOf(returned_files), "one|two");
  // Those of both kinds are at most 16; what is too much is copied.
  call.attachments.assign(16, Picture(kLarge, 5));
  Must(stub.Both(MakeBlob("x"), call));
  EXPECT_THAT(returned, SizeIs(16));
  EXPECT_FALSE(IsPassed(returned[15]));
  EXPECT_TRUE(IsPassed(returned[13]));
}

TEST_F(AttachmentsTest, AGenericHandlerHasThemToo) {
  class Proxy final : public GenericService {
    absl::Status Call(ServerContext& context, CallKind, ServerReaderWriter<Bytes, Bytes>& stream) override {
      Bytes request;
      if (!stream.Read(&request)) return absl::DataLossError("");
      for (const Buffer& picture : context.attachments()) context.reply_attachments().push_back(picture);
      stream.Write(request);
      return absl::OkStatus();
    }
  };
  Proxy proxy;
  const auto server = Must(ServerBuilder(Taking()).Listen(Address()).RegisterGeneric(&proxy).Start());
  std::vector<Buffer> returned;
  Must(ConnectPictures().Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1), Picture(kSmall, 2)}, &returned)));
  EXPECT_EQ(TextsOf(returned), "1:307200|2:1000") << "what has come can be sent on";
}

// --- one buffer, many readers ---

TEST_F(AttachmentsTest, ATopicSharesOneBufferAmongAll) {
  class Camera final : public Pictures::Service {
   public:
    absl::Status Down(ServerContext& context, const Blob&, ServerWriter<Blob>& frames) override {
      SubscriptionOptions<Blob> options;
      options.when_behind = WhenBehind::kBlockPublisher;
      return topic.Serve(context, frames, options);
    }
    Topic<Blob> topic;
  };
  Camera camera;
  const auto server = Must(ServerBuilder(Taking()).Listen(Address()).Register(&camera).Start());
  constexpr size_t kSubscribers = 3;
  constexpr size_t kFrames = 20;
  std::vector<std::future<std::string>> seen;
  for (size_t i = 0; i < kSubscribers; ++i) {
    seen.push_back(std::async(std::launch::async, [this] {
      const auto frames = ConnectPictures().Down(MakeBlob(""), {.timeout = kLong});
      std::string all;
      for (Blob blob; frames->Read(&blob);) {
        absl::StrAppend(&all, blob.data(), "=", TextsOf(frames->attachments()), WaysOf(frames->attachments()), ";");
      }
      EXPECT_TRUE(frames->Finish().ok());
      return all;
    }));
  }
  ASSERT_TRUE(Eventually([&] { return camera.topic.subscribers() == kSubscribers; }));
  std::string expected;
  for (size_t i = 0; i < kFrames; ++i) {
    const Buffer frame = Picture(kLarge, i);
    Must(camera.topic.Publish(MakeBlob(absl::StrCat(i)), {&frame, 1}));
    EXPECT_TRUE(frame.sealed());
    absl::StrAppend(&expected, i, "=", i, ":307200", CarriesDescriptors() ? "passed" : "copied", ";");
  }
  camera.topic.Close();
  for (auto& all : seen) EXPECT_EQ(all.get(), expected);
}

// --- how far a writer is ahead ---

// Else a stream that nobody reads would hold any amount.
TEST_F(AttachmentsTest, TheyCountForTheWindow) {
  Event may_read;
  pictures.invert = nullptr;
  class Slow final : public Pictures::Service {
   public:
    explicit Slow(Event& may_read) : may_read_(may_read) {}
    absl::Status Up(ServerContext&, ServerReader<Blob>& reader, Blob& reply) override {
      may_read_.Wait();
      size_t count = 0;
      for (Blob blob; reader.Read(&blob); ++count) EXPECT_THAT(reader.attachments(), SizeIs(1));
      reply.set_data(absl::StrCat(count));
      return absl::OkStatus();
    }

   private:
    Event& may_read_;
  };
  Slow slow(may_read);
  const auto server = Must(ServerBuilder(Taking()).Listen(Address()).Register(&slow).Start());
  const Pictures::Stub stub = ConnectPictures();
  {
    const auto hasty = stub.Up({.timeout = kLong, .when_full = WhenFull::kFailFast});
    hasty->Attach(Picture(kLarge, 1));
    EXPECT_TRUE(hasty->Write(MakeBlob("")));
    hasty->Attach(Picture(kLarge, 1));
    EXPECT_FALSE(hasty->Write(MakeBlob(""))) << "a window has been used by one";
    may_read.Set();
    EXPECT_THAT(hasty->Finish().status(), FailsWith(StatusCode::kResourceExhausted, ""));
  }
  const auto patient = stub.Up({.timeout = kLong});
  const Buffer picture = Picture(kLarge, 1);
  for (int i = 0; i < 30; ++i) {
    patient->Attach(picture);
    ASSERT_TRUE(patient->Write(MakeBlob("")));
  }
  EXPECT_EQ(Must(patient->Finish()).data(), "30");
}

// --- who keeps one ---

TEST_F(AttachmentsTest, WhoKeepsOneKeepsItsMemoryAndNothingElse) {
  Buffer kept;
  pictures.invert = [&](ServerContext& context, const Blob&, Blob&) {
    kept = context.attachment(1);
    EXPECT_EQ(context.attachment(2).size(), 0u) << "there is none";
    return absl::OkStatus();
  };
  auto server = StartServer();
  Must(ConnectPictures().Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1), Picture(kLarge, 2)})));
  server.reset();
  EXPECT_EQ(TextOf(kept.bytes()), "2:307200");
  EXPECT_TRUE(kept.sealed());
  EXPECT_THAT(kept.mutable_bytes(), IsEmpty());
  EXPECT_TRUE(Eventually([] { return MappedPictures() <= 1; })) << MappedPictures();
  kept = Buffer();
  EXPECT_EQ(MappedPictures(), 0u);
}

// It counts for its user as long as it is kept, passed or copied.
TEST_F(AttachmentsTest, WhatIsKeptIsAccounted) {
  std::vector<Buffer> kept;
  pictures.invert = [&](ServerContext& context, const Blob& request, Blob&) {
    if (request.data() == "keep") kept.push_back(context.attachment(0));
    return absl::OkStatus();
  };
  ServerOptions options = Taking();
  options.max_message_size = 500'000;
  options.max_total_bytes = 8 * kLarge;
  const auto server = StartServer(options);
  const Pictures::Stub stub = ConnectPictures();
  absl::Status status;
  for (int i = 0; status.ok() && i < 20; ++i) {
    status = stub.Invert(MakeBlob("keep"), Attaching({Picture(kLarge, 1)})).status();
  }
  EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, "ServerOptions::max_total_calls and max_total_bytes"));
  EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted);
  EXPECT_GE(kept.size(), 5u);
  EXPECT_LE(kept.size(), 8u);
  kept.clear();
  EXPECT_TRUE(stub.Invert(MakeBlob("keep"), Attaching({Picture(kLarge, 1)})).ok());
  kept.clear();
}

TEST_F(AttachmentsTest, OfThoseThatNobodyTakesNothingIsLeft) {
  const auto server = StartServer();
  const Pictures::Stub stub = ConnectPictures();
  Must(stub.Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1)})));
  EXPECT_TRUE(Eventually([before = OpenDescriptors()] { return OpenDescriptors() <= before; }));
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 200; ++i) Must(stub.Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1), Picture(10, 2)})));
  const auto chat = stub.Chat({.timeout = kLong});
  for (int i = 0; i < 3; ++i) {
    chat->Attach(Picture(kLarge, 1));
    ASSERT_TRUE(chat->Write(MakeBlob("x")));
  }
  EXPECT_TRUE(chat->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors() <= before; })) << OpenDescriptors() << " of " << before;
  EXPECT_TRUE(Eventually([] { return MappedPictures() == 0; })) << MappedPictures();
}

// Whoever dies with memory under way leaves none in the server.
TEST_F(AttachmentsTest, OfAClientThatIsKilledNothingIsLeft) {
  constexpr int kRounds = 5;
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < kRounds; ++i) {
    children.push_back(std::make_unique<Child>([](Link& parent) {
      parent.Await();
      const Pictures::AsyncStub async(Must(Channel::Connect(Address(), {.connect_timeout = kLong})));
      const std::vector<Buffer> three(3, Picture(kLarge, 1));
      Counter ended;
      for (size_t sent = 0;; ++sent) {
        if (sent == 20) parent.Tell();
        async.Invert(
            MakeBlob("x"), [&ended](const absl::StatusOr<Blob>&) { ended.Add(); }, Attaching(three));
        if (sent >= 20) ended.WaitFor(sent - 20);
      }
    }));
  }
  const auto server = StartServer();
  Must(ConnectPictures().Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1)})));
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
  EXPECT_TRUE(Eventually([before = OpenDescriptors()] { return OpenDescriptors() <= before; }));
  const size_t before = OpenDescriptors();
  for (const auto& child : children) {
    child->link().Tell();
    child->link().Await();
    child->Kill();
  }
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors() <= before; })) << OpenDescriptors() << " of " << before;
  EXPECT_TRUE(Eventually([] { return MappedPictures() == 0; })) << MappedPictures();
}

// --- sealing ---

TEST_F(AttachmentsTest, WhatCannotBeSealedIsNotSent) {
  const auto server = StartServer();
  const Pictures::Stub stub = ConnectPictures();
  const Buffer picture = Picture(kLarge, 1);
  void* const other = ::mmap(nullptr, kLarge, PROT_WRITE, MAP_SHARED, picture.memory()->fd(), 0);
  ASSERT_NE(other, MAP_FAILED);
  const absl::Status refused = stub.Invert(MakeBlob("x"), Attaching({picture})).status();
  EXPECT_THAT(refused, FailsWith(StatusCode::kFailedPrecondition,
                                 "CallOptions::attachments[0]: the buffer cannot be "
                                 "sealed: something else has it mapped"));
  EXPECT_EQ(ExecStateOf(refused), ExecState::kNotSent);
  ::munmap(other, kLarge);
  EXPECT_EQ(Must(stub.Invert(MakeBlob("x"), Attaching({picture}))).data(), "1:307200");
}

}  // namespace
}  // namespace nearcall::integration
