// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nearcall/buffer.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/call_awaiter.h"
#include "nearcall/internal/client_call.h"
#include "nearcall/internal/stream.h"
#include "nearcall/unique_fd.h"

// Calls and streams of coroutines: what a generated CoStub returns, and what the handlers of a CoService get. They are
// awaited in a nearcall::Task, or in any other coroutine that may await what it likes.
//
//   nearcall::Task<absl::Status> Talk(demo::Echo::CoStub echo) {
//     auto chat = echo.Chat();
//     for (const demo::Request& request : Questions()) {
//       if (!co_await chat.Write(request)) break;
//       const std::optional<demo::Reply> reply = co_await chat.Read();
//       if (!reply) break;
//       Print(*reply);
//     }
//     co_return co_await chat.Finish();
//   }
//
// A call begins in the method of the stub, not when it is awaited: several run at once. One that finds no room is kept,
// up to ChannelOptions::max_queued_bytes, and beyond them ends with RESOURCE_EXHAUSTED. A call that could not be made
// has ended, and says so when it is awaited, or in Finish(). To destroy the object before the call has ended cancels
// the call. It keeps its channel alive.
//
// What is awaited suspends the coroutine, if there is nothing yet, and allocates nothing. A client's goes on on its
// channel's thread or executor (see nearcall::Channel), a server's on a thread that runs handlers, with a place among
// them. Elements, ends of calls and metadata are those of the streams in nearcall/stream.h.
//
// Descriptors and attachments go with elements as in nearcall/stream.h; descriptors are lent until what writes them has
// been awaited.
//
// One coroutine that reads (Read, Finish, WaitForInitialMetadata) and one that writes (Write, WriteLast, WritesDone) at
// a time, which may be the same; Cancel by any thread. To destroy a coroutine that is suspended here is to give up
// waiting, and all right unless another thread just resumes it. A second reader or writer, and to destroy an object
// while something is awaited of it, ends the process.
namespace nearcall {

template <typename T>
class Topic;

namespace internal {

// What all calls have.
class CoCall {
 public:
  // Ends the call with CANCELLED, unless it has ended; who awaits it hears of that. Harmless afterwards.
  void Cancel() { call_->Cancel(); }

  // `initial` after WaitForInitialMetadata() or the first Read(), `trailing` after the end. (The option
  // CallOptions::response_metadata is not used by coroutines.)
  const ResponseMetadata& metadata() const { return call_->metadata(); }

  // True when the server's initial metadata have come, with its first element or its status. False: the call has ended
  // without them.
  [[nodiscard]] auto WaitForInitialMetadata() { return InitialMetadataAwaiter(*call_, reading_); }

  // To where nothing is awaited of it.
  CoCall(CoCall&&) noexcept = default;
  CoCall& operator=(CoCall&&) = delete;

 protected:
  // `channel` is kept.
  CoCall(std::shared_ptr<void> channel, std::unique_ptr<ClientCall> call)
      : channel_(std::move(channel)), call_(std::move(call)) {}
  ~CoCall() = default;

  template <typename Reply>
  auto ReadNext() {
    return NextAwaiter<ClientCall, Reply>(*call_, reading_);
  }
  auto ReadInto(google::protobuf::MessageLite& reply) { return ReadAwaiter<ClientCall>(*call_, reading_, reply); }
  auto WriteOne(const google::protobuf::MessageLite& request, bool last, std::span<const int> fds = {}) {
    return ClientWriteAwaiter(*call_, writing_, request, last, fds);
  }
  std::vector<UniqueFd> TakeThoseOfLast() { return call_->TakeDescriptors(); }
  const std::vector<Buffer>& AttachmentsOfLast() const { return call_->attachments(); }
  void AttachToNext(Buffer buffer) { call_->Attach(std::move(buffer)); }
  auto HalfClose() { return Known(call_->WritesDone()); }
  auto AwaitStatus() { return StatusAwaiter(*call_, reading_); }
  template <typename Reply>
  auto AwaitReply() {
    return ReplyAwaiter<Reply>(*call_, reading_);
  }

 private:
  std::shared_ptr<void> channel_;  // outlives the others
  std::unique_ptr<ClientCall> call_;
  CallSide reading_;
  CallSide writing_;
};

}  // namespace internal

// A call with one request and one reply. Awaited, once, it gives the reply or the error: absl::StatusOr<Reply>.
//
//   auto one = echo.Say(request);
//   auto other = echo.Say(another_request);     // both run
//   const absl::StatusOr<demo::Reply> reply = co_await one;
template <typename Reply>
class [[nodiscard]] UnaryCall final : public internal::CoCall {
 public:
  UnaryCall(std::shared_ptr<void> channel, std::unique_ptr<internal::ClientCall> call)
      : CoCall(std::move(channel), std::move(call)) {}

  auto operator co_await() {
    internal::Require(!std::exchange(awaited_, true), "a UnaryCall is awaited once");
    return this->template AwaitReply<Reply>();
  }

 private:
  bool awaited_ = false;
};

// A one-way call. Awaited, it says that the handler has started, or why not: absl::Status. To destroy it before that
// cancels it: what need not be heard of is better called by a Stub.
class [[nodiscard]] OneWayCall final : public internal::CoCall {
 public:
  OneWayCall(std::shared_ptr<void> channel, std::unique_ptr<internal::ClientCall> call)
      : CoCall(std::move(channel), std::move(call)) {}

  auto operator co_await() { return AwaitStatus(); }
};

// A call in which the server sends elements.
template <typename Reply>
class [[nodiscard]] CoReader final : public internal::CoCall {
 public:
  CoReader(std::shared_ptr<void> channel, std::unique_ptr<internal::ClientCall> call)
      : CoCall(std::move(channel), std::move(call)) {}

  // The next element: std::optional<Reply>. Nothing: there are no more; Finish() says why.
  [[nodiscard]] auto Read() { return this->template ReadNext<Reply>(); }
  // The same in `*reply`, which may be used again: bool.
  [[nodiscard]] auto Read(Reply* reply) { return ReadInto(*reply); }
  // What came with the element that was read last: the descriptors, once, and the memory, until the next one is read.
  std::vector<UniqueFd> TakeDescriptors() { return TakeThoseOfLast(); }
  const std::vector<Buffer>& attachments() const { return AttachmentsOfLast(); }

  // How the call has ended: absl::Status. Discards what has not been read. (To stop early: Cancel() first.) May be
  // repeated.
  [[nodiscard]] auto Finish() { return AwaitStatus(); }
};

// A call in which the client sends elements, and the server one reply.
template <typename Request, typename Reply>
class [[nodiscard]] CoWriter final : public internal::CoCall {
 public:
  CoWriter(std::shared_ptr<void> channel, std::unique_ptr<internal::ClientCall> call)
      : CoCall(std::move(channel), std::move(call)) {}

  // True when the element has been handed to the transport (see CallOptions::when_full). False: the call has ended, or
  // nothing may be written any more; Finish() says why. `request` is used until this has been awaited.
  [[nodiscard]] auto Write(const Request& request, std::span<const int> fds = {}) {
    return WriteOne(request, false, fds);
  }
  // Goes with the next element, beside others.
  void Attach(Buffer buffer) { AttachToNext(std::move(buffer)); }
  // The same, and WritesDone() with it.
  [[nodiscard]] auto WriteLast(const Request& request, std::span<const int> fds = {}) {
    return WriteOne(request, true, fds);
  }
  // No further elements will come (half-close). False as above. Done at once; to be awaited only for its value.
  auto WritesDone() { return HalfClose(); }

  // Half-closes, if that has not been done, and waits for the reply: absl::StatusOr<Reply>. Once: the reply is moved
  // out; repeated it gives the status, and an empty reply.
  [[nodiscard]] auto Finish() { return this->template AwaitReply<Reply>(); }
};

// A call in which both sides send elements, independently of each other.
template <typename Request, typename Reply>
class [[nodiscard]] CoReaderWriter final : public internal::CoCall {
 public:
  CoReaderWriter(std::shared_ptr<void> channel, std::unique_ptr<internal::ClientCall> call)
      : CoCall(std::move(channel), std::move(call)) {}

  // See CoReader.
  [[nodiscard]] auto Read() { return this->template ReadNext<Reply>(); }
  [[nodiscard]] auto Read(Reply* reply) { return ReadInto(*reply); }
  std::vector<UniqueFd> TakeDescriptors() { return TakeThoseOfLast(); }
  const std::vector<Buffer>& attachments() const { return AttachmentsOfLast(); }

  // See CoWriter.
  void Attach(Buffer buffer) { AttachToNext(std::move(buffer)); }
  [[nodiscard]] auto Write(const Request& request, std::span<const int> fds = {}) {
    return WriteOne(request, false, fds);
  }
  [[nodiscard]] auto WriteLast(const Request& request, std::span<const int> fds = {}) {
    return WriteOne(request, true, fds);
  }
  auto WritesDone() { return HalfClose(); }

  // Half-closes, if that has not been done; then as CoReader's.
  [[nodiscard]] auto Finish() { return AwaitStatus(); }
};

// What the handler of a method gets whose client streams.
template <typename Request>
class CoServerReader final {
 public:
  explicit CoServerReader(internal::ServerStream& stream) : stream_(stream) {}
  CoServerReader(const CoServerReader&) = delete;
  CoServerReader& operator=(const CoServerReader&) = delete;

  // The next element: std::optional<Request>. Nothing: the client sends no more (half-close), or nobody waits for the
  // answer any more: ask ServerContext::IsCancelled().
  [[nodiscard]] auto Read() { return internal::NextAwaiter<internal::ServerStream, Request>(stream_, reading_); }
  // The same in `*request`: bool.
  [[nodiscard]] auto Read(Request* request) {
    return internal::ReadAwaiter<internal::ServerStream>(stream_, reading_, *request);
  }
  // What came with the element that was read last: the descriptors, once, and the memory, until the next one is read.
  std::vector<UniqueFd> TakeDescriptors() { return stream_.TakeDescriptors(); }
  const std::vector<Buffer>& attachments() const { return stream_.attachments(); }

  // Reads find what has come, and then nothing, as after the client's half-close: for a handler that has its answer
  // while another coroutine of it waits for the client. By any thread, before the handler has ended.
  void StopReading() { stream_.TellNews(); }

 private:
  internal::ServerStream& stream_;
  internal::CallSide reading_;
};

// What the handler of a method gets whose server streams.
template <typename Reply>
class CoServerWriter final {
 public:
  explicit CoServerWriter(internal::ServerStream& stream) : stream_(stream) {}
  CoServerWriter(const CoServerWriter&) = delete;
  CoServerWriter& operator=(const CoServerWriter&) = delete;

  // True when the element has been sent; waits while the client does not read. False: nobody waits for the answer any
  // more, or the element cannot be sent (it is too large), and the call ends with that. `reply` is used until this has
  // been awaited.
  void Attach(Buffer buffer) { stream_.Attach(std::move(buffer)); }  // goes with the next element, beside others
  [[nodiscard]] auto Write(const Reply& reply, std::span<const int> fds = {}) {
    return internal::ServerWriteAwaiter(stream_, writing_, reply, fds);
  }

 private:
  friend class Topic<Reply>;

  internal::ServerStream& stream_;
  internal::CallSide writing_;
};

// What the handler of a method gets in which both sides stream. One coroutine may read and another one write.
template <typename Request, typename Reply>
class CoServerReaderWriter final {
 public:
  explicit CoServerReaderWriter(internal::ServerStream& stream) : reader_(stream), writer_(stream) {}

  // See CoServerReader.
  [[nodiscard]] auto Read() { return reader_.Read(); }
  [[nodiscard]] auto Read(Request* request) { return reader_.Read(request); }
  std::vector<UniqueFd> TakeDescriptors() { return reader_.TakeDescriptors(); }
  const std::vector<Buffer>& attachments() const { return reader_.attachments(); }
  void StopReading() { reader_.StopReading(); }

  // See CoServerWriter.
  void Attach(Buffer buffer) { writer_.Attach(std::move(buffer)); }
  [[nodiscard]] auto Write(const Reply& reply, std::span<const int> fds = {}) { return writer_.Write(reply, fds); }

 private:
  CoServerReader<Request> reader_;
  CoServerWriter<Reply> writer_;
};

}  // namespace nearcall
