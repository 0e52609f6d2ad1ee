// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "nearcall/buffer.h"
#include "nearcall/call_options.h"
#include "nearcall/export.h"
#include "nearcall/internal/operation.h"
#include "nearcall/unique_fd.h"

namespace google::protobuf {
class MessageLite;
}

// A stream without its types. Used by generated code; not for programs to use by hand.
namespace nearcall::internal {

// A streaming call, seen from its caller. Ends with CANCELLED, unless it has ended, when it is destroyed.
//
// Threads: one in Read, Finish and WaitForInitialMetadata, one in Write and WritesDone; Cancel by any.
class NEARCALL_EXPORT ClientStream {
 public:
  ClientStream(const ClientStream&) = delete;
  ClientStream& operator=(const ClientStream&) = delete;
  virtual ~ClientStream() = default;

  virtual bool Read(google::protobuf::MessageLite& message) = 0;
  // Of the element that was read last.
  virtual std::vector<UniqueFd> TakeDescriptors() = 0;
  // Until the next one is read.
  virtual const std::vector<Buffer>& attachments() const = 0;

  // What goes with the next Write(), until that returns.
  virtual void Lend(std::span<const int> descriptors) = 0;
  // Goes with the next element, beside others.
  virtual void Attach(Buffer buffer) = 0;
  // `last`: half-closes with this element.
  virtual bool Write(const google::protobuf::MessageLite& message, bool last) = 0;
  virtual bool WritesDone() = 0;

  // `reply`: of a method whose client streams and whose server does not; else null.
  virtual absl::Status Finish(google::protobuf::MessageLite* reply) = 0;
  virtual void Cancel() = 0;

  virtual bool WaitForInitialMetadata() = 0;
  virtual const ResponseMetadata& metadata() const = 0;

 protected:
  ClientStream() = default;
};

// The same, seen from the handler. Lives until the call is answered.
//
// Read and Write wait. The others do not, and are for handlers that are coroutines: an operation that is left here is a
// turn in the call's lane, as a new call is, and is run once, on a thread that runs handlers, with a place among them;
// never within the call that leaves it here.
class NEARCALL_EXPORT ServerStream {
 public:
  ServerStream(const ServerStream&) = delete;
  ServerStream& operator=(const ServerStream&) = delete;

  virtual bool Read(google::protobuf::MessageLite& message) = 0;
  virtual bool Write(const google::protobuf::MessageLite& message) = 0;

  // As of ClientStream, for TryRead() and TryWrite() too.
  virtual std::vector<UniqueFd> TakeDescriptors() = 0;
  virtual const std::vector<Buffer>& attachments() const = 0;
  virtual void Lend(std::span<const int> descriptors) = 0;
  virtual void Attach(Buffer buffer) = 0;

  // kOver: what Read() and Write() call false.
  virtual Tried TryRead(google::protobuf::MessageLite& message) = 0;
  virtual Tried TryWrite(const google::protobuf::MessageLite& message) = 0;
  // True: `operation` will be run when it is worth while to try again. False: it is now.
  virtual bool WhenReadable(Operation& operation) = 0;
  virtual bool WhenWritable(Operation& operation) = 0;
  // `operation` is not run any more, unless another thread has begun to. For who destroys what waits.
  virtual void Withdraw(Operation& operation) = 0;

  // --- news of the program's own for who serves the stream, where only the server streams ---

  // There is some. By any thread, as long as the stream is not answered. (Where the client streams, that there is some
  // means to who reads that no further element is waited for.)
  virtual void TellNews() = 0;
  // kDone: some has been told since the last time. kOver: nobody waits for the answer any more.
  virtual Tried TryNews() = 0;
  // Waits until TryNews() has an answer. False: kOver.
  virtual bool WaitForNews() = 0;
  // As WhenReadable().
  virtual bool WhenNews(Operation& operation) = 0;

 protected:
  ServerStream() = default;
  ~ServerStream() = default;
};

}  // namespace nearcall::internal
