// SPDX-License-Identifier: Apache-2.0
#include <sys/epoll.h>
#include <sys/socket.h>

#include <atomic>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "base/mutex.h"
#include "base/syscall.h"
#include "transport/control.h"
#include "transport/rendezvous/control_message.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/monitor_use.h"
#include "transport/rendezvous/peer_socket.h"
#include "transport/rendezvous/watched_channel.h"

namespace nearcall::transport {

namespace {

constexpr uint32_t kSocketSlot = 0;
constexpr uint32_t kPidfdSlot = 1;
constexpr uint32_t kSocketEvents = EPOLLIN | EPOLLRDHUP;

// The part of a channel that the monitor calls. Shared by both: whoever lets go last closes the descriptors.
class ControlWatch final : public base::Reactor::Target, public std::enable_shared_from_this<ControlWatch> {
 public:
  ControlWatch(base::Reactor* monitor, base::Fd control, base::Fd pidfd, std::weak_ptr<ControlSink> sink)
      : monitor_(monitor), control_(std::move(control)), pidfd_(std::move(pidfd)), sink_(std::move(sink)) {}

  ~ControlWatch() override { CloseSocket(std::move(control_)); }

  absl::Status Begin() {
    StopIdentifying(control_);  // who it is has been settled
    id_ = monitor_->Add(shared_from_this());
    absl::Status watched = monitor_->Watch(id_, kSocketSlot, control_.get(), kSocketEvents);
    if (watched.ok() && pidfd_.valid()) watched = monitor_->Watch(id_, kPidfdSlot, pidfd_.get(), EPOLLIN);
    return watched;
  }

  void End() {
    HangUp();
    Unwatch();
    if (id_ != 0) monitor_->Remove(id_);  // else there was no memory to begin
  }

  // In a forked child: the monitor's table, which holds us too, is never touched there, so nobody else closes them.
  void CloseInChild() {
    control_.Reset();
    pidfd_.Reset();
  }

  void HangUp() {
    silent_.store(true, std::memory_order_release);  // pairs with IsSilent()
    ::shutdown(control_.get(), SHUT_RDWR);
  }

  void Send(const ControlMessage& message) {
    const ControlBytes bytes = EncodeControl(message);
    base::MutexLock lock(send_mutex_);
    if (unsent_.empty() && SendNow(bytes)) return;
    if (unsent_.size() == base::kMaxQueuedControlMessages) unsent_.pop_front();
    unsent_.push_back(bytes);
    if (unsent_.size() == 1) monitor_->ChangeEvents(id_, kSocketSlot, control_.get(), kSocketEvents | EPOLLOUT);
  }

  void OnReady(uint32_t slot, uint32_t events) override try {
    if (gone_) return;
    // Our own hang-up is readable too, and would be for good.
    if (IsSilent()) return ReportGone();
    if (slot == kPidfdSlot) {
      // Dead, though a child of the peer may hold the socket open. What the peer sent before still counts.
      Read(base::kMaxLastControlMessages);
      if (!gone_) ReportGone();
      return;
    }
    if ((events & EPOLLOUT) != 0) Flush();
    if ((events & ~uint32_t{EPOLLOUT}) != 0) Read(base::kControlBatch);
  } catch (const std::bad_alloc&) {
    // A message is lost: no connection any more. What is to be told of that needs little or waits for it.
    ::shutdown(control_.get(), SHUT_RDWR);
    ReportGone();
  }

 private:
  void Unwatch() {
    monitor_->Unwatch(control_.get());
    if (pidfd_.valid()) monitor_->Unwatch(pidfd_.get());
  }

  // Takes at most `count` messages, and the end if it is there.
  void Read(int count) {
    for (; count > 0 && !gone_ && !IsSilent(); --count) {
      const NextMessage next = LookAtNext(control_);
      if (next == NextMessage::kNone) return;
      if (next == NextMessage::kReset) continue;
      if (next == NextMessage::kFds) return ReportViolation("a control message brings descriptors");
      ControlBytes bytes;
      // MSG_TRUNC: the size of the message, even if it is larger than the buffer.
      const ssize_t size =
          base::Retry([&] { return ::recv(control_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_TRUNC); });
      if (size <= 0) {
        ReportGone();
      } else {
        OnBytes(bytes, static_cast<size_t>(size));
      }
    }
  }

  void OnBytes(const ControlBytes& bytes, size_t size) {
    if (size != kControlMessageSize) return ReportViolation("a control message has a wrong size, not 16 bytes");
    const std::optional<ControlMessage> message = DecodeControl(bytes);
    if (!message) return ReportViolation("a control message is of an unknown kind, not 1 to 5");
    const auto sink = Listening();
    if (message->kind == ControlMessage::Kind::kPing) {
      // Whoever asks whether somebody is there has his answer while the socket is.
      std::optional<Progress> progress;
      if (sink != nullptr) progress = sink->OnPing();
      Send({.kind = ControlMessage::Kind::kPong, .call_id = message->call_id, .progress = progress});
    } else if (sink != nullptr) {
      sink->OnControl(*message);
    }
  }

  void ReportViolation(const char* what) {
    if (const auto sink = Listening()) sink->OnControlViolation(what);
    ::shutdown(control_.get(), SHUT_RDWR);
    ReportGone();
  }

  void ReportGone() {
    gone_ = true;
    Unwatch();
    if (const auto sink = Listening()) sink->OnPeerGone();
  }

  bool IsSilent() const { return silent_.load(std::memory_order_acquire); }
  std::shared_ptr<ControlSink> Listening() const { return IsSilent() ? nullptr : sink_.lock(); }

  // False: no room now. A peer that is gone takes everything.
  bool SendNow(const ControlBytes& bytes) {
    const ssize_t sent =
        base::Retry([&] { return ::send(control_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL); });
    return sent >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM);
  }

  void Flush() {
    base::MutexLock lock(send_mutex_);
    while (!unsent_.empty() && SendNow(unsent_.front())) unsent_.pop_front();
    if (unsent_.empty()) monitor_->ChangeEvents(id_, kSocketSlot, control_.get(), kSocketEvents);
  }

  base::Reactor* const monitor_;  // alive while it calls us, and while the channel keeps it in use
  base::Fd control_;
  base::Fd pidfd_;
  const std::weak_ptr<ControlSink> sink_;
  base::Reactor::Id id_ = 0;
  bool gone_ = false;                // the monitor's thread only
  std::atomic<bool> silent_{false};  // the channel's owner has hung up: the sink hears nothing further

  base::Mutex send_mutex_;
  std::deque<ControlBytes> unsent_ ABSL_GUARDED_BY(send_mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<ControlChannel>> WatchControl(base::Fd control, base::Fd peer_pidfd,
                                                             std::weak_ptr<ControlSink> sink, base::Reactor* reactor) {
  auto monitor = MonitorUse::Acquire(reactor);
  if (!monitor.ok()) {
    CloseSocket(std::move(control));
    return monitor.status();
  }
  auto watch =
      std::make_shared<ControlWatch>(monitor->get(), std::move(control), std::move(peer_pidfd), std::move(sink));
  return WatchedChannel<ControlWatch>::Begin(*std::move(monitor), std::move(watch));
}

absl::StatusOr<std::unique_ptr<ControlChannel>> WatchControl(ControlEnd end, std::weak_ptr<ControlSink> sink,
                                                             base::Reactor* reactor) {
  if (end.in_band != nullptr) return end.in_band->Watch(std::move(sink), reactor);
  return WatchControl(std::move(end.socket), std::move(end.peer_pidfd), std::move(sink), reactor);
}

}  // namespace nearcall::transport
