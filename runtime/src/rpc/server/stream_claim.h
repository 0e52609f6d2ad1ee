// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "base/quota.h"

namespace nearcall::rpc {

struct Request;
struct ServerCore;

// What a server has set aside for one open stream: one of those that may hold threads, and the bytes by which its
// client may be ahead.
class StreamClaim {
 public:
  // `core` outlives it.
  explicit StreamClaim(ServerCore& core) : core_(core) {}
  StreamClaim(const StreamClaim&) = delete;
  StreamClaim& operator=(const StreamClaim&) = delete;
  ~StreamClaim();

  // Once. RESOURCE_EXHAUSTED: there is not so much; the call is then answered with that.
  absl::Status Take(const Request& request);

 private:
  absl::Status TakeOne();

  ServerCore& core_;
  bool counted_ = false;
  base::Charge window_;
};

}  // namespace nearcall::rpc
