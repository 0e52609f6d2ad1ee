// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "base/intrusive_list.h"

namespace nearcall::base {

// Whoever has descriptors under watch by a Reactor, or work to do.
class ReactorTarget {
 public:
  virtual ~ReactorTarget() = default;
  // `slot`: as given to Reactor::Watch(). `events`: of epoll_wait(2); may be out of date. Runs no code of the user's.
  virtual void OnReady(uint32_t slot, uint32_t events) = 0;
  // Once for each Reactor::Schedule() that came since it began. Runs at most `max` (1 or more) pieces of the user's
  // code, and returns how many it has run. Whoever leaves some schedules himself again.
  virtual size_t OnTurn(size_t max) {
    static_cast<void>(max);
    return 0;
  }
};

// The targets of a reactor, and which of them are scheduled. Part of it, under its lock.
class ReactorTargets {
  struct Registered;

 public:
  using Id = uint64_t;
  using Ptr = std::shared_ptr<ReactorTarget>;
  using All = std::map<Id, Registered>;

  // Never given out again.
  Id NewId() { return ++last_id_; }

  void Add(Id id, const Ptr& target) { targets_.try_emplace(id, id, target); }
  // nullptr: it has been removed.
  Ptr Find(Id id) const;
  Ptr Remove(Id id);

  // True: the thread that takes the turns is to be told.
  [[nodiscard]] bool Schedule(Id id);
  size_t scheduled() const { return scheduled_count_; }
  // The next one that has its turn: its id, or 0, and itself.
  std::pair<Id, Ptr> TakeScheduled();

  // Between these the thread that takes the turns looks by itself at what is scheduled. EndLook(): true: there is some
  // left, of which it is to be told.
  void BeginLook() { looks_ = true; }
  [[nodiscard]] bool EndLook();

  // To be destroyed without the lock: what they own may be anything.
  All RemoveAll();

 private:
  struct Registered : ListNode<Registered> {
    Registered(Id its_id, Ptr its_target) : id(its_id), target(std::move(its_target)) {}
    const Id id;
    Ptr target;
  };

  Id last_id_ = 0;
  All targets_;
  List<Registered> scheduled_;
  size_t scheduled_count_ = 0;
  bool looks_ = false;
};

}  // namespace nearcall::base
