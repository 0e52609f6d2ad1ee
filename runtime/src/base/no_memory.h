// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <new>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

// What becomes of an allocation that fails (std::bad_alloc), by whose it was:
//
//   a caller's          its call or connect ends with RESOURCE_EXHAUSTED                       OrNoMemory
//   one connection's    the connection is closed; its peer's calls end with UNAVAILABLE        (where it is caught)
//   the runtime's own   few bytes, without which nothing could go on: tried until it succeeds  UntilThereIsMemory
namespace nearcall::base {

inline absl::Status NoMemory() {
  try {
    return absl::ResourceExhaustedError("there is no memory left");
  } catch (const std::bad_alloc&) {
    return absl::Status(absl::StatusCode::kResourceExhausted, "");  // allocates nothing
  }
}

// What `call` returns (a Status or StatusOr).
template <typename Call>
auto OrNoMemory(Call&& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return NoMemory();
  }
}

// `step` must have changed nothing when it throws.
template <typename Step>
void UntilThereIsMemory(Step&& step) {
  for (;;) {
    try {
      step();
      return;
    } catch (const std::bad_alloc&) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  }
}

// Adds `item` to `list`, when there is memory for it.
template <typename List, typename Item>
void Append(List& list, const Item& item) {
  UntilThereIsMemory([&] { list.push_back(item); });
}

}  // namespace nearcall::base
