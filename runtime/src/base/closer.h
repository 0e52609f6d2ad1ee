// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/fd.h"
#include "base/intrusive_list.h"

namespace nearcall::base {

// Closes `fd` on a thread that may wait in the kernel as long as it likes. For what a peer has made or may have put
// into it: the last close of a TCP socket that lingers, or any of a file whose file system is the peer's (FUSE), takes
// as long as the peer wants it to. Returns at once, never fails and never throws. Any thread.
//
// The threads start when there is something to close and end when there is nothing left. Neither the end of the process
// nor a fork()ed child waits for them.
void CloseElsewhere(Fd fd);

// What takes as long to destroy, and has the memory to wait for that. Others of the same `on_behalf_of` (a user, say)
// have their turns on some of the threads only, so that nobody whose descriptors are stuck keeps others from being
// closed; null: on all of them.
class Unclosed : public ListNode<Unclosed> {
 public:
  explicit Unclosed(const void* on_behalf_of) : on_behalf_of_(on_behalf_of) {}
  virtual ~Unclosed() = default;
  const void* on_behalf_of() const { return on_behalf_of_; }

 private:
  const void* const on_behalf_of_;
};

// As CloseElsewhere(); however many wait, they are destroyed in the end. Whoever makes them bounds their number.
void DestroyElsewhere(std::unique_ptr<Unclosed> unclosed);

}  // namespace nearcall::base
