// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nearcall {

// Hears how an asynchronous call has ended: once, on another thread than the caller's (see Channel). May own what
// cannot be copied.
//
//   async.Say(request, [](absl::StatusOr<demo::Reply> reply) { ... });
template <typename Reply>
using Callback = absl::AnyInvocable<void(absl::StatusOr<Reply>) &&>;

// The same for a one-way call, which has no reply: OK says that its handler has started.
using StatusCallback = absl::AnyInvocable<void(absl::Status) &&>;

// How an asynchronous handler answers: `std::move(done)(status)`, once, on any thread. What is dropped without that
// answers INTERNAL. Context, request and reply are gone afterwards.
using Done = absl::AnyInvocable<void(absl::Status) &&>;

}  // namespace nearcall
