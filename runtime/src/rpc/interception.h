// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/log.h"
#include "nearcall/interceptor.h"
#include "nearcall/internal/method.h"
#include "nearcall/metadata.h"

namespace nearcall::rpc {

// The interceptors of one call on one side: those that have been asked are told its end. Used by one thread at a time,
// under no lock; runs the user's code.
class Interception {
 public:
  // `method` and `logger` outlive it.
  Interception(const char* method, internal::MethodKind kind, base::Logger& logger)
      : call_{.method = method, .kind = static_cast<CallKind>(kind)}, logger_(logger) {}
  Interception(const Interception&) = delete;
  Interception& operator=(const Interception&) = delete;

  const CallInfo& call() const { return call_; }

  // start(0), start(1), ..., start(count - 1), until one refuses, with whose error this ends; UNKNOWN: it has thrown.
  absl::Status Ask(size_t count, absl::FunctionRef<absl::StatusOr<OnCallEnd>(size_t i)> start);

  struct Messages {
    uint64_t sent;
    uint64_t received;
  };
  // Those that have been asked, the last one first. Does nothing the second time, and in a child of fork(2), where the
  // call is not.
  void Tell(const absl::Status& status, const Messages& messages, const Metadata& initial, const Metadata& trailing);

 private:
  absl::StatusOr<OnCallEnd> AskOne(size_t i, absl::FunctionRef<absl::StatusOr<OnCallEnd>(size_t i)> start) const;
  void TellOne(const CallEnd& end);
  void Log(absl::string_view what) const;

  const CallInfo call_;
  base::Logger& logger_;
  const base::SteadyNs started_ = base::NowNs();
  const base::ForkGuard fork_guard_;
  std::vector<OnCallEnd> ends_;  // of those that want to hear of it
};

}  // namespace nearcall::rpc
