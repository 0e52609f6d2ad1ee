// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace nearcall::base {

// Who is told when the thread that made it is about to block in the runtime: what that thread does for others, somebody
// else has to do meanwhile. Lives on that thread's stack; the innermost one is told.
class BlockingObserver {
 public:
  BlockingObserver() : outer_(innermost) { innermost = this; }
  BlockingObserver(const BlockingObserver&) = delete;
  BlockingObserver& operator=(const BlockingObserver&) = delete;

  // Tells the calling thread's, if it has one.
  static void AboutToBlock() {
    if (innermost != nullptr) innermost->OnAboutToBlock();
  }

 protected:
  ~BlockingObserver() { innermost = outer_; }
  virtual void OnAboutToBlock() = 0;

 private:
  static inline thread_local BlockingObserver* innermost = nullptr;
  BlockingObserver* const outer_;
};

}  // namespace nearcall::base
