// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>

#include "absl/status/status.h"
#include "base/descriptors.h"
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

// A caller only lends his, until the call has started, and it may be sent later, or again: `options` have copies of
// their own from here on, which live as long as `kept`. RESOURCE_EXHAUSTED.
absl::Status KeepDescriptors(CallOptions& options, std::shared_ptr<const base::Descriptors>& kept);
// The same of any, for a call that has not been sent.
absl::Status CopyDescriptors(std::span<const int> descriptors, std::shared_ptr<const base::Descriptors>& to);

// Of a call that has ended with OK: gives those that came with `answer`, and its attachments, to who wants them.
// RESOURCE_EXHAUSTED: they could not be taken. INTERNAL: an attachment is not what it should be.
absl::Status GiveEnclosed(wire::Message& answer, const CallOptions& options);

}  // namespace nearcall::rpc
