// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "session/callers.h"
#include "session/inbox.h"
#include "session/letterbox.h"
#include "session/relay.h"
#include "session/served_calls.h"
#include "session/served_client.h"
#include "transport/transport.h"
#include "wire/header.h"
#include "wire/reassembler.h"

namespace nearcall::session {

// Where the messages of the calls that are served come from: out of the connection; or, for a guest, from the reader of
// its host, by a relay. What goes on with a call that is known is brought to it.
//
// TakeFromHost() by the host's reader, Next() by the poller.
class ServedInbox {
 public:
  struct Limits {
    size_t max_message_size;
    uint32_t stream_window;
  };
  // What it is given outlives it. `letterbox`: where descriptors of messages are; null: none has any.
  ServedInbox(transport::Transport& transport, const Limits& limits, const ServedClient& client, ServedCalls& calls,
              Letterbox* letterbox, const wire::AttachmentTerms& attachments)
      : limits_(limits),
        client_(client),
        calls_(calls),
        own_(std::in_place, transport, client.id(), limits.max_message_size, client.memory(), letterbox, attachments) {}
  // `host`: of the host, which does not hang up before what it hands over is over.
  ServedInbox(Relay& relay, Callers& host, const Limits& limits, const ServedClient& client, ServedCalls& calls)
      : limits_(limits), client_(client), calls_(calls), relay_(&relay), host_(&host) {}

  // Inbox::Next.
  Inbox::Event Next(wire::Message& message) { return own_ ? own_->Next(message) : relay_->Take(message); }
  // Of an own inbox that is broken.
  const absl::Status& error() const { return own_->error(); }

  // Whether whom this side serves has begun the call.
  bool IsTheirs(uint64_t call_id) const { return ((call_id & wire::kBegunByAcceptor) != 0) == !own_.has_value(); }

  // No request, but what goes on with one. INTERNAL: it must not come.
  absl::Status Deliver(Inbox::Event event, wire::Message& message);

  // Of a guest: INTERNAL: it must not come.
  absl::Status TakeFromHost(Inbox::Event event, wire::Message& message);

 private:
  absl::Status CheckRelay(bool is_request) const;

  const Limits limits_;
  const ServedClient& client_;
  ServedCalls& calls_;
  std::optional<Inbox> own_;
  Relay* const relay_ = nullptr;   // of a guest
  Callers* const host_ = nullptr;  // likewise
};

}  // namespace nearcall::session
