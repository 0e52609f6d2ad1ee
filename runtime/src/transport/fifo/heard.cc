// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/heard.h"

#include <algorithm>
#include <new>

#include "base/limits.h"
#include "transport/rendezvous/control_message.h"

namespace nearcall::transport::fifo {

// Without memory it is lost, as it may be where its sender finds no room.
bool Heard::Take(std::span<const std::byte> note) try {
  if (note.size() != kControlMessageSize) return false;
  ControlBytes bytes;
  std::copy(note.begin(), note.end(), bytes.begin());
  const std::optional<ControlMessage> message = DecodeControl(bytes);
  if (!message) return false;
  base::MutexLock lock(mutex_);
  if (messages_.size() == base::kMaxQueuedControlMessages) messages_.pop_front();
  messages_.push_back(*message);
  if (reactor_ != nullptr) reactor_->Schedule(target_);
  return true;
} catch (const std::bad_alloc&) {
  return true;
}

void Heard::Attach(base::Reactor& reactor, base::Reactor::Id target) {
  base::MutexLock lock(mutex_);
  reactor_ = &reactor;
  target_ = target;
  if (!messages_.empty()) reactor_->Schedule(target_);
}

void Heard::Detach() {
  base::MutexLock lock(mutex_);
  reactor_ = nullptr;
}

std::optional<ControlMessage> Heard::Next() {
  base::MutexLock lock(mutex_);
  if (messages_.empty()) return std::nullopt;
  const ControlMessage message = messages_.front();
  messages_.pop_front();
  return message;
}

void Heard::AskForTurn() {
  base::MutexLock lock(mutex_);
  if (reactor_ != nullptr && !messages_.empty()) reactor_->Schedule(target_);
}

}  // namespace nearcall::transport::fifo
