// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "absl/time/time.h"

namespace nearcall::tools {

// Ends what would go on for ever, as long as this lives: when the user wants that (Ctrl-C, or SIGTERM), and when it has
// not begun in time. To be made by the thread that all others are made by later, or that block signals.
class Interruption {
 public:
  // `end` is called at most once, on a thread of its own.
  Interruption(absl::Time begin_by, std::function<void()> end);
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  ~Interruption();

  void NoteBegun() { begun_ = true; }

  bool by_user() const { return by_user_; }
  bool too_late() const { return too_late_; }

 private:
  void Watch();

  const absl::Time begin_by_;
  const std::function<void()> end_;
  std::atomic<bool> begun_{false};
  std::atomic<bool> by_user_{false};
  std::atomic<bool> too_late_{false};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace nearcall::tools
