// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/fifo_control.h"

#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "transport/rendezvous/control_message.h"
#include "transport/rendezvous/monitor_use.h"
#include "transport/rendezvous/watched_channel.h"

namespace nearcall::transport::fifo {

namespace {

constexpr uint32_t kIncoming = 0;
constexpr uint32_t kOutgoing = 1;
// The kernel always tells of the end.
constexpr uint32_t kOnlyTheEnd = 0;

// Until it is looked again whether something lies unread: after each time that something has, longer if it has not been
// read since. What somebody reads costs next to nothing then, and what nobody reads is not left lying for long.
constexpr int64_t kFirstPauseNs = 50'000'000;
constexpr int64_t kLongestPauseNs = 800'000'000;

// The part of a channel that the monitor calls.
class Watch final : public base::Reactor::Target, public std::enable_shared_from_this<Watch> {
 public:
  Watch(base::Reactor* monitor, std::shared_ptr<Line> line, std::weak_ptr<ControlSink> sink)
      : monitor_(monitor), line_(std::move(line)), sink_(std::move(sink)) {}

  absl::Status Begin() {
    id_ = monitor_->Add(shared_from_this());
    absl::Status watched = monitor_->Watch(id_, kIncoming, line_->watched_incoming(), EPOLLIN);
    watched.Update(monitor_->Watch(id_, kOutgoing, line_->watched_outgoing(), kOnlyTheEnd));
    line_->heard().Attach(*monitor_, id_);
    return watched;
  }

  void End() {
    HangUp();
    line_->heard().Detach();
    monitor_->Unwatch(line_->watched_incoming());
    if (id_ != 0) monitor_->Remove(id_);  // else there was no memory to begin
  }

  // There the monitor's table, which holds us too, is never touched, so nobody else closes them.
  void CloseInChild() { line_->CloseInChild(); }

  void HangUp() {
    silent_.store(true, std::memory_order_release);  // pairs with IsSilent()
    monitor_->Unwatch(line_->watched_outgoing());
    line_->HangUp();
  }

  void Send(const ControlMessage& message) {
    if (!line_->Send(EncodeControl(message))) WaitForRoom(true);
  }

  void OnReady(uint32_t slot, uint32_t events) override {
    if (gone_) return;
    if (slot == kIncoming) return (events & EPOLLHUP) != 0 ? ReportGone() : OnUnread();
    if ((events & EPOLLOUT) != 0 && line_->SendWaiting()) WaitForRoom(false);
    // SUBTLE: who has sent one meanwhile may have asked before that was taken back.
    if (!line_->SendWaiting()) WaitForRoom(true);
  }

  size_t OnTurn(size_t /*max*/) override {
    for (int i = 0; i < base::kControlBatch; ++i) {
      const std::optional<ControlMessage> message = line_->heard().Next();
      if (!message) return 0;
      if (!gone_) Hear(*message);
    }
    line_->heard().AskForTurn();
    return 0;
  }

 private:
  void Hear(const ControlMessage& message) {
    const std::shared_ptr<ControlSink> sink = Listening();
    if (sink == nullptr) return;
    if (message.kind != ControlMessage::Kind::kPing) return sink->OnControl(message);
    Send({.kind = ControlMessage::Kind::kPong, .call_id = message.call_id, .progress = sink->OnPing()});
  }

  // Whoever reads does; else the sink sees to it. Not looked at again for a while.
  void OnUnread() {
    monitor_->ChangeEvents(id_, kIncoming, line_->watched_incoming(), kOnlyTheEnd);
    const std::shared_ptr<ControlSink> sink = Listening();
    if (sink == nullptr) return;
    sink->OnControl({.kind = ControlMessage::Kind::kRing});
    pause_ns_ = line_->SomethingIsUnread() ? std::min(2 * pause_ns_, kLongestPauseNs) : kFirstPauseNs;
    const auto look = [weak = weak_from_this()] {
      if (const std::shared_ptr<Watch> self = weak.lock()) self->LookForUnread();
    };
    base::UntilThereIsMemory([&] { monitor_->AddTimer(base::AddNs(base::NowNs(), pause_ns_), look); });
  }

  void LookForUnread() {
    if (gone_ || IsSilent()) return;
    monitor_->ChangeEvents(id_, kIncoming, line_->watched_incoming(), EPOLLIN);
  }

  void ReportGone() {
    gone_ = true;
    monitor_->Unwatch(line_->watched_incoming());
    monitor_->Unwatch(line_->watched_outgoing());
    if (const std::shared_ptr<ControlSink> sink = Listening()) sink->OnPeerGone();
  }

  void WaitForRoom(bool wait) {
    monitor_->ChangeEvents(id_, kOutgoing, line_->watched_outgoing(), wait ? uint32_t{EPOLLOUT} : kOnlyTheEnd);
  }

  bool IsSilent() const { return silent_.load(std::memory_order_acquire); }
  std::shared_ptr<ControlSink> Listening() const { return IsSilent() ? nullptr : sink_.lock(); }

  base::Reactor* const monitor_;  // alive while it calls us, and while the channel keeps it in use
  const std::shared_ptr<Line> line_;
  const std::weak_ptr<ControlSink> sink_;
  base::Reactor::Id id_ = 0;
  // The monitor's thread only:
  int64_t pause_ns_ = kFirstPauseNs;
  bool gone_ = false;
  std::atomic<bool> silent_{false};  // the channel's owner has hung up: the sink hears nothing further
};

}  // namespace

absl::StatusOr<std::unique_ptr<ControlChannel>> FifoControl::Watch(std::weak_ptr<ControlSink> sink,
                                                                   base::Reactor* reactor) {
  absl::StatusOr<MonitorUse> monitor = MonitorUse::Acquire(reactor);
  if (!monitor.ok()) return monitor.status();
  auto watch = std::make_shared<fifo::Watch>(monitor->get(), line_, std::move(sink));
  return WatchedChannel<fifo::Watch>::Begin(*std::move(monitor), std::move(watch));
}

}  // namespace nearcall::transport::fifo
