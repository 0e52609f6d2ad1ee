// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "base/clock.h"
#include "transport/transport.h"

namespace nearcall::session {

// By which a poller sleeps until there is something for it, where nothing of a transport's is read or written: what
// there is it gets otherwise.
class ReadingEnd : public transport::Transport {
 public:
  bool can_spin() const override { return false; }
  std::span<std::byte> Reserve(size_t /*size*/, int /*lane*/) override { return {}; }
  void Fill(std::span<std::byte> /*to*/, std::span<const std::byte> /*from*/) override {}
  void Commit() override {}
  bool Notify() override { return false; }
  bool Ring() override { return false; }
  bool PeerHasReadAll() const override { return true; }
  void CopyOut(size_t /*offset*/, std::span<std::byte> /*to*/) override {}
  void Pop() override {}
  void Release() override {}
  void Wait(base::SteadyNs /*until*/) override {}
  void Interrupt() override {}
};

}  // namespace nearcall::session
