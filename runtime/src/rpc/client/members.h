// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "base/mutex.h"
#include "rpc/client/connector.h"
#include "transport/address.h"

namespace nearcall::rpc {

// The servers that share a channel's name, each with the connection to it, kMaxServersOfAName at most.
//
// Thread-safe.
class Members {
 public:
  using Member = std::shared_ptr<Connector>;

  std::vector<Member> All() const;
  // In a random order: no two channels ask the same server first. Nothing secret hangs on it.
  std::vector<Member> Shuffled() const;
  std::vector<Member> Unconnected() const;

  // Over which the next call goes: of those with the fewest of this channel's calls each is asked first in turn.
  // nullptr: none is connected.
  Connector::SessionPtr Best();

  // These share the name now; `make` makes those that are new. Those that are connected stay until their connections
  // end. False: there are none.
  bool Update(std::vector<transport::Address> found, absl::FunctionRef<Member(const transport::Address&)> make);

 private:
  mutable base::Mutex mutex_;
  std::vector<Member> members_ ABSL_GUARDED_BY(mutex_);
  size_t turn_ ABSL_GUARDED_BY(mutex_) = 0;  // who is asked first among equals
};

}  // namespace nearcall::rpc
