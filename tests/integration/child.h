// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/fd.h"

namespace nearcall::integration {

// One end of a line between two processes.
class Link {
 public:
  explicit Link(base::Fd socket) : socket_(std::move(socket)) {}

  void Tell(absl::string_view text = "go");

  // The next text; "" when the other end is gone, or after a long time.
  std::string Await();

  void Close() { socket_.Reset(); }

 private:
  base::Fd socket_;
};

// A child process that runs `body`. EXPECT_ and exceptions in it count: they make Join() fail. To be made while this
// process has no other threads. Killed at the end if it still runs.
class Child {
 public:
  using Body = std::function<void(Link& parent)>;

  explicit Child(const Body& body);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { Kill(); }

  pid_t pid() const { return pid_; }
  Link& link() { return link_; }

  // Waits for its end. 0: all was well; the number of the signal that ended it, negative; else 1.
  int Join();

  // As a crash ends it: nothing of its own runs.
  void Kill();

 private:
  pid_t pid_ = -1;
  Link link_;
};

// Makes this process another user's, who is neither root nor anybody else, with these supplementary groups. For a child
// process of root.
inline constexpr uid_t kStranger = 12345;
void BecomeStranger(const std::vector<gid_t>& groups = {});

}  // namespace nearcall::integration
