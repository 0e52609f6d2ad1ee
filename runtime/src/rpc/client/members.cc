// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/members.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <random>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"

namespace nearcall::rpc {

namespace {

template <typename T>
void Shuffle(std::vector<T>& items) {
  std::shuffle(items.begin(), items.end(), std::minstd_rand(static_cast<uint32_t>(base::NowNs())));
}

bool Names(const transport::Address& address, const Connector& member) {
  return member.address().name == address.name && member.address().directory == address.directory;
}

}  // namespace

std::vector<Members::Member> Members::All() const {
  base::MutexLock lock(mutex_);
  return members_;
}

std::vector<Members::Member> Members::Shuffled() const {
  std::vector<Member> some = All();
  Shuffle(some);
  return some;
}

std::vector<Members::Member> Members::Unconnected() const {
  std::vector<Member> some = Shuffled();
  std::erase_if(some, [](const Member& member) { return member->present() != nullptr; });
  return some;
}

Connector::SessionPtr Members::Best() {
  Connector::SessionPtr best;
  size_t fewest = std::numeric_limits<size_t>::max();
  base::MutexLock lock(mutex_);
  ++turn_;
  for (size_t i = 0; i < members_.size() && fewest != 0; ++i) {
    Connector::SessionPtr session = members_[(turn_ + i) % members_.size()]->present();
    if (session == nullptr) continue;
    const size_t calls = session->callers().slots().in_use;
    if (calls >= fewest) continue;
    fewest = calls;
    best = std::move(session);
  }
  return best;
}

bool Members::Update(std::vector<transport::Address> found, absl::FunctionRef<Member(const transport::Address&)> make) {
  Shuffle(found);
  std::vector<Member> gone;  // destroyed without the lock
  base::MutexLock lock(mutex_);
  const auto stays = std::stable_partition(members_.begin(), members_.end(), [&](const Member& member) {
    return member->present() != nullptr ||
           std::any_of(found.begin(), found.end(), [&](const auto& address) { return Names(address, *member); });
  });
  std::move(stays, members_.end(), std::back_inserter(gone));
  members_.erase(stays, members_.end());
  for (const transport::Address& server : found) {
    if (members_.size() >= base::kMaxServersOfAName) break;
    if (std::any_of(members_.begin(), members_.end(), [&](const Member& member) { return Names(server, *member); })) {
      continue;
    }
    members_.push_back(make(server));
  }
  return !members_.empty();
}

}  // namespace nearcall::rpc
