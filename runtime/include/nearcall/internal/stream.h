// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "nearcall/call_options.h"
#include "nearcall/export.h"

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

// The same, seen from the handler. Lives as long as the handler runs.
class NEARCALL_EXPORT ServerStream {
 public:
  ServerStream(const ServerStream&) = delete;
  ServerStream& operator=(const ServerStream&) = delete;

  virtual bool Read(google::protobuf::MessageLite& message) = 0;
  virtual bool Write(const google::protobuf::MessageLite& message) = 0;

 protected:
  ServerStream() = default;
  ~ServerStream() = default;
};

}  // namespace nearcall::internal
