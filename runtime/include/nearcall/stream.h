// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nearcall/buffer.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/in_place.h"
#include "nearcall/internal/stream.h"
#include "nearcall/unique_fd.h"

// Streams: calls that carry any number of messages (elements), in one direction or in both.
//
// A client's stream object is what the stub returns. It is never null: a call that could not be made ends at once, and
// Finish() says why. It keeps its channel alive. To destroy it before the call has ended cancels the call. A server's
// is what its handler gets, and ends with the handler.
//
//   auto lines = log.Tail(request);
//   for (const demo::Line& line : *lines) Print(line);
//   absl::Status status = lines->Finish();
//
//   auto upload = store.Put(options);
//   while (Next(chunk) && upload->Write(chunk)) continue;
//   absl::StatusOr<demo::Receipt> receipt = upload->Finish();
//
// Elements arrive in order, whole, each once. A writer is ahead of its reader by a window of bytes at most (each side
// says how large in its hello: ServerOptions::stream_window_bytes, ChannelOptions::stream_window_bytes) and one
// element; then Write() waits. So a slow reader stops its own writer and nobody else.
//
// Threads: one that reads (Read, Finish, WaitForInitialMetadata, metadata) and one that writes (Write, WriteLast,
// WritesDone) at a time, which may be the same or different ones; Cancel by any. A second reader or writer ends the
// process (a CHECK).
//
// Descriptors may go with elements, as with requests (CallOptions::descriptors says how many, to whom, and of which
// methods): a writer lends them for as long as Write() takes, a reader takes those of the element that it has read
// last, before it reads the next one. What is not taken is closed.
//
// So may memory that is not copied (nearcall/buffer.h): a writer attaches it before he writes the element, a reader has
// it until he reads the next one, or as long as he keeps the Buffer. It counts for the window as bytes of the element
// do, so nobody is further ahead of his reader than one element that is larger.
//
//   frames.Attach(pixels);
//   if (!frames.Write(description)) ...
//   while (frames.Read(&description)) Show(description, frames.attachments()[0].bytes());
//
// How a call ends is what comes first: the server's status, the deadline, a cancel, the loss of the connection. What
// had come before the status, or before the loss, can still be read; after a cancel or the deadline Read() is false at
// once. As in gRPC (https://grpc.io/docs/what-is-grpc/core-concepts/#rpc-life-cycle), a server may end the call before
// the client has sent all: Write() is false then. A call that a server which goes away has not started is made again by
// the channel, within its deadline, if no element and no half-close was sent, and its request is at most 256 KiB.
namespace nearcall {

template <typename T>
class Topic;

namespace internal {

// Where a range-based for stands in a stream. Ends where Read() is false.
template <typename Reader, typename Message>
class StreamIterator {
 public:
  using value_type = Message;
  using difference_type = std::ptrdiff_t;

  explicit StreamIterator(Reader& reader) : reader_(&reader) { ++*this; }

  const Message& operator*() const { return message_; }
  const Message* operator->() const { return &message_; }
  StreamIterator& operator++() {
    over_ = !reader_->Read(&message_);
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const StreamIterator& iterator, std::default_sentinel_t) { return iterator.over_; }

 private:
  Reader* reader_;
  Message message_;
  bool over_ = false;
};

// What all streams of a client have.
class ClientStreamBase {
 public:
  // Ends the call with CANCELLED, unless it has ended. Harmless afterwards.
  void Cancel() { stream_->Cancel(); }

  // Waits until the server's initial metadata have come, with its first element or its status: metadata().initial holds
  // them then. False: the call has ended without them.
  bool WaitForInitialMetadata() { return stream_->WaitForInitialMetadata(); }

  // `initial` after WaitForInitialMetadata() or the first Read(), `trailing` after Finish(). (The option
  // CallOptions::response_metadata is not used by streams.)
  const ResponseMetadata& metadata() const { return stream_->metadata(); }

 protected:
  // `channel` is kept.
  ClientStreamBase(std::shared_ptr<void> channel, std::unique_ptr<ClientStream> stream)
      : channel_(std::move(channel)), stream_(std::move(stream)) {}
  ~ClientStreamBase() = default;
  ClientStreamBase(const ClientStreamBase&) = delete;
  ClientStreamBase& operator=(const ClientStreamBase&) = delete;

  ClientStream& stream() { return *stream_; }

 private:
  std::shared_ptr<void> channel_;  // outlives the other
  std::unique_ptr<ClientStream> stream_;
};

}  // namespace internal

// A call in which the server sends elements.
template <typename Reply>
class ClientReader final : public internal::ClientStreamBase {
 public:
  ClientReader(std::shared_ptr<void> channel, std::unique_ptr<internal::ClientStream> stream)
      : ClientStreamBase(std::move(channel), std::move(stream)) {}

  // Waits for the next element. False: there are no more; Finish() says why.
  bool Read(Reply* reply) { return stream().Read(*reply); }
  // The descriptors that came with the element that was read last; once.
  std::vector<UniqueFd> TakeDescriptors() { return stream().TakeDescriptors(); }
  // The memory that came with it; until the next one is read.
  const std::vector<Buffer>& attachments() { return stream().attachments(); }

  // The elements that are left, as a range.
  internal::StreamIterator<ClientReader, Reply> begin() { return internal::StreamIterator<ClientReader, Reply>(*this); }
  std::default_sentinel_t end() const { return std::default_sentinel; }

  // How the call has ended. Discards what has not been read, and waits for the status, or the deadline. (To stop early:
  // Cancel() first.) May be repeated.
  absl::Status Finish() { return stream().Finish(nullptr); }
};

// A call in which the client sends elements, and the server one reply.
template <typename Request, typename Reply>
class ClientWriter final : public internal::ClientStreamBase {
 public:
  ClientWriter(std::shared_ptr<void> channel, std::unique_ptr<internal::ClientStream> stream)
      : ClientStreamBase(std::move(channel), std::move(stream)) {}

  // Waits until the element has been handed to the transport: for room, and while the server does not read (see
  // CallOptions::when_full). False: the call has ended, or nothing may be written any more; Finish() says why.
  bool Write(const Request& request) { return stream().Write(request, false); }
  bool Write(const Request& request, std::span<const int> fds) {
    stream().Lend(fds);
    return stream().Write(request, false);
  }
  // Goes with the next element, beside others (at most 16), and is sealed by that. What cannot be sent ends the call
  // (see CallOptions::attachments).
  void Attach(Buffer buffer) { stream().Attach(std::move(buffer)); }
  // The same, and WritesDone() with it.
  bool WriteLast(const Request& request) { return stream().Write(request, true); }
  bool WriteLast(const Request& request, std::span<const int> fds) {
    stream().Lend(fds);
    return stream().Write(request, true);
  }
  // No further elements will come (half-close). False as above.
  bool WritesDone() { return stream().WritesDone(); }

  // Half-closes, if that has not been done, and waits for the reply, or the deadline. Once: the reply is moved out;
  // repeated it gives the status, and an empty reply.
  absl::StatusOr<Reply> Finish() {
    absl::StatusOr<Reply> reply(internal::kInPlace);
    google::protobuf::MessageLite& message = *reply;
    absl::Status status = stream().Finish(&message);
    if (!status.ok()) reply = std::move(status);
    return reply;
  }
};

// A call in which both sides send elements, independently of each other.
template <typename Request, typename Reply>
class ClientReaderWriter final : public internal::ClientStreamBase {
 public:
  ClientReaderWriter(std::shared_ptr<void> channel, std::unique_ptr<internal::ClientStream> stream)
      : ClientStreamBase(std::move(channel), std::move(stream)) {}

  // See ClientReader.
  bool Read(Reply* reply) { return stream().Read(*reply); }
  std::vector<UniqueFd> TakeDescriptors() { return stream().TakeDescriptors(); }
  const std::vector<Buffer>& attachments() { return stream().attachments(); }
  internal::StreamIterator<ClientReaderWriter, Reply> begin() {
    return internal::StreamIterator<ClientReaderWriter, Reply>(*this);
  }
  std::default_sentinel_t end() const { return std::default_sentinel; }

  // See ClientWriter.
  void Attach(Buffer buffer) { stream().Attach(std::move(buffer)); }
  bool Write(const Request& request) { return stream().Write(request, false); }
  bool Write(const Request& request, std::span<const int> fds) {
    stream().Lend(fds);
    return stream().Write(request, false);
  }
  bool WriteLast(const Request& request) { return stream().Write(request, true); }
  bool WriteLast(const Request& request, std::span<const int> fds) {
    stream().Lend(fds);
    return stream().Write(request, true);
  }
  bool WritesDone() { return stream().WritesDone(); }

  // Half-closes, if that has not been done; then as ClientReader's.
  absl::Status Finish() { return stream().Finish(nullptr); }
};

// What the handler of a method gets whose client streams.
template <typename Request>
class ServerReader final {
 public:
  explicit ServerReader(internal::ServerStream& stream) : stream_(stream) {}
  ServerReader(const ServerReader&) = delete;
  ServerReader& operator=(const ServerReader&) = delete;

  // Waits for the next element. False: the client sends no more (half-close), or nobody waits for the answer any more:
  // ask ServerContext::IsCancelled().
  bool Read(Request* request) { return stream_.Read(*request); }
  // What came with the element that was read last: the descriptors, once, and the memory, until the next one is read.
  std::vector<UniqueFd> TakeDescriptors() { return stream_.TakeDescriptors(); }
  const std::vector<Buffer>& attachments() { return stream_.attachments(); }

  // Reads find what has come, and then nothing, as after the client's half-close: for a handler that has its answer
  // while another thread of it waits for the client. By any thread, before the handler has ended.
  void StopReading() { stream_.TellNews(); }

  internal::StreamIterator<ServerReader, Request> begin() {
    return internal::StreamIterator<ServerReader, Request>(*this);
  }
  std::default_sentinel_t end() const { return std::default_sentinel; }

 private:
  internal::ServerStream& stream_;
};

// What the handler of a method gets whose server streams.
template <typename Reply>
class ServerWriter final {
 public:
  explicit ServerWriter(internal::ServerStream& stream) : stream_(stream) {}
  ServerWriter(const ServerWriter&) = delete;
  ServerWriter& operator=(const ServerWriter&) = delete;

  // Waits while the client does not read. False: nobody waits for the answer any more, or the element cannot be sent
  // (it is too large), and the call ends with that.
  void Attach(Buffer buffer) { stream_.Attach(std::move(buffer)); }  // goes with the next element; see ClientWriter
  bool Write(const Reply& reply) { return stream_.Write(reply); }
  bool Write(const Reply& reply, std::span<const int> fds) {
    stream_.Lend(fds);
    return stream_.Write(reply);
  }

 private:
  friend class Topic<Reply>;

  internal::ServerStream& stream_;
};

// What the handler of a method gets in which both sides stream. The client may half-close long before the handler is
// done, or never.
template <typename Request, typename Reply>
class ServerReaderWriter final {
 public:
  explicit ServerReaderWriter(internal::ServerStream& stream) : stream_(stream) {}
  ServerReaderWriter(const ServerReaderWriter&) = delete;
  ServerReaderWriter& operator=(const ServerReaderWriter&) = delete;

  // See ServerReader.
  bool Read(Request* request) { return stream_.Read(*request); }
  std::vector<UniqueFd> TakeDescriptors() { return stream_.TakeDescriptors(); }
  const std::vector<Buffer>& attachments() { return stream_.attachments(); }
  void StopReading() { stream_.TellNews(); }
  internal::StreamIterator<ServerReaderWriter, Request> begin() {
    return internal::StreamIterator<ServerReaderWriter, Request>(*this);
  }
  std::default_sentinel_t end() const { return std::default_sentinel; }

  // See ServerWriter.
  void Attach(Buffer buffer) { stream_.Attach(std::move(buffer)); }
  bool Write(const Reply& reply) { return stream_.Write(reply); }
  bool Write(const Reply& reply, std::span<const int> fds) {
    stream_.Lend(fds);
    return stream_.Write(reply);
  }

 private:
  internal::ServerStream& stream_;
};

}  // namespace nearcall
