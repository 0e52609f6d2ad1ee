// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "echo_service.h"
#include "nearcall/service.h"
#include "stream.nearcall.pb.h"

namespace nearcall::integration {

// A coroutine that nobody waits for.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

// A read or a write of a suspended handler: true if it was done.
template <typename Message>
class Attempt final : public internal::Operation {
 public:
  using Try = internal::Tried (internal::ServerStream::*)(Message& message);
  using When = bool (internal::ServerStream::*)(internal::Operation& operation);

  Attempt(internal::ServerStream& stream, Message& message, Try attempt, When when)
      : Operation(&LookAgain), stream_(stream), message_(message), try_(attempt), when_(when) {}

  bool await_ready() { return IsOver(); }
  bool await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    return Waits();
  }
  bool await_resume() const { return tried_ == internal::Tried::kDone; }

 private:
  static void LookAgain(internal::Operation& operation) {
    auto& self = static_cast<Attempt&>(operation);
    if (self.IsOver() || !self.Waits()) self.handle_.resume();
  }

  bool IsOver() { return (tried_ = (stream_.*try_)(message_)) != internal::Tried::kNotYet; }
  // Once this is true another thread may have gone on.
  bool Waits() {
    do {
      if ((stream_.*when_)(*this)) return true;
    } while (!IsOver());
    return false;
  }

  internal::ServerStream& stream_;
  Message& message_;
  const Try try_;
  const When when_;
  std::coroutine_handle<> handle_;
  internal::Tried tried_ = internal::Tried::kNotYet;
};

// A call of the service, in the hand of its handler.
struct SuspendedCall {
  ServerContext& context;
  internal::ServerStream& stream;
  Blob request;
  std::unique_ptr<internal::PendingAnswer> answer;

  auto Read(google::protobuf::MessageLite& element) {
    return Attempt(stream, element, &internal::ServerStream::TryRead, &internal::ServerStream::WhenReadable);
  }
  auto Write(const google::protobuf::MessageLite& element) {
    return Attempt(stream, element, &internal::ServerStream::TryWrite, &internal::ServerStream::WhenWritable);
  }
};

// The service of the tests of streams once more, whose handlers are coroutines, upon what generated code stands on.
class SuspendingService final : public Service {
 public:
  using Handler = std::function<Detached(SuspendedCall call)>;

  // As those of StreamService.
  static Detached CountDown(SuspendedCall call);
  static Detached CountUp(SuspendedCall call);
  static Detached ChatBack(SuspendedCall call);

  Handler down = CountDown;
  Handler up = CountUp;
  Handler chat = ChatBack;

  SuspendingService();
  const internal::ServiceInfo& GetServiceInfo() const override { return info_; }

 private:
  template <Handler SuspendingService::*kHandler>
  static void Run(Service& service, internal::ServerCall& call);

  std::vector<internal::ServerMethod> methods_;
  internal::ServiceInfo info_;
};

}  // namespace nearcall::integration
