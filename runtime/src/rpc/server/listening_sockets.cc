// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/listening_sockets.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/syscall.h"
#include "rpc/server/watch_fd.h"

namespace nearcall::rpc {

namespace {

// Each of them has two: somebody connects, something has happened to its name.
constexpr uint64_t kEventsOfOne = 2;

// Until the next try to bind a name again, while another server is just binding one: nobody tells when it can succeed.
constexpr absl::Duration kPause = absl::Milliseconds(10);

}  // namespace

void ListeningSockets::WatchIn(int epoll, uint64_t first_event) {
  epoll_ = epoll;
  first_event_ = first_event;
}

absl::Status ListeningSockets::Add(std::shared_ptr<transport::Listener> listener, Transports transports) {
  base::MutexLock lock(mutex_);
  return AddLocked(std::move(listener), std::move(transports));
}

absl::Status ListeningSockets::AddLocked(std::shared_ptr<transport::Listener> listener, Transports transports) {
  auto place = std::find_if(sockets_.begin(), sockets_.end(), [](const One& one) { return one.is_free(); });
  if (place == sockets_.end()) place = sockets_.emplace(place);
  const uint64_t first = first_event_ + static_cast<uint64_t>(place - sockets_.begin()) * kEventsOfOne;
  *place = {.listener = std::move(listener), .transports = std::move(transports)};
  absl::Status status = WatchFd(epoll_, place->listener->fd(), first);
  if (place->listener->name_fd() >= 0) status.Update(WatchFd(epoll_, place->listener->name_fd(), first + 1));
  return status;
}

// Explicitly: a forked child may hold a duplicate, and then closing ours would not end the watch (epoll(7)).
void ListeningSockets::Unwatch(const transport::Listener& listener) const {
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, listener.fd(), nullptr);
  if (listener.name_fd() >= 0) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, listener.name_fd(), nullptr);
}

absl::Status ListeningSockets::Close() {
  std::vector<One> sockets;  // destroyed without the lock
  absl::Status unlinked;
  base::MutexLock lock(mutex_);
  closed_ = true;
  sockets.swap(sockets_);
  for (const One& one : sockets) {
    if (one.is_free()) continue;
    Unwatch(*one.listener);
    unlinked.Update(one.listener->Unlink());
  }
  return unlinked;
}

bool ListeningSockets::GiveAway(const transport::Listener& listener) {
  std::shared_ptr<transport::Listener> given;  // destroyed without the lock
  base::MutexLock lock(mutex_);
  for (One& one : sockets_) {
    if (one.listener.get() != &listener) continue;
    Unwatch(listener);
    given = std::move(one.listener);
    one = {};
  }
  return given != nullptr &&
         std::all_of(sockets_.begin(), sockets_.end(), [](const One& one) { return one.is_free(); });
}

absl::Status ListeningSockets::TakeOver() {
  std::vector<std::shared_ptr<transport::Listener>> listeners;
  {
    base::MutexLock lock(mutex_);
    for (const One& one : sockets_) {
      if (!one.is_free()) listeners.push_back(one.listener);
    }
  }
  for (const auto& listener : listeners) {
    if (absl::Status taken = listener->TakeOver(); !taken.ok()) return taken;
  }
  return absl::OkStatus();
}

void ListeningSockets::OnEvent(uint64_t event) {
  const size_t index = (event - first_event_) / kEventsOfOne;
  if ((event - first_event_) % kEventsOfOne == 1) return LookAfterName(index);
  base::MutexLock lock(mutex_);
  if (index < sockets_.size()) sockets_[index].somebody_waits = true;
}

// Somebody has done something to it. Without the lock, for it looks at files.
void ListeningSockets::LookAfterName(size_t index) {
  std::shared_ptr<transport::Listener> listener;
  {
    base::MutexLock lock(mutex_);
    if (index < sockets_.size()) listener = sockets_[index].listener;
  }
  if (listener == nullptr) return;
  auto news = listener->LookAfterName();
  {
    base::MutexLock lock(mutex_);
    if (index < sockets_.size()) sockets_[index].name_is_lost = news && news->is_unsettled();
  }
  if (!news) return;
  if (news->is_unsettled()) {
    look_again_at_ = base::AfterNow(kPause);
    return;
  }
  logger_.Log({base::LogKind::kConnection}, LogSeverity::kWarning, news->text);
  if (news->successor == nullptr) return;
  absl::Status status;
  {
    base::MutexLock lock(mutex_);
    if (closed_) return;  // the successor's end gives up the name
    // Whoever waits at the former socket is taken, then it goes.
    sockets_[index].has_successor = true;
    sockets_[index].somebody_waits = true;
    status = AddLocked(std::move(news->successor), sockets_[index].transports);
  }
  if (!status.ok()) logger_.Log({base::LogKind::kConnection}, LogSeverity::kError, status.message());
}

void ListeningSockets::LookAfterLostNames() {
  if (base::NowNs() < look_again_at_) return;
  const size_t sockets = count();
  for (size_t index = 0; index < sockets; ++index) {
    bool is_lost;
    {
      base::MutexLock lock(mutex_);
      is_lost = index < sockets_.size() && sockets_[index].name_is_lost;
    }
    if (is_lost) LookAfterName(index);
  }
}

base::SteadyNs ListeningSockets::NextLookAt() {
  base::MutexLock lock(mutex_);
  const bool any = std::any_of(sockets_.begin(), sockets_.end(), [](const One& one) { return one.name_is_lost; });
  return any ? look_again_at_ : base::kNever;
}

size_t ListeningSockets::count() {
  base::MutexLock lock(mutex_);
  return sockets_.size();
}

bool ListeningSockets::SomebodyWaits() {
  base::MutexLock lock(mutex_);
  return std::any_of(sockets_.begin(), sockets_.end(), [](const One& one) { return one.somebody_waits; });
}

// The lock is held so that Close() can close the socket.
ListeningSockets::Accepted ListeningSockets::Accept(size_t index) {
  base::MutexLock lock(mutex_);
  if (index >= sockets_.size()) return {.newcomer = {}, .error = EAGAIN, .transports = nullptr};
  One& one = sockets_[index];
  if (one.is_free() || !one.somebody_waits) return {.newcomer = {}, .error = EAGAIN, .transports = nullptr};
  Accepted accepted{
      .newcomer = one.listener->Accept(), .error = 0, .transports = one.transports, .listener = one.listener};
  if (!accepted.somebody()) accepted.error = errno;
  if (accepted.error == EAGAIN || accepted.failed_for_good()) one.somebody_waits = false;
  if (one.has_successor && !one.somebody_waits) {
    Unwatch(*one.listener);
    one.listener.reset();
  }
  return accepted;
}

std::optional<std::string> ListeningSockets::NameOf(size_t index) {
  base::MutexLock lock(mutex_);
  if (index >= sockets_.size() || sockets_[index].is_free()) return std::nullopt;
  return sockets_[index].listener->name();
}

std::string ListeningSockets::DebugString() {
  std::string text;
  base::MutexLock lock(mutex_);
  for (const One& one : sockets_) {
    if (!one.is_free()) absl::StrAppend(&text, "listening: ", one.listener->name(), "\n");
  }
  return text;
}

}  // namespace nearcall::rpc
