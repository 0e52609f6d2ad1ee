// SPDX-License-Identifier: Apache-2.0

// How a server ends that has an event queue and no threads.
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "child.h"
#include "co_service.h"
#include "driven_server.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class EventQueueEndTest : public IntegrationTest {
 protected:
  std::unique_ptr<Server> Serve(std::vector<Service*> services, absl::string_view address = Address()) {
    ServerBuilder builder({.expected_clients = 48, .log_sink = log.sink(), .event_queue = &queue});
    builder.Listen(address);
    for (Service* service : services) builder.Register(service);
    return Must(builder.Start());
  }

  // Chats that count how they end, and one of them.
  std::unique_ptr<ClientReaderWriter<Blob, Blob>> OpenChat(absl::string_view address = Address()) {
    auto chat = Streams::Stub(Connect({}, address)).Chat();
    Blob reply;
    EXPECT_TRUE(chat->Write(Element(1, 10)) && chat->Read(&reply));
    return chat;
  }
  void CountEnds() {
    streams.chat = [this](ServerContext& context, CoChatStream& stream) -> Task<absl::Status> {
      Blob element;
      while (co_await stream.Read(&element)) co_await stream.Write(element);
      (context.IsCancelled() ? cancelled : ended).Add();
      co_return absl::OkStatus();
    };
  }

  EventQueue queue;
  CoStreamService streams;
  Counter ended;
  Counter cancelled;
};

TEST_F(EventQueueEndTest, WaitRunsTheQueueUntilAllHasEnded) {
  CountEnds();
  const auto server = Serve({&echo, &streams});
  std::thread client([&] {
    const auto chat = OpenChat();
    server->Shutdown(kLong);
    Blob reply;
    EXPECT_TRUE(chat->Write(Element(2, 10)) && chat->Read(&reply)) << "within the grace";
    EXPECT_TRUE(chat->WritesDone());
    EXPECT_TRUE(chat->Finish().ok());
  });
  server->Wait();
  client.join();
  EXPECT_EQ(ended.value(), 1u);
}

TEST_F(EventQueueEndTest, AfterTheGraceTheRestIsCancelled) {
  CountEnds();
  const auto server = Serve({&streams});
  std::thread client([&] {
    const auto chat = OpenChat();
    Blob reply;
    server->Shutdown(absl::Milliseconds(50));
    EXPECT_FALSE(chat->Read(&reply));
    EXPECT_EQ(chat->Finish().code(), StatusCode::kUnavailable);
  });
  server->Wait();
  client.join();
  EXPECT_EQ(cancelled.value(), 1u);
}

TEST_F(EventQueueEndTest, AnAnswerOfAnotherThreadEndsTheWait) {
  class Deferring final : public Echo::AsyncService {
   public:
    void Say(ServerContext&, const Blob&, Blob&, absl::AnyInvocable<void(absl::Status) &&> done) override {
      kept = std::move(done);
      began.Set();
    }
    absl::AnyInvocable<void(absl::Status) &&> kept;
    Event began;
  } service;
  auto server = Serve({&service});
  std::thread client([&] {
    Pending call = SayAsync(ConnectStub(), "x");
    service.began.Wait();
    server->Shutdown();
    EXPECT_EQ(call.get().status().code(), StatusCode::kUnavailable);
    std::move(service.kept)(absl::OkStatus());
  });
  server->Wait();
  client.join();
}

TEST_F(EventQueueEndTest, TheDestructorRunsWhatIsToEnd) {
  CountEnds();
  auto server = Serve({&streams});
  std::unique_ptr<ClientReaderWriter<Blob, Blob>> chat;
  {
    const QueueThread thread(queue);
    chat = OpenChat();
  }
  server.reset();
  EXPECT_EQ(cancelled.value(), 1u);
  EXPECT_EQ(chat->Finish().code(), StatusCode::kUnavailable);
}

TEST_F(EventQueueEndTest, OneThatIsNotServingIsDestroyedInRun) {
  CountEnds();
  auto other = Serve({&streams}, Address("other"));
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    other.reset();
    EXPECT_EQ(cancelled.value(), 1u) << "its handlers have ended";
    return EchoBack(context, request, reply);
  };
  const auto server = Serve({&echo});
  const QueueThread thread(queue);
  const auto chat = OpenChat(Address("other"));
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
  EXPECT_EQ(chat->Finish().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("")).ok()) << "the queue goes on";
}

TEST_F(EventQueueEndTest, WaitInRunIsRefused) {
  std::unique_ptr<Server> other;
  echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
    other->Wait();
    return EchoBack(context, request, reply);
  };
  other = Serve({&streams}, Address("other"));
  const auto server = Serve({&echo});
  const QueueThread thread(queue);
  EXPECT_TRUE(ConnectStub().Say(MakeBlob("")).ok());
  EXPECT_TRUE(Eventually([this] { return log.Has("Server::Wait in EventQueue::Run()"); }));
}

// In a process of its own, for the server is left in memory.
TEST_F(EventQueueEndTest, AHandlerThatDestroysItsServerIsTold) {
  Child child([this](Link& parent) {
    std::unique_ptr<Server> server;
    echo.say = [&](ServerContext& context, const Blob& request, Blob& reply) {
      server.reset();
      return EchoBack(context, request, reply);
    };
    EventQueue own;
    server =
        Must(ServerBuilder({.log_sink = log.sink(), .event_queue = &own}).Listen(Address()).Register(&echo).Start());
    parent.Tell();
    const QueueThread thread(own);
    parent.Await();
    EXPECT_TRUE(log.Has("is destroyed by one of its own handlers"));
  });
  child.link().Await();
  const Echo::Stub stub = ConnectStub();
  EXPECT_TRUE(stub.Say(MakeBlob("")).ok()) << "its own call";
  EXPECT_EQ(stub.Say(MakeBlob("")).status().code(), StatusCode::kUnavailable);
  child.link().Tell();
  EXPECT_EQ(child.Join(), 0);
}

}  // namespace
}  // namespace nearcall::integration
