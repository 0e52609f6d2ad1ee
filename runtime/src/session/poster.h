// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "base/buffer.h"
#include "base/descriptors.h"
#include "base/quota.h"
#include "session/callers.h"
#include "session/outbox.h"
#include "session/outgoing.h"
#include "session/readers.h"
#include "transport/transport.h"
#include "wire/header.h"

namespace nearcall::session {

// How the messages of the calls that this side has begun leave: at once, or kept until there is room. Thread-safe. The
// rest of a connection's parts outlive it.
class Poster {
 public:
  // `memory`: who pays for what is kept; null: nobody.
  Poster(const transport::Transport& transport, Outbox& outbox, Callers& callers, Readers& readers,
         base::Allowance* memory)
      : transport_(transport), outbox_(outbox), callers_(callers), readers_(readers), memory_(memory) {}

  // Sends a message of a call that has begun, and keeps what finds no room. The call may end before this returns.
  // kLater: the server need not see it before Publish(). A request that is kept moves out of `bytes`. `flow`: what
  // orders it among others of its call; may be null. `descriptors`: that go with it; may be null.
  void Post(const wire::FrameHeader& header, base::Buffer& bytes, Outbox::HandOver when, Flow* flow = nullptr,
            std::shared_ptr<const base::Descriptors> descriptors = nullptr);
  void Publish();

  // After something has been sent. What the transport has not taken yet waits for room, and so must whoever reads: he
  // may be asleep already, for replies only.
  void WakeReaderForRest();

 private:
  bool TryCharge(Outgoing& message, size_t size) const;

  const transport::Transport& transport_;
  Outbox& outbox_;
  Callers& callers_;
  Readers& readers_;
  base::Allowance* const memory_;
};

}  // namespace nearcall::session
