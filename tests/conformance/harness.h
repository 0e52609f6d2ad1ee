// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"
#include "conformance/hostile.h"
#include "transport/transport.h"
#include "transport/transport_pair.h"

// The small language in which the conformance suite speaks of transports.
namespace nearcall::transport::conformance {

using Bytes = std::vector<std::byte>;

// A transport under test. Small rings, so that wrapping round, running full and waiting for room happen all the time.
// None can be named without saying who attacks it: see hostile.h.
class Maker {
 public:
  using Make = absl::StatusOr<TransportPair> (*)();
  using Attack = absl::StatusOr<Assault> (*)(Side hostile);
  // Of which nobody ever has one end but who has the other, too, or which is another size of one that is attacked.
  static constexpr Attack kNotAttacked = nullptr;

  // What happens to a frame of a higher lane: rule 1.
  enum class Lanes : bool { kInTurn, kOvertake };
  // Whether the kernel wakes an end whose peer has gone: rule 8.
  enum class Death : bool { kUnseen, kWakes };

  Maker(std::string maker_name, Make make_pair, Attack attack_end, Lanes what_lanes_do = Lanes::kInTurn,
        Death what_death_does = Death::kUnseen)
      : name(std::move(maker_name)),
        make(make_pair),
        attack(attack_end),
        lanes(what_lanes_do),
        death(what_death_does) {}

  std::string name;
  Make make;
  Attack attack;
  Lanes lanes;
  Death death;
};

inline void PrintTo(const Maker& maker, std::ostream* out) {
  *out << maker.name;
}

// Every transport there is. A new one is added here.
std::vector<Maker> AllTransports();

// `size` bytes that depend on `seed`; two frames are not alike.
Bytes Pattern(size_t size, uint64_t seed);

// Reserve, Fill, Commit, Flush. False without room. What Flush() leaves over is handed over by a later one.
bool TrySend(Transport& transport, const Bytes& frame, int lane = 1);

// Peek, CopyOut, Pop; without Release. Nothing if there is no frame.
std::optional<Bytes> TryReceive(Transport& transport);

// Sizes at which something might change: one byte, around the lines of a cache, around the largest.
std::vector<size_t> BoundarySizes(const Transport& transport);

// Puts one end to sleep, in epoll or in Wait() as the end wants it. One thread at a time.
class Sleeper {
 public:
  explicit Sleeper(Transport& transport);

  // Transport::Arm, and the watch in epoll that belongs to it.
  bool Arm(uint32_t interest, size_t room);

  // Arm, wait, Disarm. False if `until` came first.
  bool Sleep(uint32_t interest, size_t room, base::SteadyNs until);

  // The waiting alone, for an end that is armed.
  bool Wait(base::SteadyNs until);

 private:
  Transport& transport_;
  base::Fd epoll_;
};

// One thread's use of one end, which sleeps when it cannot go on. Ends the program with a message if nothing happens
// for a long time: a wake-up was lost.
class BlockingEnd {
 public:
  explicit BlockingEnd(Transport& transport) : transport_(transport), sleeper_(transport) {}

  void Send(const Bytes& frame);
  Bytes Receive();

  // Sends `count` frames of random sizes made of `seed`, and checks that `count` made of `peer_seed` arrive meanwhile.
  void Exchange(size_t count, uint64_t seed, uint64_t peer_seed);

 private:
  void SleepUntilSomething(uint32_t interest, size_t room);

  Transport& transport_;
  Sleeper sleeper_;
};

}  // namespace nearcall::transport::conformance
