// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace nearcall::integration {

// What makes the n-th of something fail, once. All but Describe() is called in the process that it is to happen in.
class Fault {
 public:
  virtual ~Fault() = default;

  virtual absl::string_view what() const = 0;  // "system calls"

  // Once, before anything is counted.
  virtual void Prepare() {}

  virtual void Arm(size_t n) = 0;

  // Whether it has struck.
  virtual bool Disarm() = 0;

  // Where it has struck last: for people, in the process that has forked the one where it did.
  virtual std::string Describe() const = 0;
};

// For n = 1, 2, ... until there are no so many: in a process of its own the scenario, with the n-th failing, and then
// once more without fault, which must succeed and leave behind what a life without fault does. Fails the test for each
// n of which that is not true, and prints figures.
void FailEveryNth(Fault& fault);

}  // namespace nearcall::integration
