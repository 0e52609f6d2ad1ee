// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "absl/status/status.h"
#include "nearcall/call_options.h"
#include "nearcall/internal/method.h"
#include "session/client_session.h"
#include "wire/reassembler.h"

namespace nearcall::rpc {

// Descriptors of a call's messages, at its caller.

// All that can be wrong before a connection is needed: INVALID_ARGUMENT. `whose`: what has them, for the text.
absl::Status CheckDescriptors(const internal::MethodInfo& method, std::span<const int> descriptors, const char* whose);

// Whether `count` of them may be sent with a message over `session`. FAILED_PRECONDITION, RESOURCE_EXHAUSTED.
absl::Status CheckDescriptors(size_t count, const session::ClientSession& session);

// Of a call that has ended with OK: gives those that came with `answer` to who wants them. RESOURCE_EXHAUSTED: they
// could not be taken.
absl::Status GiveDescriptors(wire::Message& answer, const CallOptions& options);

}  // namespace nearcall::rpc
