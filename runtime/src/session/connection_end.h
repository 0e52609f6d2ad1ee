// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/log.h"
#include "base/mutex.h"
#include "session/server_name.h"
#include "transport/child.h"
#include "transport/control.h"

namespace nearcall::session {

// How the connection of a client ends, and why: the server is gone, or breaks the protocol, or says that it takes no
// more calls, or gives no sign of life; or this side hangs up. Holds the control socket, whose hang-up is the end for
// both, and of a child of this process too: it is dismissed.
//
// Thread-safe. May be used with the session's lock held.
class ConnectionEnd {
 public:
  // `on_end`: hears when it is not usable any more. Must not block, nor use this. `child`: the server, if this process
  // has started it; may be null.
  ConnectionEnd(ServerName server, std::shared_ptr<base::Logger> logger, std::function<void()> on_end = {},
                std::shared_ptr<transport::Child> child = nullptr)
      : server_(std::move(server)), logger_(std::move(logger)), on_end_(std::move(on_end)), child_(std::move(child)) {}
  ConnectionEnd(const ConnectionEnd&) = delete;
  ConnectionEnd& operator=(const ConnectionEnd&) = delete;
  ~ConnectionEnd() { Dismiss(); }

  // Once. What has ended meanwhile is hung up now. kBorrowed: somebody else ends the connection, and nothing here hangs
  // up.
  enum class Hold : bool { kOwn, kBorrowed };
  void Attach(std::shared_ptr<transport::ControlChannel> control, Hold hold = Hold::kOwn);
  // nullptr before Attach().
  transport::ControlChannel* control();

  const ServerName& server() const { return server_; }

  // Nothing comes any more but what the server had published before.
  bool dead() const { return gone_.load(std::memory_order_acquire) || broken(); }
  bool broken() const { return broken_.load(std::memory_order_acquire); }
  bool going_away() const { return going_away_.load(std::memory_order_acquire); }
  // Whether new calls may begin.
  bool usable() const { return !going_away() && !dead(); }

  void NoteGone() {
    Note(gone_);
    Dismiss();
  }
  void NoteGoingAway() { Note(going_away_); }

  // nullptr: the server is none of this process's.
  transport::Child* child() const { return child_.get(); }
  // The log says how the child has ended, if that is news to somebody.
  void LogFate();

  // The server has broken the protocol: the log says so, and this side hangs up. False: it had before.
  bool Break(const absl::Status& violation);

  // The server gives no sign of life, as `why` says: the log says so, this side hangs up, and calls end with
  // UNAVAILABLE and that text. Does nothing if the connection has ended.
  void GiveUp(const std::string& why);

  void HangUp();
  // Tells the server that nobody waits for that call any more.
  void SendCancel(uint64_t call_id);

  // What calls end with. A copy of its own for each: they are on different threads.
  absl::Status Failure();

 private:
  struct Held {
    std::shared_ptr<transport::ControlChannel> control;
    transport::ControlChannel* own = nullptr;  // the same; null: borrowed
  };

  void HangUpControl();
  void Note(std::atomic<bool>& end) {
    end.store(true, std::memory_order_release);
    if (on_end_) on_end_();
  }
  void Dismiss() {
    if (child_ != nullptr) child_->Dismiss(transport::Child::Ask::kByHangUp);
  }

  const ServerName server_;
  const std::shared_ptr<base::Logger> logger_;
  const std::function<void()> on_end_;
  const std::shared_ptr<transport::Child> child_;  // may be null

  std::atomic<bool> gone_{false};
  std::atomic<bool> broken_{false};
  std::atomic<bool> going_away_{false};

  base::Mutex mutex_;  // taken after the session's
  Held held_ ABSL_GUARDED_BY(mutex_);
  absl::Status cause_ ABSL_GUARDED_BY(mutex_);  // OK: the server has gone
};

}  // namespace nearcall::session
