// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "base/descriptors.h"
#include "base/quota.h"
#include "base/reactor.h"
#include "session/letterbox.h"
#include "transport/connection.h"
#include "transport/side_socket.h"

namespace nearcall::session {

// What a session has of its connection for descriptors: nothing, where there is no side socket. Constant; thread-safe.
class SideLine {
 public:
  // `granted`: what the peer may send with a message. `account`: of its user; may be null.
  SideLine(transport::Connection& connection, size_t granted, std::shared_ptr<base::Account> account)
      : socket_(std::move(connection.side_socket)),
        peer_takes_(socket_ == nullptr ? 0 : connection.peer_terms.max_descriptors) {
    if (socket_ != nullptr) letterbox_.emplace(*socket_, granted, std::move(account));
  }

  // `on_room`: see SideSocket. Once.
  absl::Status Watch(std::function<void()> on_room, base::Reactor* reactor) {
    return socket_ == nullptr ? absl::OkStatus() : socket_->Watch(std::move(on_room), reactor);
  }

  // Null: there is none.
  transport::SideSocket* socket() const { return socket_.get(); }
  Letterbox* letterbox() { return letterbox_ ? &*letterbox_ : nullptr; }

  bool open() const { return socket_ != nullptr; }
  // With a message.
  size_t peer_takes() const { return peer_takes_; }
  // Who pays for what is kept to be sent; null where nothing is.
  std::shared_ptr<base::DescriptorBudget> budget() const { return letterbox_ ? letterbox_->budget() : nullptr; }

 private:
  const std::unique_ptr<transport::SideSocket> socket_;
  const size_t peer_takes_;
  std::optional<Letterbox> letterbox_;
};

}  // namespace nearcall::session
