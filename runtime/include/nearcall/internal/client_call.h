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

// Used by generated code; not for programs to use by hand.
namespace nearcall::internal {

// A call of any kind of which no thread waits, seen from its caller. Nothing here blocks. Ends with CANCELLED, unless
// it has ended, when it is destroyed.
//
// Operations are run on the channel's thread, or by its executor, under no lock; never within the call that leaves one
// here, and never within Cancel().
//
// Threads: one that reads (TryRead, TryInitialMetadata, TryFinish, WhenReadable), and one that writes (TryWrite,
// WritesDone, WhenWritable), at a time; Cancel by any.
class NEARCALL_EXPORT ClientCall {
 public:
  ClientCall(const ClientCall&) = delete;
  ClientCall& operator=(const ClientCall&) = delete;
  virtual ~ClientCall() = default;

  // --- who reads ---

  // The next element. kOver: there are no more; TryFinish() says why.
  virtual Tried TryRead(google::protobuf::MessageLite& element) = 0;
  // The descriptors of the element that was read last.
  virtual std::vector<UniqueFd> TakeDescriptors() = 0;
  // Until the next one is read.
  virtual const std::vector<Buffer>& attachments() const = 0;
  // Whether the server's initial metadata have come. kOver: the call has ended without them.
  virtual Tried TryInitialMetadata() = 0;
  // How the call has ended; half-closes, and discards what has come and was not read. `reply` is null where the server
  // streams. Never kOver; repeated it gives the status again, and no reply.
  virtual Tried TryFinish(google::protobuf::MessageLite* reply, absl::Status& status) = 0;
  // True: `operation` will be run, once, when one of these three is worth another try. False: it is now.
  virtual bool WhenReadable(Operation& operation) = 0;

  // --- who writes ---

  // kOver: the call has ended, or nothing may be written any more. `last`: half-closes with this element.
  virtual Tried TryWrite(const google::protobuf::MessageLite& element, bool last) = 0;
  // What goes with the next TryWrite(), until that returns.
  virtual void Lend(std::span<const int> descriptors) = 0;
  // Goes with the next element, beside others.
  virtual void Attach(Buffer buffer) = 0;
  // False: as kOver above.
  virtual bool WritesDone() = 0;
  virtual bool WhenWritable(Operation& operation) = 0;

  // --- both ---

  // `operation` is not run any more, unless another thread has begun to. For who destroys what waits.
  virtual void Withdraw(Operation& operation) = 0;

  // Ends the call, unless it has ended. Whoever waits hears of it.
  virtual void Cancel() = 0;

  // As of the streams of threads: see nearcall/stream.h.
  virtual const ResponseMetadata& metadata() const = 0;

 protected:
  ClientCall() = default;
};

}  // namespace nearcall::internal
