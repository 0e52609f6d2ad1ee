// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace nearcall::rpc {

// Turns SIGINT and SIGTERM into a readable descriptor, as long as it lives; then the former dispositions come back. At
// most one in a process. A forked child, whose signals are not meant for its parent, dies of them.
class Signals {
 public:
  // FAILED_PRECONDITION if there is one already.
  static absl::StatusOr<std::unique_ptr<Signals>> Catch();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return event_.get(); }

  // How many have come in all; the descriptor is not readable again before the next. Used by one thread at a time.
  uint64_t Count();

 private:
  Signals() = default;

  base::Fd event_;
  uint64_t count_ = 0;
  struct sigaction old_int_ = {};
  struct sigaction old_term_ = {};
};

}  // namespace nearcall::rpc
