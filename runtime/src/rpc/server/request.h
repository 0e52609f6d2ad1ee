// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "nearcall/internal/method.h"
#include "nearcall/priority.h"
#include "rpc/server/service_table.h"
#include "session/server_session.h"
#include "wire/header.h"
#include "wire/reassembler.h"

namespace nearcall::rpc {

// A request that has been read: who has sent it, what for, and until when. Stays as it is while its call lasts.
struct Request {
  std::shared_ptr<session::ServerSession> session;
  wire::Message message;
  const ServiceTable::Method* method = nullptr;  // null: there is no such
  std::string name;                              // of a method that is served by its name; else empty
  Priority priority = Priority::kNormal;
  base::SteadyNs arrived = 0;
  base::SteadyNs deadline = base::kNever;

  // As the client sees it.
  internal::MethodKind kind() const;
  // Sets `method`, and `name`. INTERNAL: the client gives a name that is none, or that of another method.
  absl::Status FindMethod(const ServiceTable& services);

  // Served by its name, with bytes.
  bool generic() const { return method != nullptr && method->method->info.generic; }
  // "package.Service/Method", or null.
  const char* method_name() const {
    if (method == nullptr) return nullptr;
    return generic() ? name.c_str() : method->method->info.full_name;
  }
  bool streams() const { return kind() != internal::MethodKind::kUnary; }
  bool expired() const { return deadline != base::kNever && base::NowNs() >= deadline; }

  size_t lane() const { return static_cast<size_t>(priority); }
  std::span<const std::byte> envelope() const { return message.envelope(); }
  std::span<const std::byte> payload() const { return message.payload(); }

  // Its handler is a coroutine, which suspends where others wait.
  bool suspends() const { return method != nullptr && method->method->suspends; }
  // Its handler may wait for its client, and so needs a thread of its own.
  bool needs_thread() const { return streams() && !suspends(); }
  // Of its method; nullptr if it is of no interest.
  BlockingHabit* habit() const { return method == nullptr || needs_thread() ? nullptr : &method->habit; }
  // Its method says that it may block, or has done so lately.
  bool may_block() const {
    return method != nullptr && (method->method->info.may_block || (!needs_thread() && method->habit.blocks()));
  }

  // Whether what it brings may be brought to its method, and is here. FAILED_PRECONDITION, RESOURCE_EXHAUSTED.
  absl::Status CheckDescriptors() const;
  // Whether its method's messages may bring `count` descriptors to its client. INTERNAL, FAILED_PRECONDITION; `what`:
  // of the handler's, for the text.
  absl::Status MaySend(size_t count, const char* what) const;

  // Of a frame to the client.
  wire::FrameHeader HeaderOf(wire::FrameKind kind) const;
  // One has been sent, or kept, by another thread than the leader.
  void NoteWritten() const {
    if (session->NeedsALook()) session->listener().AskToLook();
  }

 private:
  std::span<const std::byte> bytes() const { return message.bytes.bytes(); }
};

}  // namespace nearcall::rpc
