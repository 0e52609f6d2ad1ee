// SPDX-License-Identifier: Apache-2.0
#include "base/reactor_targets.h"

namespace nearcall::base {

ReactorTargets::Ptr ReactorTargets::Find(Id id) const {
  const auto it = targets_.find(id);
  return it == targets_.end() ? nullptr : it->second.target;
}

ReactorTargets::Ptr ReactorTargets::Remove(Id id) {
  const auto it = targets_.find(id);
  if (it == targets_.end()) return nullptr;
  Ptr target = std::move(it->second.target);
  if (it->second.linked()) --scheduled_count_;
  it->second.Unlink();
  targets_.erase(it);
  return target;
}

bool ReactorTargets::Schedule(Id id) {
  const auto it = targets_.find(id);
  if (it == targets_.end() || it->second.linked()) return false;
  const bool first = scheduled_.empty();
  scheduled_.PushBack(it->second);
  ++scheduled_count_;
  return first && !looks_;
}

std::pair<ReactorTargets::Id, ReactorTargets::Ptr> ReactorTargets::TakeScheduled() {
  Registered* const next = scheduled_.PopFront();
  if (next == nullptr) return {};
  --scheduled_count_;
  return {next->id, next->target};
}

bool ReactorTargets::EndLook() {
  looks_ = false;
  return !scheduled_.empty();
}

ReactorTargets::All ReactorTargets::RemoveAll() {
  while (scheduled_.PopFront() != nullptr) {
  }
  scheduled_count_ = 0;
  return std::exchange(targets_, {});
}

}  // namespace nearcall::base
