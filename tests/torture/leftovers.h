// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace nearcall::integration {

// What killed processes leave beside what leak_check.h knows: names, links, and System V queues. To be made while this
// process has no other threads: it then has, where that is allowed, an IPC namespace of its own, so that each queue is
// one of the test's.
class Leftovers {
 public:
  Leftovers();

  // What is left in `directory`, and of queues; empty if nothing.
  std::string In(const std::string& directory) const;

 private:
  const bool own_queues_;
};

}  // namespace nearcall::integration
