// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"
#include "transport/rendezvous/named_socket.h"
#include "transport/rendezvous/place.h"

namespace nearcall::transport {

// The live server whose listening socket this one takes over (PROTOCOL.md, "A successor"). Until Succeed() nothing has
// changed for it; destroying this object before leaves it so. Used by one thread.
class Predecessor {
 public:
  // Asks who has the name now; waits for the answer until `deadline` at most. UNAVAILABLE: worth to be asked again, or
  // nobody has it any more. Anything else: it does not let its socket be taken over, or is not to be believed.
  static absl::StatusOr<std::unique_ptr<Predecessor>> Ask(const Place& place, base::SteadyNs deadline);

  Predecessor(const Predecessor&) = delete;
  Predecessor& operator=(const Predecessor&) = delete;
  ~Predecessor();

  // Once.
  NamedSocket TakeSocket() { return std::move(socket_); }

  // This process accepts clients on `listening`, the socket that was taken: now it alone. OK if the predecessor has
  // died, too.
  absl::Status Succeed(const base::Fd& listening, base::SteadyNs deadline);

 private:
  Predecessor() = default;

  absl::Status TakeOffered(const Place& place);

  base::Fd control_;
  base::Fd pidfd_;
  NamedSocket socket_;
};

}  // namespace nearcall::transport
