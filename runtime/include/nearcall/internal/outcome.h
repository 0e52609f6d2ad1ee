// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "nearcall/export.h"

namespace google::protobuf {
class MessageLite;
}

// Used by generated code; not for programs to use by hand.
namespace nearcall::internal {

// How an asynchronous call has ended, before the reply is parsed.
class NEARCALL_EXPORT Outcome {
 public:
  Outcome(const Outcome&) = delete;
  Outcome& operator=(const Outcome&) = delete;

  // Once. `reply` is filled only if the status is OK.
  virtual absl::Status Take(google::protobuf::MessageLite& reply) = 0;

 protected:
  Outcome() = default;
  ~Outcome() = default;
};

using OnOutcome = absl::AnyInvocable<void(Outcome&) &&>;

}  // namespace nearcall::internal
