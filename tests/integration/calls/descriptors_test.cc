// SPDX-License-Identifier: Apache-2.0

// Descriptors that go with messages: whole and in order with them, in calls of every style and in streams, refused
// where they may not be, and closed wherever they end.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "child.h"
#include "file_service.h"
#include "nearcall/interceptor.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::SizeIs;

CallOptions Lending(std::span<const int> descriptors, std::vector<UniqueFd>* returned = nullptr) {
  CallOptions options;
  options.timeout = kLong;
  options.descriptors = descriptors;
  options.reply_descriptors = returned;
  return options;
}

TEST_F(DescriptorsTest, GoWithRequestAndReply) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  const Files::Stub stub = ConnectFiles();
  std::vector<UniqueFd> returned;
  EXPECT_EQ(Must(Swap(stub, {"one", "two", "three"}, &returned)).data(), "one|two|three");
  EXPECT_EQ(TextsOf(returned), "re:one|re:two|re:three");
  for (const UniqueFd& file : returned) EXPECT_EQ(::fcntl(file.get(), F_GETFD), FD_CLOEXEC);
  // None, and what had been there is gone.
  EXPECT_EQ(Must(Swap(stub, {}, &returned)).data(), "");
  EXPECT_THAT(returned, SizeIs(0));
}

TEST_F(DescriptorsTest, SixteenGoWithOneMessage) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  std::vector<UniqueFd> returned;
  const Files::Stub stub = ConnectFiles();
  EXPECT_TRUE(Swap(stub, std::vector<std::string>(16, "x"), &returned).ok());
  EXPECT_THAT(returned, SizeIs(16));
}

// In their large messages, too, they come with the last byte of it.
TEST_F(DescriptorsTest, GoWithLargeMessages) {
  NEEDS_DESCRIPTORS();
  files.swap = [](ServerContext& context, const Blob& request, Blob& reply) {
    reply = request;
    for (UniqueFd& file : context.TakeDescriptors()) context.reply_descriptors().push_back(std::move(file));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Files::Stub stub = ConnectFiles();
  std::vector<UniqueFd> returned;
  const Blob large = MakeBlob(std::string(300'000, 'x'));
  EXPECT_EQ(Must(Swap(stub, {"one", "two"}, &returned, large)).data().size(), large.data().size());
  EXPECT_EQ(TextsOf(returned), "one|two");
}

// More at once than the side socket holds, over all lanes: each call has its own.
TEST_F(DescriptorsTest, EachCallHasItsOwn) {
  NEEDS_DESCRIPTORS();
  constexpr int kThreads = 8;
  constexpr int kCalls = 100;
  const auto server = StartServer();
  const Files::Stub stub = ConnectFiles();
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kThreads; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < kCalls; ++i) {
        const std::string text = absl::StrCat(caller, ".", i);
        const UniqueFd file = FileOf(text);
        const int fd = file.get();
        std::vector<UniqueFd> returned;
        CallOptions options = Lending({&fd, 1}, &returned);
        options.priority = static_cast<Priority>(i % 4);
        const auto reply = stub.Swap(MakeBlob(std::string(i % 10 == 0 ? 100'000 : 10, 'x')), options);
        ASSERT_TRUE(reply.ok()) << reply.status();
        EXPECT_EQ(reply->data(), text);
        EXPECT_EQ(TextsOf(returned), "re:" + text);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_F(DescriptorsTest, ACallbackGetsThemToo) {
  NEEDS_DESCRIPTORS();
  constexpr size_t kCalls = 200;
  const auto server = StartServer();
  const Files::AsyncStub async(Connect());
  struct One {
    std::vector<UniqueFd> returned;
    std::string reply;
  };
  std::vector<One> calls(kCalls);
  Counter ended;
  for (size_t i = 0; i < kCalls; ++i) {
    const UniqueFd file = FileOf(absl::StrCat(i));
    const int fd = file.get();
    async.Swap(
        MakeBlob("x"),
        [&, i](const absl::StatusOr<Blob>& reply) {
          calls[i].reply = reply.ok() ? reply->data() : reply.status().ToString();
          ended.Add();
        },
        Lending({&fd, 1}, &calls[i].returned));
    // The file is closed here, though the call may not have been sent.
  }
  ended.WaitFor(kCalls);
  for (size_t i = 0; i < kCalls; ++i) {
    EXPECT_EQ(calls[i].reply, absl::StrCat(i));
    EXPECT_EQ(TextsOf(calls[i].returned), absl::StrCat("re:", i));
  }
}

TEST_F(DescriptorsTest, ACoroutineGetsThemToo) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  const UniqueFd file = FileOf("one");
  const int fd = file.get();
  std::vector<UniqueFd> returned;
  const CallOptions options = Lending({&fd, 1}, &returned);
  const auto call = [&](Files::CoStub stub) -> Task<absl::StatusOr<Blob>> {
    const Blob request = MakeBlob("x");
    co_return co_await stub.Swap(request, options);
  };
  EXPECT_EQ(Must(SyncWait(call(Files::CoStub(Connect())))).data(), "one");
  EXPECT_EQ(TextsOf(returned), "re:one");
}

// With every other element of a hundred.
void ExpectElementsToBringThem(const Files::Stub& stub) {
  const auto chat = stub.Chat({.timeout = kLong});
  for (int i = 0; i < 100; ++i) {
    const std::string text = absl::StrCat(i);
    const UniqueFd file = FileOf(text);
    const int fd = file.get();
    ASSERT_TRUE(i % 2 == 0 ? chat->Write(MakeBlob(text), {&fd, 1}) : chat->Write(MakeBlob(text)));
    Blob reply;
    ASSERT_TRUE(chat->Read(&reply)) << chat->Finish();
    EXPECT_EQ(reply.data(), text);
    EXPECT_EQ(TextsOf(chat->TakeDescriptors()), i % 2 == 0 ? text : "");
    EXPECT_THAT(chat->TakeDescriptors(), SizeIs(0)) << "they are given once";
  }
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(DescriptorsTest, GoWithElementsInBothDirections) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  ExpectElementsToBringThem(ConnectFiles());
}

TEST_F(DescriptorsTest, GoWithWhatOpensAStreamAndWhatEndsIt) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  const Files::Stub stub = ConnectFiles();
  const UniqueFd file = FileOf("opening");
  const int fd = file.get();
  std::vector<UniqueFd> returned;
  const auto down = stub.Down(MakeBlob("a,b,c"), Lending({&fd, 1}, &returned));
  std::string all;
  for (Blob blob; down->Read(&blob);) absl::StrAppend(&all, blob.data(), "=", TextsOf(down->TakeDescriptors()), ";");
  EXPECT_EQ(all, "a=a;b=b;c=c;");
  EXPECT_TRUE(down->Finish().ok());
  EXPECT_EQ(TextsOf(returned), "end:opening");

  const auto up = stub.Up({.timeout = kLong});
  const UniqueFd element = FileOf("d");
  const int number = element.get();
  EXPECT_TRUE(up->Write(MakeBlob("none")));
  EXPECT_TRUE(up->WriteLast(MakeBlob("some"), {&number, 1}));
  EXPECT_EQ(Must(up->Finish()).data(), "none=;some=d;");
}

// With each of fifty elements: their numbers, or how the call has ended.
Task<std::string> TalkOfFifty(Files::CoStub stub) {
  const CallOptions options = {.timeout = kLong};
  auto chat = stub.Chat(options);
  std::string all;
  for (int i = 0; i < 50; ++i) {
    const Blob blob = MakeBlob(absl::StrCat(i));
    const UniqueFd file = FileOf(blob.data());
    const int fd = file.get();
    const std::span<const int> lent(&fd, 1);
    if (!co_await chat.Write(blob, lent)) break;
    Blob reply;
    if (!co_await chat.Read(&reply)) break;
    if (TextsOf(chat.TakeDescriptors()) != reply.data()) break;
    absl::StrAppend(&all, reply.data(), ",");
  }
  const absl::Status ended = co_await chat.Finish();
  co_return ended.ok() ? all : ended.ToString();
}

TEST_F(DescriptorsTest, GoWithElementsOfCoroutines) {
  NEEDS_DESCRIPTORS();
  SuspendingFileService suspending;
  const auto server = Must(ServerBuilder(Granting()).Listen(Address()).Register(&suspending).Start());
  EXPECT_THAT(SyncWait(TalkOfFifty(Files::CoStub(Connect()))), ::testing::EndsWith("48,49,"));
}

class NothingToSay final : public ClientInterceptor {
  absl::StatusOr<OnCallEnd> Start(const CallInfo&, CallOptions&) override { return nullptr; }
};

TEST_F(DescriptorsTest, GoPastInterceptors) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  const ChannelOptions options = {.interceptors = {std::make_shared<NothingToSay>()}};
  const Files::Stub stub = ConnectFiles(options);
  std::vector<UniqueFd> returned;
  EXPECT_EQ(Must(Swap(stub, {"one"}, &returned)).data(), "one");
  EXPECT_EQ(TextsOf(returned), "re:one");
  ExpectElementsToBringThem(stub);
  EXPECT_THAT(SyncWait(TalkOfFifty(Files::CoStub(Connect(options)))), ::testing::EndsWith("48,49,"));
}

TEST_F(DescriptorsTest, AServerSendsThemWithoutTakingAny) {
  NEEDS_DESCRIPTORS();
  files.swap = [](ServerContext& context, const Blob&, Blob&) {
    context.reply_descriptors().push_back(FileOf("mine"));
    return absl::OkStatus();
  };
  const auto server = StartServer(Granting(0));
  const Files::Stub stub = ConnectFiles();
  std::vector<UniqueFd> returned;
  Must(Swap(stub, {}, &returned));
  EXPECT_EQ(TextsOf(returned), "mine");
  Must(Swap(stub, {}, nullptr));  // nobody wants them
  const auto refused = Swap(stub, {"one"});
  EXPECT_THAT(refused.status(), FailsWith(StatusCode::kFailedPrecondition, "max_descriptors_per_message is 0"));
  EXPECT_EQ(ExecStateOf(refused.status()), ExecState::kNotSent);
}

TEST_F(DescriptorsTest, AreRefusedBeforeAnythingIsSent) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer(Granting(2));
  const Files::Stub stub = ConnectFiles();
  const UniqueFd file = FileOf("x");
  const auto expect = [&](const absl::Status& status, StatusCode code, absl::string_view part) {
    EXPECT_THAT(status, FailsWith(code, part));
    EXPECT_EQ(ExecStateOf(status), ExecState::kNotSent);
  };
  const int good = file.get();
  expect(stub.Undeclared(MakeBlob(""), Lending({&good, 1})).status(), StatusCode::kInvalidArgument,
         "nearcall.integration.Files/Undeclared does not declare");
  expect(stub.One(MakeBlob(""), Lending(std::vector<int>(2, good))).status(), StatusCode::kInvalidArgument,
         "One does not declare that 2 descriptors go with a message");
  const std::vector<int> bad = {good, 987'654};
  expect(stub.Swap(MakeBlob(""), Lending(bad)).status(), StatusCode::kInvalidArgument,
         "CallOptions::descriptors[1] is 987654, which is no open descriptor");
  expect(stub.Swap(MakeBlob(""), Lending(std::vector<int>(17, good))).status(), StatusCode::kInvalidArgument,
         "has 17 descriptors, at most 16");
  expect(stub.Swap(MakeBlob(""), Lending(std::vector<int>(3, good))).status(), StatusCode::kResourceExhausted,
         "max_descriptors_per_message is 2");
  const auto chat = stub.Chat({.timeout = kLong});
  EXPECT_FALSE(chat->Write(MakeBlob(""), bad));
  EXPECT_THAT(chat->Finish(), FailsWith(StatusCode::kInvalidArgument, "[1] is 987654"));
}

TEST_F(DescriptorsTest, AHandlerIsToldWhatItMayNotSend) {
  NEEDS_DESCRIPTORS();
  size_t count = 1;
  files.swap = [&](ServerContext& context, const Blob&, Blob&) {
    for (size_t i = 0; i < count; ++i) context.reply_descriptors().push_back(FileOf("x"));
    if (count == 2) context.reply_descriptors().emplace_back();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Files::Stub stub = ConnectFiles();
  EXPECT_THAT(stub.Undeclared(MakeBlob("")).status(), FailsWith(StatusCode::kInternal, "does not declare"));
  count = 17;
  EXPECT_THAT(stub.Swap(MakeBlob("")).status(), FailsWith(StatusCode::kInternal, "17 descriptors are more than 16"));
  count = 2;
  EXPECT_THAT(stub.Swap(MakeBlob("")).status(), FailsWith(StatusCode::kInternal, "without a descriptor"));
}

TEST_F(DescriptorsTest, WhereNoneGoCallsSaySo) {
  const auto server = StartServer();
  if (CarriesDescriptors()) return;
  const std::string why = absl::StrCat("the ", std::string(TransportName()),
                                       " transport carries no descriptors; those that do are shm, mq, pipe");
  files.swap = [](ServerContext& context, const Blob&, Blob&) {
    context.reply_descriptors().push_back(FileOf("x"));
    return absl::OkStatus();
  };
  const Files::Stub stub = ConnectFiles();
  EXPECT_THAT(Swap(stub, {"one"}).status(), FailsWith(StatusCode::kFailedPrecondition, why));
  EXPECT_THAT(Swap(stub, {}).status(), FailsWith(StatusCode::kFailedPrecondition, why));
}

// The leak check after each test would see them; here they do not even pile up.
TEST_F(DescriptorsTest, WhatNobodyTakesIsClosed) {
  NEEDS_DESCRIPTORS();
  files.swap = [](ServerContext& context, const Blob& request, Blob&) {
    context.reply_descriptors().push_back(FileOf("not wanted"));
    return request.data() == "fail" ? absl::AbortedError("no") : absl::OkStatus();
  };
  const auto server = StartServer();
  const Files::Stub stub = ConnectFiles();
  Must(Swap(stub, {"first"}));
  EXPECT_TRUE(Eventually([before = OpenDescriptors()] { return OpenDescriptors() <= before; }));
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 1000; ++i) {
    const bool fails = i % 2 == 0;
    EXPECT_EQ(Swap(stub, {"a", "b"}, nullptr, MakeBlob(fails ? "fail" : "")).ok(), !fails);
  }
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors() <= before; })) << OpenDescriptors() << " of " << before;
  // Elements, of which neither side takes any.
  const UniqueFd file = FileOf("x");
  const int fd = file.get();
  const auto chat = stub.Chat({.timeout = kLong});
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(chat->Write(MakeBlob("x"), {&fd, 1}));
  for (Blob blob; chat->WritesDone(), chat->Read(&blob);) continue;
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(DescriptorsTest, GoOneWay) {
  NEEDS_DESCRIPTORS();
  std::string came;
  Event has_come;
  files.drop = [&](ServerContext& context, const Blob&) {
    came = TextsOf(context.TakeDescriptors());
    has_come.Set();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const UniqueFd file = FileOf("thrown");
  const int fd = file.get();
  for (const Capacity capacity : {Capacity::kQueued, Capacity::kLocal, Capacity::kStarted}) {
    CallOptions options = Lending({&fd, 1});
    options.capacity = capacity;
    Must(ConnectFiles().Drop(MakeBlob(""), options));
  }
  has_come.Wait();
  EXPECT_EQ(came, "thrown");
}

// Of those that wait with their requests for a handler.
TEST_F(DescriptorsTest, AreBoundedByTheUsersPart) {
  NEEDS_DESCRIPTORS();
  Event began;
  Event may_end;
  files.swap = [&](ServerContext& context, const Blob& request, Blob&) {
    if (request.data() == "first") {
      began.Set();
      may_end.Wait();
    }
    return context.IsCancelled() ? absl::CancelledError("") : absl::OkStatus();
  };
  ServerOptions options = Granting();
  options.max_total_descriptors = 48;
  options.max_handler_threads = 1;
  const auto server = StartServer(options);
  std::vector<absl::Status> statuses;  // outlive the channel's thread, with which they share their memory
  const Files::AsyncStub async(Connect());
  async.Swap(MakeBlob("first"), [](const absl::StatusOr<Blob>&) {}, {.timeout = kLong});
  began.Wait();
  const UniqueFd file = FileOf("x");
  const std::vector<int> sixteen(16, file.get());
  std::vector<std::promise<absl::Status>> ends(4);
  for (std::promise<absl::Status>& end : ends) {
    async.Swap(
        MakeBlob(""), [&end](const absl::StatusOr<Blob>& reply) { end.set_value(reply.status()); }, Lending(sixteen));
  }
  // Two find room; the third and the fourth do not, and are told at once.
  for (const size_t refused : {size_t{2}, size_t{3}}) {
    const absl::Status& status = statuses.emplace_back(ends[refused].get_future().get());
    EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, "ServerOptions::max_total_descriptors"));
    EXPECT_EQ(ExecStateOf(status), ExecState::kNotStarted);
  }
  may_end.Set();
  for (const size_t served : {size_t{0}, size_t{1}}) EXPECT_TRUE(ends[served].get_future().get().ok());
  // They have been closed by now, or are about to be, and there is room again: for a connection, and for what it
  // brings.
  EXPECT_TRUE(Eventually([&] {
    auto channel = Channel::Connect(Address());
    return channel.ok() && Swap(Files::Stub(*std::move(channel)), {"x", "y"}).ok();
  }));
}

TEST_F(DescriptorsTest, AreGivenUpWithTheirCall) {
  NEEDS_DESCRIPTORS();
  Event began;
  Event may_end;
  files.swap = [&](ServerContext& context, const Blob& request, Blob& reply) {
    if (request.data() != "first") return FileService::Return(context, request, reply);
    began.Set();
    may_end.Wait();
    context.reply_descriptors().push_back(FileOf("too late"));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Files::Stub stub = ConnectFiles();
  const UniqueFd file = FileOf("x");
  const int fd = file.get();
  std::stop_source stop;
  CallOptions options = Lending({&fd, 1});
  options.stop_token = stop.get_token();
  std::thread canceller([&] {
    began.Wait();
    stop.request_stop();
  });
  EXPECT_THAT(stub.Swap(MakeBlob("first"), options).status(), FailsWith(StatusCode::kCancelled, ""));
  canceller.join();
  may_end.Set();
  EXPECT_EQ(Must(Swap(stub, {"next"})).data(), "next");
}

// Whoever dies with descriptors under way leaves none in the server.
TEST_F(DescriptorsTest, OfAClientThatIsKilledNothingIsLeft) {
  NEEDS_DESCRIPTORS();
  constexpr int kRounds = 5;
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < kRounds; ++i) {
    children.push_back(std::make_unique<Child>([](Link& parent) {
      parent.Await();
      const Files::AsyncStub async(Must(Channel::Connect(Address(), {.connect_timeout = kLong})));
      const UniqueFd file = FileOf("x");
      const std::vector<int> ten(10, file.get());
      Counter ended;
      for (size_t sent = 0;; ++sent) {
        if (sent == 20) parent.Tell();
        async.Swap(
            MakeBlob("x"), [&ended](const absl::StatusOr<Blob>&) { ended.Add(); }, Lending(ten));
        if (sent >= 20) ended.WaitFor(sent - 20);
      }
    }));
  }
  const auto server = StartServer();
  Must(Swap(ConnectFiles(), {"x"}));
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
  EXPECT_TRUE(Eventually([before = OpenDescriptors()] { return OpenDescriptors() <= before; }));
  const size_t before = OpenDescriptors();
  for (const auto& child : children) {
    child->link().Tell();
    child->link().Await();
    child->Kill();
  }
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors() <= before; })) << OpenDescriptors() << " of " << before;
}

TEST_F(DescriptorsTest, GoWithinOneProcessToo) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  std::vector<UniqueFd> returned;
  const Files::Stub stub(Must(server->InProcessChannel()));
  EXPECT_EQ(Must(Swap(stub, {"in"}, &returned)).data(), "in");
  EXPECT_EQ(TextsOf(returned), "re:in");
}

// A service of the client's, called back by the server's handler.
TEST_F(DescriptorsTest, GoWithCallsBack) {
  NEEDS_DESCRIPTORS();
  FileService back;
  files.swap = [](ServerContext& context, const Blob&, Blob& reply) {
    std::vector<UniqueFd> returned;
    absl::StatusOr<Blob> answer = Swap(Files::Stub(context.client()), {"back"}, &returned);
    if (!answer.ok()) return answer.status();
    reply.set_data(absl::StrCat(answer->data(), ",", TextsOf(returned)));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  const Files::Stub stub = ConnectFiles({.services = {&back}});
  EXPECT_EQ(Must(Swap(stub, {})).data(), "back,re:back");
}

}  // namespace
}  // namespace nearcall::integration
