// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <span>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "base/reactor.h"
#include "transport/control.h"
#include "transport/framed_reader.h"

namespace nearcall::transport::fifo {

// Control messages that have come between frames: left by who reads, for who hears them elsewhere (control.h).
// Bounded: of too many the oldest is dropped. Thread-safe.
class Heard final : public Notes {
 public:
  bool Take(std::span<const std::byte> note) override;

  // From now on that target has a turn when there is something to hear, also of what has come before. Until Detach().
  void Attach(base::Reactor& reactor, base::Reactor::Id target);
  void Detach();

  // nullopt: there is none.
  std::optional<ControlMessage> Next();
  void AskForTurn();

 private:
  base::Mutex mutex_;
  std::deque<ControlMessage> messages_ ABSL_GUARDED_BY(mutex_);
  base::Reactor* reactor_ ABSL_GUARDED_BY(mutex_) = nullptr;
  base::Reactor::Id target_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace nearcall::transport::fifo
