#pragma once

#include <signal.h>

#include <memory>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace nearcall::rpc {

// Turns SIGINT and SIGTERM into a readable descriptor, as long as it lives; then the former dispositions come back. At
// most one in a process.
class Signals {
 public:
  // FAILED_PRECONDITION if there is one already.
  static absl::StatusOr<std::unique_ptr<Signals>> Catch();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return event_.get(); }

 private:
  Signals() = default;

  base::Fd event_;
  struct sigaction old_int_ = {};
  struct sigaction old_term_ = {};
};

}  // namespace nearcall::rpc
