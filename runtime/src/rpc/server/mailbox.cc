// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/mailbox.h"

#include <utility>

#include "base/no_memory.h"

namespace nearcall::rpc {

namespace {

template <typename Map, typename Item>
void Keep(Map& map, uint32_t id, const Item& item) {
  base::UntilThereIsMemory([&] { map[id] = item; });
}

}  // namespace

void Mailbox::Add(const SessionPtr& session) {
  base::MutexLock lock(mutex_);
  Keep(sessions_, session->id(), session);
  base::Append(mail_.added, session);
}

void Mailbox::Ring(uint32_t connection_id) {
  base::MutexLock lock(mutex_);
  base::Append(mail_.rung, connection_id);
}

bool Mailbox::Remove(uint32_t connection_id) {
  base::MutexLock lock(mutex_);
  if (sessions_.find(connection_id) == sessions_.end()) return false;
  base::Append(mail_.removed, connection_id);
  return true;
}

void Mailbox::Queue(Turn& turn) {
  base::MutexLock lock(mutex_);
  turns_.PushBack(turn);
}

Mailbox::Mail Mailbox::Take(base::List<Turn, InLane>& turns) {
  base::MutexLock lock(mutex_);
  while (Turn* turn = turns_.PopFront()) turns.PushBack(*turn);
  return std::exchange(mail_, {});
}

void Mailbox::Forget(uint32_t connection_id) {
  base::MutexLock lock(mutex_);
  sessions_.erase(connection_id);
}

std::vector<Mailbox::SessionPtr> Mailbox::Clear() {
  std::vector<SessionPtr> all = Sessions();
  Mail mail;
  base::MutexLock lock(mutex_);
  sessions_.clear();
  std::swap(mail, mail_);
  return all;
}

std::vector<Mailbox::SessionPtr> Mailbox::Sessions() const {
  std::vector<SessionPtr> all;
  base::MutexLock lock(mutex_);
  const size_t count = sessions_.size();
  base::UntilThereIsMemory([&] { all.reserve(count); });
  for (const auto& [id, session] : sessions_) all.push_back(session);
  return all;
}

size_t Mailbox::connection_count() const {
  base::MutexLock lock(mutex_);
  return sessions_.size();
}

}  // namespace nearcall::rpc
