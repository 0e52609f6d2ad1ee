// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/log.h"
#include "nearcall/call_options.h"
#include "nearcall/interceptor.h"
#include "nearcall/internal/method.h"
#include "rpc/interception.h"
#include "rpc/message_count.h"

namespace nearcall::rpc {

// A channel's, kept by its calls, some of which outlive it.
struct ClientInterceptors {
  std::vector<std::shared_ptr<ClientInterceptor>> all;
  std::shared_ptr<base::Logger> logger;
};

// A client's call as its interceptors see it: its options, which are theirs to change, and its end, of which they hear
// once. Part of what its caller has of the call. Used by who reads, but for Sent().
class ClientInterception {
 public:
  using All = std::shared_ptr<const ClientInterceptors>;

  ClientInterception(All interceptors, const internal::MethodInfo& method, const CallOptions& options);
  // Tells the end of a call that has none: it was dropped.
  ~ClientInterception();

  // Asks them, once, first. Not OK: the call is refused, they have heard of that, and who makes it all the same does
  // not send it.
  const absl::Status& Start();
  const absl::Status& refusal() const { return refusal_; }

  const internal::MethodInfo& method() const { return method_; }
  // As they have left them.
  CallOptions& options() { return options_; }

  // An element.
  void Sent() { sent_.Add(); }
  void Received() { received_.Add(); }

  // Nothing, if it has been told.
  void End(const absl::Status& status, const ResponseMetadata& metadata);
  bool ended() const { return ended_; }

 private:
  Interception::Messages MessagesOf(const absl::Status& status) const;

  const All interceptors_;
  const std::shared_ptr<const void> keep_method_;
  const internal::MethodInfo& method_;
  CallOptions options_;
  Interception interception_;
  absl::Status refusal_;
  MessageCount sent_;
  MessageCount received_;
  bool ended_ = false;
};

}  // namespace nearcall::rpc
