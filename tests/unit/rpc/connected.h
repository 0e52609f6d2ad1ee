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
  explicit Connected(uint32_t stream_window = 0)
      : link(session::testing::MakeLink({.max_frame_size = 1024, .stream_window = stream_window})),
        session(*session::ClientSession::Start(
            std::move(link.client),
            {.max_message_size = 1024, .max_calls_in_flight = 8, .max_queued_bytes = 1024, .max_spin_ns = 0},
            std::make_shared<base::Logger>([](LogSeverity, absl::string_view) {}), "loop:test")),
        server(std::move(link.server)) {}

  session::testing::Link link;
  std::shared_ptr<session::ClientSession> session;
  session::testing::ScriptedPeer server;
};

}  // namespace nearcall::rpc::testing
