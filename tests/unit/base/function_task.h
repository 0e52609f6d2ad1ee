// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "base/user_threads.h"

namespace nearcall::base::testing {

class FunctionTask final : public UserThreads::Task {
 public:
  explicit FunctionTask(std::function<void()> function) : function_(std::move(function)) {}
  void Run() override { function_(); }

 private:
  const std::function<void()> function_;
};

}  // namespace nearcall::base::testing
