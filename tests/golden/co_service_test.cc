// SPDX-License-Identifier: Apache-2.0

// A generated CoService runs coroutines, and answers when they have ended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fake_call.h"
#include "one_way.nearcall.pb.h"
#include "streams.nearcall.pb.h"

namespace nearcall {
namespace {

using demo::streams::Reply;
using demo::streams::Request;
using ::testing::ElementsAre;
using testing::FakeCall;

std::string Wire(const std::string& text) {
  Request request;
  request.set_text(text);
  return request.SerializeAsString();
}

enum Method { kSay, kUp, kDown, kChat };

class CoImpl final : public demo::streams::Streams::CoService {
 public:
  Task<absl::Status> Say(ServerContext& context, const Request& request, Reply& reply) override {
    last_context = &context;
    if (before) co_await before();
    reply.set_text(request.text());
    co_return status;
  }
  Task<absl::Status> Up(ServerContext& context, CoServerReader<Request>& reader, Reply& reply) override {
    last_context = &context;
    while (const std::optional<Request> request = co_await reader.Read())
      reply.set_text(reply.text() + request->text());
    co_return status;
  }
  Task<absl::Status> Down(ServerContext& context, const Request& request, CoServerWriter<Reply>& writer) override {
    last_context = &context;
    Reply reply;
    reply.set_text(request.text());
    could_write = co_await writer.Write(reply) && co_await writer.Write(reply);
    co_return status;
  }
  Task<absl::Status> Chat(ServerContext& context, CoServerReaderWriter<Request, Reply>& stream) override {
    last_context = &context;
    Request request;
    while (co_await stream.Read(&request)) {
      Reply reply;
      reply.set_text(request.text());
      could_write = co_await stream.Write(reply);
    }
    co_return status;
  }

  std::function<Task<>()> before;
  absl::Status status;
  bool could_write = false;
  const ServerContext* last_context = nullptr;
};

// What a handler waits for until somebody opens it.
class Gate {
 public:
  auto operator co_await() {
    struct Awaiter {
      std::coroutine_handle<>& coroutine;
      bool await_ready() const { return false; }
      void await_suspend(std::coroutine_handle<> waits) const { coroutine = waits; }
      void await_resume() const {}
    };
    return Awaiter{coroutine_};
  }

  void Open() { internal::Resume(std::exchange(coroutine_, nullptr)); }

 private:
  std::coroutine_handle<> coroutine_;
};

Task<> Fail(std::string what) {
  throw std::runtime_error(what);
  co_return;
}

class CoServiceTest : public ::testing::Test {
 protected:
  void Call(Method method, FakeCall& call) { co_.GetServiceInfo().methods[method].run(co_, call); }

  // As the handler's first step.
  void WaitFor(Gate& gate) {
    co_.before = [&gate]() -> Task<> { co_await gate; };
  }

  CoImpl co_;
};

TEST_F(CoServiceTest, ItsMethodsSuspend) {
  for (const internal::ServerMethod& method : co_.GetServiceInfo().methods) EXPECT_TRUE(method.suspends);
  const demo::streams::Streams::Service blocking;
  for (const internal::ServerMethod& method : blocking.GetServiceInfo().methods) EXPECT_FALSE(method.suspends);
}

TEST_F(CoServiceTest, AHandlerThatDoesNotSuspendIsAnsweredAtOnce) {
  FakeCall call(Wire("hello"));
  Call(kSay, call);
  EXPECT_EQ(co_.last_context, &call.context());
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.answers_without_reply, 0);
  EXPECT_TRUE(call.answer.ok());
  EXPECT_EQ(call.reply_bytes, Wire("hello"));
  EXPECT_EQ(call.deferred, 0);
}

TEST_F(CoServiceTest, AHandlerThatSuspendsIsAnsweredWhenItHasEnded) {
  Gate gate;
  WaitFor(gate);
  co_.status = absl::DataLossError("half of it");
  FakeCall call(Wire("hello"));
  Call(kSay, call);
  EXPECT_EQ(call.deferred, 1);
  EXPECT_EQ(call.answers, 0);
  EXPECT_FALSE(call.dropped);
  gate.Open();
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.answer, co_.status);
  EXPECT_EQ(call.reply_bytes, Wire("hello"));
}

TEST_F(CoServiceTest, AHandlerMayEndOnAnotherThreadBeforeItsFirstPartReturns) {
  struct OtherThread {
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const {
      std::thread([coroutine] { internal::Resume(coroutine); }).join();
    }
    void await_resume() const {}
  };
  co_.before = []() -> Task<> { co_await OtherThread(); };
  FakeCall call(Wire("hello"));
  Call(kSay, call);
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.deferred, 0);
  EXPECT_EQ(call.reply_bytes, Wire("hello"));
}

TEST_F(CoServiceTest, AHandlerMayEndWhileItsCallIsDeferred) {
  Gate gate;
  WaitFor(gate);
  FakeCall call(Wire("hello"));
  call.on_defer = [&] { gate.Open(); };
  Call(kSay, call);
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.deferred, 1);
  EXPECT_EQ(call.reply_bytes, Wire("hello"));
}

TEST_F(CoServiceTest, AHandlerThatThrowsAtOnceThrowsAtTheRuntime) {
  co_.before = [] { return Fail("early"); };
  FakeCall call(Wire("hello"));
  EXPECT_THROW(Call(kSay, call), std::runtime_error);
  EXPECT_EQ(call.answers, 0);
  EXPECT_EQ(call.deferred, 0);
}

TEST_F(CoServiceTest, AHandlerThatThrowsLaterIsAnsweredAsOneThatHasThrown) {
  Gate gate;
  co_.before = [&gate]() -> Task<> {
    co_await gate;
    co_await Fail("late");
  };
  FakeCall call(Wire("hello"));
  Call(kSay, call);
  gate.Open();
  EXPECT_EQ(call.answers, 1);
  EXPECT_TRUE(call.thrown);
}

TEST_F(CoServiceTest, ACallWhoseRequestDoesNotParseIsLeftAlone) {
  for (const Method method : {kSay, kDown}) {
    FakeCall call("\xff");
    Call(method, call);
    EXPECT_EQ(call.answers, 0);
    EXPECT_EQ(co_.last_context, nullptr);
  }
}

TEST_F(CoServiceTest, AClientStreamIsReadAsItComesAndEndsWithAReply) {
  FakeCall call("\xff");  // there is no request to parse
  auto& log = call.stream().log;
  log.open = true;
  log.elements = {Wire("a")};
  Call(kUp, call);
  EXPECT_EQ(call.answers, 0);
  log.elements = {Wire("b"), Wire("c")};
  log.RunReader();
  EXPECT_EQ(call.answers, 0);
  log.open = false;
  log.RunReader();
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.answers_without_reply, 0);
  EXPECT_EQ(call.reply_bytes, Wire("abc"));
}

TEST_F(CoServiceTest, AServerStreamIsWrittenWhileThereIsRoomAndEndsWithoutAReply) {
  FakeCall call(Wire("hello"));
  auto& log = call.stream().log;
  log.full = true;
  co_.status = absl::DataLossError("half of it");
  Call(kDown, call);
  EXPECT_THAT(log.calls, ElementsAre("wait"));
  log.full = false;
  log.RunWriter();
  EXPECT_THAT(log.calls, ElementsAre("wait", "Write " + Wire("hello"), "Write " + Wire("hello")));
  EXPECT_TRUE(co_.could_write);
  EXPECT_EQ(call.answers_without_reply, 1);
  EXPECT_EQ(call.answer, co_.status);
}

TEST_F(CoServiceTest, ABidirectionalStreamIsReadAndWrittenAndEndsWithoutAReply) {
  FakeCall call("\xff");
  auto& log = call.stream().log;
  log.elements = {Wire("a"), Wire("b")};
  Call(kChat, call);
  EXPECT_THAT(log.calls, ElementsAre("Read", "Write " + Wire("a"), "Read", "Write " + Wire("b"), "Read"));
  EXPECT_EQ(call.answers_without_reply, 1);
  EXPECT_EQ(call.deferred, 0);
}

TEST_F(CoServiceTest, AHandlerHearsThatItCannotWrite) {
  FakeCall call(Wire("hello"));
  call.stream().log.may_write = false;
  co_.could_write = true;
  Call(kDown, call);
  EXPECT_FALSE(co_.could_write);
}

TEST_F(CoServiceTest, AnswersUnimplementedForWhatIsNotOverridden) {
  demo::streams::Streams::CoService none;
  demo::one_way::Journal::CoService one_way;
  for (Service* service : std::vector<Service*>{&none, &one_way}) {
    for (const internal::ServerMethod& method : service->GetServiceInfo().methods) {
      FakeCall call("");
      method.run(*service, call);
      EXPECT_EQ(call.answers, 1);
      EXPECT_EQ(call.answer,
                absl::UnimplementedError(std::string(method.info.full_name) + " is not implemented by this server"));
    }
  }
}

class CoJournal final : public demo::one_way::Journal::CoService {
 public:
  Task<absl::Status> Note(ServerContext&, const demo::one_way::Line& line) override {
    co_await gate;
    text = line.text();
    co_return absl::DataLossError("full");
  }

  Gate gate;
  std::string text;
};

TEST_F(CoServiceTest, AOneWayHandlerKeepsItsRequestAndEndsWithoutAReply) {
  CoJournal journal;
  FakeCall call(Wire("hello"));
  journal.GetServiceInfo().methods[0].run(journal, call);
  EXPECT_EQ(call.answers, 0);
  journal.gate.Open();
  EXPECT_EQ(journal.text, "hello");
  EXPECT_EQ(call.answers_without_reply, 1);
  EXPECT_EQ(call.answer, absl::DataLossError("full"));
}

}  // namespace
}  // namespace nearcall
