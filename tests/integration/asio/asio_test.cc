// SPDX-License-Identifier: Apache-2.0

// Calls and tasks for programs of Asio: each kind of completion token, and cancellation.
#include "nearcall/asio.h"

#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#include <exception>
#include <future>
#include <memory>
#include <thread>

#include "co_service.h"
#include "stream_fixture.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class AsioTest : public IntegrationTest {
 protected:
  AsioTest() {
    server_ =
        Must(ServerBuilder({.log_sink = log.sink()}).Listen(Address()).Register(&co_echo_).Register(&streams_).Start());
  }

  // Runs the loop until `body` has ended, and all that it waits for.
  template <typename Body>
  void Run(Body body) {
    asio::co_spawn(loop_, std::move(body), [](const std::exception_ptr& thrown) { EXPECT_FALSE(thrown); });
    loop_.run();
  }
  void ExpectOnLoop() { EXPECT_EQ(std::this_thread::get_id(), loops_thread_); }

  // Asio calls what has ended already on threads of its own, which stay.
  void SayWhenTold() {
    co_echo_.say = [this](ServerContext&, const Blob& request, Blob& reply) -> Task<absl::Status> {
      may_say.Wait();
      reply = request;
      co_return absl::OkStatus();
    };
  }

  // A Say() that waits until it is cancelled.
  void SayUntilCancelled() {
    co_echo_.say = [this](ServerContext& context, const Blob&, Blob&) -> Task<absl::Status> {
      Event cancelled;
      const std::stop_callback on_stop(context.stop_token(), [&] { cancelled.Set(); });
      began.Set();
      cancelled.Wait();
      co_return absl::OkStatus();
    };
  }

  static Task<absl::Status> Talk(CoReaderWriter<Blob, Blob> chat) {
    for (size_t i = 0; i < 10; ++i) {
      EXPECT_TRUE(co_await chat.Write(Element(i, 100)));
      const std::optional<Blob> reply = co_await chat.Read();
      EXPECT_TRUE(reply && IsElement(*reply, i, 100));
    }
    co_return co_await chat.Finish();
  }

  CoEchoService co_echo_;
  CoStreamService streams_;
  std::unique_ptr<Server> server_;
  Event began;
  Event may_say;
  asio::io_context loop_;
  const std::thread::id loops_thread_ = std::this_thread::get_id();
};

TEST_F(AsioTest, ACoroutineOfAsiosAwaitsCallsAndGoesOnInItsLoop) {
  const Echo::CoStub stub(Connect());
  int count = 0;
  Run([&]() -> asio::awaitable<void> {
    for (; count < 100; ++count) {
      const absl::StatusOr<Blob> reply = co_await Await(stub.Say(Element(1, 100)), asio::use_awaitable);
      EXPECT_TRUE(reply.ok() && IsElement(*reply, 1, 100)) << reply.status();
      ExpectOnLoop();
    }
  });
  EXPECT_EQ(count, 100);
}

TEST_F(AsioTest, AnErrorIsAnAnswer) {
  const Echo::CoStub stub(Connect());
  Run([&]() -> asio::awaitable<void> {
    const absl::StatusOr<Blob> reply = co_await Await(stub.Low(Blob()), asio::use_awaitable);
    EXPECT_EQ(reply.status().code(), StatusCode::kUnimplemented);
  });
}

TEST_F(AsioTest, AFutureNeedsNoLoop) {
  SayWhenTold();
  const Echo::CoStub stub(Connect());
  std::future<absl::StatusOr<Blob>> one = Await(stub.Say(Element(1, 100)), asio::use_future);
  std::future<absl::StatusOr<Blob>> other = Await(stub.Say(Element(2, 100)), asio::use_future);
  may_say.Set();
  EXPECT_TRUE(IsElement(Must(one.get()), 1, 100));
  EXPECT_TRUE(IsElement(Must(other.get()), 2, 100));
}

TEST_F(AsioTest, ACallbackIsCalledByItsExecutorForWhichThereIsWorkUntilThen) {
  const Echo::CoStub stub(Connect());
  bool called = false;
  Await(stub.Say(Element(1, 100)), asio::bind_executor(loop_, [&](absl::StatusOr<Blob> reply) {
          EXPECT_TRUE(reply.ok() && IsElement(*reply, 1, 100)) << reply.status();
          ExpectOnLoop();
          called = true;
        }));
  EXPECT_FALSE(called);
  loop_.run();
  EXPECT_TRUE(called);
}

TEST_F(AsioTest, ACallbackWithoutAnExecutorIsCalledWhereTheCallEnds) {
  SayWhenTold();
  const Echo::CoStub stub(Connect());
  Event called;
  Await(stub.Say(Blob()), [&](const absl::StatusOr<Blob>& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    EXPECT_NE(std::this_thread::get_id(), loops_thread_);
    called.Set();
  });
  may_say.Set();
  called.Wait();
}

TEST_F(AsioTest, WhatHasEndedAlreadyIsNotToldWithinAwait) {
  bool called = false;
  const auto nothing = []() -> Task<> { co_return; };
  Await(nothing(), asio::bind_executor(loop_, [&] { called = true; }));
  EXPECT_FALSE(called);
  loop_.run();
  EXPECT_TRUE(called);
}

TEST_F(AsioTest, ATaskReadsAndWritesStreams) {
  const Streams::CoStub stub(Connect());
  Run([&]() -> asio::awaitable<void> {
    const absl::Status status = co_await Await(Talk(stub.Chat()), asio::use_awaitable);
    EXPECT_TRUE(status.ok()) << status;
    ExpectOnLoop();
  });
}

TEST_F(AsioTest, TheCancellationSlotCancelsTheCall) {
  SayUntilCancelled();
  const Echo::CoStub stub(Connect());
  asio::cancellation_signal cancel;
  StatusCode code = StatusCode::kOk;
  Await(stub.Say(Blob()),
        asio::bind_cancellation_slot(cancel.slot(), asio::bind_executor(loop_, [&](const absl::StatusOr<Blob>& reply) {
                                       code = reply.status().code();
                                       EXPECT_FALSE(cancel.slot().has_handler());
                                     })));
  began.Wait();
  cancel.emit(asio::cancellation_type::terminal);
  loop_.run();
  EXPECT_EQ(code, StatusCode::kCancelled);
}

}  // namespace
}  // namespace nearcall::integration
