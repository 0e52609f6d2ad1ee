// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/quota.h"
#include "nearcall/server_context.h"
#include "transport/connection.h"

namespace nearcall::session {

// Whom a server's session serves: what the handshake has told of him, and who pays for what is held for him. Constant.
class ServedClient {
 public:
  // `account`: of the client's user; may be null.
  ServedClient(const transport::Connection& connection, std::shared_ptr<base::Account> account)
      : id_(connection.peer_id), peer_(connection.peer), terms_(connection.peer_terms), account_(std::move(account)) {}

  // Of its connection.
  uint32_t id() const { return id_; }
  const PeerIdentity& peer() const { return peer_; }
  base::Account* account() const { return account_.get(); }
  const std::shared_ptr<base::Account>& shared_account() const { return account_; }
  // Of the account; may be null.
  base::Allowance* memory() const { return account_ == nullptr ? nullptr : &account_->memory; }
  // The largest that it takes.
  size_t max_message_size() const { return terms_.max_message_size; }
  uint32_t send_window() const { return terms_.stream_window; }
  // That this side may have begun.
  size_t granted_calls() const { return terms_.max_calls_in_flight; }

 private:
  const uint32_t id_;
  const PeerIdentity peer_;
  const transport::SessionTerms terms_;
  const std::shared_ptr<base::Account> account_;
};

}  // namespace nearcall::session
