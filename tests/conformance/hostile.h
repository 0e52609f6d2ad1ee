// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "transport/transport.h"

// Peers that break every rule, one for each transport: what the hostile part of the conformance suite attacks with.
namespace nearcall::transport::conformance {

// One end of a connection in the hands of somebody who has all that it was passed, or made, and does with it what he
// likes. Used by one thread at a time.
class HostileEnd {
 public:
  explicit HostileEnd(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}
  virtual ~HostileEnd() = default;
  HostileEnd(const HostileEnd&) = delete;
  HostileEnd& operator=(const HostileEnd&) = delete;

  // Its transport, for as long as it behaves.
  Transport& transport() { return *transport_; }

  // Writes `bytes`, as many as there is room for, into something that both sides look at; `where` chooses the place.
  virtual void Scribble(uint64_t where, std::span<const std::byte> bytes) = 0;

  // Sends, over a connection on which nothing was sent yet, what no honest peer sends.
  virtual void Violate() = 0;

  // Makes whatever can be made to wait wait: descriptors without O_NONBLOCK, counters that are full, no room.
  virtual void Obstruct() = 0;

 private:
  const std::unique_ptr<Transport> transport_;
};

struct Assault {
  std::unique_ptr<Transport> victim;
  std::unique_ptr<HostileEnd> hostile;
};

enum class Side : bool { kClient, kServer };

// Both ends of a new connection, of which the one on side `hostile` is in the wrong hands.
absl::StatusOr<Assault> AttackShm(Side hostile);
absl::StatusOr<Assault> AttackMq(Side hostile);
absl::StatusOr<Assault> AttackPipe(Side hostile);
absl::StatusOr<Assault> AttackSysv(Side hostile);
absl::StatusOr<Assault> AttackFifo(Side hostile);

}  // namespace nearcall::transport::conformance
