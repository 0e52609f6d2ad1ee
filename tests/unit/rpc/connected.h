// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "nearcall/internal/method.h"
#include "session/client_session.h"
#include "unit/session/link.h"

namespace nearcall::rpc::testing {

constexpr internal::MethodInfo kChat =
    internal::MakeMethod("test.Service/Chat", internal::MethodKind::kBidiStreaming, Priority::kNormal, 0, false);

// A server in the test's hand, and the session with it.
struct Connected {
  explicit Connected(uint32_t stream_window = 0, bool wants_names = false)
      : link(Make(stream_window, wants_names)),
        session(*session::ClientSession::Start(
            std::move(link.client),
            {.max_message_size = 1024, .max_calls_in_flight = 8, .max_queued_bytes = 1024, .max_spin_ns = 0},
            std::make_shared<base::Logger>([](LogSeverity, absl::string_view) {}), "loop:test")),
        server(std::move(link.server)) {}

  static session::testing::Link Make(uint32_t stream_window, bool wants_names) {
    session::testing::Link made = session::testing::MakeLink({.max_frame_size = 1024, .stream_window = stream_window});
    made.client.peer_wants_method_names = wants_names;
    return made;
  }

  session::testing::Link link;
  std::shared_ptr<session::ClientSession> session;
  session::testing::ScriptedPeer server;
};

}  // namespace nearcall::rpc::testing
