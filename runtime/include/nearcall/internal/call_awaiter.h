// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nearcall/internal/client_call.h"
#include "nearcall/internal/continuation.h"
#include "nearcall/internal/in_place.h"
#include "nearcall/internal/operation.h"
#include "nearcall/internal/stream.h"

// What coroutines await of calls. Used by nearcall/co_stream.h; not for programs to use by hand.
namespace nearcall::internal {

// One side of a call, that which reads or that which writes: whether a coroutine waits there.
class CallSide {
 public:
  CallSide() = default;
  CallSide(CallSide&& other) noexcept { other.RequireFree(); }
  ~CallSide() { Require(!awaited_, "a call or a stream outlives what is awaited of it"); }

  void RequireFree() const noexcept {
    Require(!awaited_, "one coroutine at a time reads from a stream, and one writes to it");
  }

  // By the awaiter.
  void Enter() noexcept { awaited_ = true; }
  void Leave() noexcept { awaited_ = false; }

 private:
  bool awaited_ = false;
};

// Tries, and is the operation that is run when it is worth while to try again. `Derived` has `Tried Try(Call&)`.
template <typename Derived, typename Call, bool (Call::*kWhen)(Operation&)>
class CallAwaiter : private Operation {
 public:
  bool await_ready() {
    side_.RequireFree();
    return HasAnswer();
  }
  // SUBTLE: not inline; see TaskAwaiter.
  [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> caller) {
    caller_ = caller;
    side_.Enter();
    if (Waits()) return true;
    Leave();
    return false;
  }

 protected:
  CallAwaiter(Call& call, CallSide& side) : Operation(&LookAgain), call_(call), side_(side) {}
  // A coroutine that is destroyed does not wait any more.
  ~CallAwaiter() {
    if (!caller_) return;
    call_.Withdraw(*this);
    Leave();
  }

  bool done() const { return tried_ == Tried::kDone; }

 private:
  bool HasAnswer() {
    tried_ = static_cast<Derived&>(*this).Try(call_);
    return tried_ != Tried::kNotYet;
  }

  // True: the operation is left with the call, and has perhaps been run already, and this is gone. False: there is an
  // answer.
  bool Waits() {
    do {
      if ((call_.*kWhen)(*this)) return true;
    } while (!HasAnswer());
    return false;
  }

  std::coroutine_handle<> Leave() {
    side_.Leave();
    return std::exchange(caller_, nullptr);
  }

  static void LookAgain(Operation& operation) {
    CallAwaiter& self = static_cast<CallAwaiter&>(operation);
    if (!self.HasAnswer() && self.Waits()) return;
    Resume(self.Leave());
  }

  Call& call_;
  CallSide& side_;
  std::coroutine_handle<> caller_;  // while it is suspended
  Tried tried_ = Tried::kNotYet;
};

// Whether there was an element, which is in `message` then.
template <typename Call>
class ReadAwaiter final : public CallAwaiter<ReadAwaiter<Call>, Call, &Call::WhenReadable> {
 public:
  ReadAwaiter(Call& call, CallSide& side, google::protobuf::MessageLite& message)
      : CallAwaiter<ReadAwaiter, Call, &Call::WhenReadable>(call, side), message_(message) {}

  Tried Try(Call& call) { return call.TryRead(message_); }
  bool await_resume() const { return this->done(); }

 private:
  google::protobuf::MessageLite& message_;
};

// The element, if there was one.
template <typename Call, typename Message>
class NextAwaiter final : public CallAwaiter<NextAwaiter<Call, Message>, Call, &Call::WhenReadable> {
 public:
  NextAwaiter(Call& call, CallSide& side) : CallAwaiter<NextAwaiter, Call, &Call::WhenReadable>(call, side) {}

  Tried Try(Call& call) { return call.TryRead(message_); }
  std::optional<Message> await_resume() {
    std::optional<Message> next;
    if (this->done()) next = std::move(message_);
    return next;
  }

 private:
  Message message_;
};

class ClientWriteAwaiter final : public CallAwaiter<ClientWriteAwaiter, ClientCall, &ClientCall::WhenWritable> {
 public:
  ClientWriteAwaiter(ClientCall& call, CallSide& side, const google::protobuf::MessageLite& message, bool last,
                     std::span<const int> fds = {})
      : CallAwaiter(call, side), message_(message), last_(last), descriptors_(fds) {}

  Tried Try(ClientCall& call) {
    if (!descriptors_.empty()) call.Lend(descriptors_);
    return call.TryWrite(message_, last_);
  }
  bool await_resume() const { return done(); }

 private:
  const google::protobuf::MessageLite& message_;
  const bool last_;
  const std::span<const int> descriptors_;
};

class ServerWriteAwaiter final : public CallAwaiter<ServerWriteAwaiter, ServerStream, &ServerStream::WhenWritable> {
 public:
  ServerWriteAwaiter(ServerStream& stream, CallSide& side, const google::protobuf::MessageLite& message,
                     std::span<const int> fds = {})
      : CallAwaiter(stream, side), message_(message), descriptors_(fds) {}

  Tried Try(ServerStream& stream) {
    if (!descriptors_.empty()) stream.Lend(descriptors_);
    return stream.TryWrite(message_);
  }
  bool await_resume() const { return done(); }

 private:
  const google::protobuf::MessageLite& message_;
  const std::span<const int> descriptors_;
};

// Whether there was news, and not the end of the call.
class NewsAwaiter final : public CallAwaiter<NewsAwaiter, ServerStream, &ServerStream::WhenNews> {
 public:
  NewsAwaiter(ServerStream& stream, CallSide& side) : CallAwaiter(stream, side) {}

  Tried Try(ServerStream& stream) { return stream.TryNews(); }
  bool await_resume() const { return done(); }
};

class InitialMetadataAwaiter final : public CallAwaiter<InitialMetadataAwaiter, ClientCall, &ClientCall::WhenReadable> {
 public:
  InitialMetadataAwaiter(ClientCall& call, CallSide& side) : CallAwaiter(call, side) {}

  Tried Try(ClientCall& call) { return call.TryInitialMetadata(); }
  bool await_resume() const { return done(); }
};

// How a call has ended that has no reply.
class StatusAwaiter final : public CallAwaiter<StatusAwaiter, ClientCall, &ClientCall::WhenReadable> {
 public:
  StatusAwaiter(ClientCall& call, CallSide& side) : CallAwaiter(call, side) {}

  Tried Try(ClientCall& call) { return call.TryFinish(nullptr, status_); }
  absl::Status await_resume() { return std::move(status_); }

 private:
  absl::Status status_;
};

// And one that has.
template <typename Reply>
class ReplyAwaiter final : public CallAwaiter<ReplyAwaiter<Reply>, ClientCall, &ClientCall::WhenReadable> {
 public:
  ReplyAwaiter(ClientCall& call, CallSide& side)
      : CallAwaiter<ReplyAwaiter, ClientCall, &ClientCall::WhenReadable>(call, side) {}

  Tried Try(ClientCall& call) {
    google::protobuf::MessageLite& reply = *reply_;
    return call.TryFinish(&reply, status_);
  }
  absl::StatusOr<Reply> await_resume() {
    if (!status_.ok()) reply_ = std::move(status_);
    return std::move(reply_);
  }

 private:
  absl::StatusOr<Reply> reply_{kInPlace};
  absl::Status status_;
};

// What is known at once, for who awaits it all the same.
class Known final {
 public:
  explicit Known(bool value) : value_(value) {}

  bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  bool await_resume() const noexcept { return value_; }

 private:
  const bool value_;
};

}  // namespace nearcall::internal
