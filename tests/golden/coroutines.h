// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <exception>

namespace nearcall::testing {

// A coroutine as small as can be, of somebody else's: begins at once, and belongs to nobody.
struct ForeignCoroutine {
  struct promise_type {
    ForeignCoroutine get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

}  // namespace nearcall::testing
