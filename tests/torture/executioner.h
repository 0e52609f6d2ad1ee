// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <random>

#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "child.h"

namespace nearcall::integration {

// What a victim is doing. It says so in memory that outlives it.
enum class Phase : uint32_t { kBorn, kOpening, kWorking, kClosing };
inline constexpr size_t kPhases = 4;

struct Stage {
  std::atomic<Phase> phase{Phase::kBorn};
};

// Forks processes and kills them with SIGKILL at random moments. It is a process of its own without any threads, so
// that what it forks starts as a fresh program does, and cheaply.
class Executioner {
 public:
  // Works until it is killed.
  using Victim = std::function<void(Stage& stage, std::mt19937& random)>;

  // To be made while this process has no other threads.
  explicit Executioner(Victim victim);
  Executioner(const Executioner&) = delete;
  Executioner& operator=(const Executioner&) = delete;
  ~Executioner();

  struct Death {
    base::SteadyNs at = 0;  // just before the signal
    Phase phase = Phase::kBorn;
    bool by_us = false;  // and not by a crash of its own
  };

  // Forks a victim, lets it come to a random phase, and kills it a random moment later.
  Death KillOne(std::mt19937& random);

 private:
  void Serve(Link& parent, const Victim& victim);
  Death Kill(const Victim& victim, Phase wanted, base::SteadyNs delay, unsigned seed);

  Stage* const stage_;
  std::unique_ptr<Child> process_;
};

// How many victims died in which phase.
class PhaseCounts {
 public:
  void Add(Phase phase) { ++counts_[static_cast<size_t>(phase)]; }
  void Print(absl::string_view what, const std::array<absl::string_view, kPhases>& names) const;

 private:
  std::array<size_t, kPhases> counts_{};
};

}  // namespace nearcall::integration
