// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "base/descriptors.h"
#include "base/lent_blocks.h"
#include "base/limits.h"
#include "base/quota.h"
#include "base/reactor.h"
#include "session/letterbox.h"
#include "transport/connection.h"
#include "transport/side_socket.h"
#include "wire/attachments.h"

namespace nearcall::session {

// What a session has of its connection for descriptors, and for attachments that are passed: nothing, where there is no
// side socket. Constant; thread-safe.
class SideLine {
 public:
  // What the peer may send with a message.
  struct Grant {
    size_t descriptors;
    size_t attachment_bytes;
    bool lent;
  };
  // `account`: of its user; may be null.
  SideLine(transport::Connection& connection, const Grant& granted, std::shared_ptr<base::Account> account)
      : socket_(std::move(connection.side_socket)),
        peer_takes_(socket_ == nullptr ? 0 : connection.peer_terms.max_descriptors),
        peer_takes_attachments_(std::min<size_t>(connection.peer_terms.max_attachments, base::kMaxMessageAttachments)),
        peer_takes_bytes_(socket_ == nullptr ? 0 : connection.peer_terms.max_attachment_bytes),
        peer_takes_lent_(socket_ != nullptr && connection.peer_terms.takes_lent != 0),
        attachments_{.max_passed = socket_ == nullptr ? 0 : granted.attachment_bytes,
                     .max_descriptors = granted.descriptors,
                     .lent = granted.lent ? std::make_shared<base::LentBlocks>(account) : nullptr,
                     .account = account,
                     .of_own_user = connection.peer.uid == 0 || connection.peer.uid == ::geteuid()} {
    if (socket_ != nullptr) {
      letterbox_.emplace(*socket_, granted.descriptors, std::move(account), granted.attachment_bytes != 0);
    }
  }

  // `on_room`: see SideSocket. Once.
  absl::Status Watch(std::function<void()> on_room, base::Reactor* reactor) {
    return socket_ == nullptr ? absl::OkStatus() : socket_->Watch(std::move(on_room), reactor);
  }

  // Null: there is none.
  transport::SideSocket* socket() const { return socket_.get(); }
  Letterbox* letterbox() { return letterbox_ ? &*letterbox_ : nullptr; }

  // With a message.
  size_t peer_takes() const { return peer_takes_; }
  // With a message, however they travel; zero: it knows none.
  size_t peer_takes_attachments() const { return peer_takes_attachments_; }
  // Of these, in bytes of a message, that are passed.
  size_t peer_takes_bytes() const { return peer_takes_bytes_; }
  // Memory of a pool, too, which this process writes to again.
  bool peer_takes_lent() const { return peer_takes_lent_; }
  // For what comes from the peer.
  const wire::AttachmentTerms& attachments() const { return attachments_; }
  // Who pays for what is kept to be sent; null where nothing is.
  std::shared_ptr<base::DescriptorBudget> budget() const { return letterbox_ ? letterbox_->budget() : nullptr; }

 private:
  const std::unique_ptr<transport::SideSocket> socket_;
  const size_t peer_takes_;
  const size_t peer_takes_attachments_;
  const size_t peer_takes_bytes_;
  const bool peer_takes_lent_;
  const wire::AttachmentTerms attachments_;
  std::optional<Letterbox> letterbox_;
};

}  // namespace nearcall::session
