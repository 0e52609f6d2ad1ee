// SPDX-License-Identifier: Apache-2.0
#include "session/served_inbox.h"

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quota.h"
#include "session/credit.h"

namespace nearcall::session {

namespace {

// Why an element of `size` is not taken.
absl::Status WhyDropped(const ServedClient& client, size_t max_message_size, Inbox::Event event, size_t size,
                        const char* options) {
  if (event == Inbox::Event::kOverQuota) return client.account()->MemoryRefusal(size);
  if (event == Inbox::Event::kNoMemory) {
    return absl::ResourceExhaustedError(absl::StrCat("there is no memory for an element of ", size, " B"));
  }
  return absl::ResourceExhaustedError(absl::StrCat("an element has ", size, " B, more than ", options,
                                                   "::max_message_size (", max_message_size, " B)"));
}

}  // namespace

absl::Status ServedInbox::Deliver(Inbox::Event event, wire::Message& message) {
  return calls_.Deliver(event, message, [this](Inbox::Event what, size_t size) {
    return WhyDropped(client_, limits_.max_message_size, what, size, own_ ? "ServerOptions" : "ChannelOptions");
  });
}

// All that comes for a call goes the same way, for the call is not known before its request has gone it.
absl::Status ServedInbox::TakeFromHost(Inbox::Event event, wire::Message& message) {
  const bool is_request = message.header.kind == wire::FrameKind::kRequest;
  if (absl::Status bounded = CheckRelay(is_request); !bounded.ok()) return bounded;
  const size_t size = message.bytes.size();
  const base::Amount cost = base::Amount::Of(is_request ? 1 : 0, size + (is_request ? base::kCallCost : 0));
  if (event == Inbox::Event::kMessage && !message.charge.TryTake(client_.memory(), cost)) {
    message.bytes = {};
    event = Inbox::Event::kOverQuota;
  }
  if (is_request) host_->NoteServed(/*begins=*/true);
  relay_->Push(event, message);
  return absl::OkStatus();
}

// Whose slots, and whose credit, is looked at when they are taken from there; here only that there are not more of them
// than there could be.
absl::Status ServedInbox::CheckRelay(bool is_request) const {
  if (is_request && relay_->requests() >= calls_.max_calls()) {
    return absl::InternalError(absl::StrCat("more than ", calls_.max_calls(), " requests, where as many were granted"));
  }
  constexpr size_t kOthers = 16;  // of a stream: credit, half-close, an element beyond the window
  const size_t most = calls_.max_calls() * (limits_.stream_window / static_cast<size_t>(kElementCost) + kOthers);
  if (relay_->size() < most) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("more than ", most, " messages at once, which no window allows"));
}

}  // namespace nearcall::session
