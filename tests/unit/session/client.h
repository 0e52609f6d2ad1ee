// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "nearcall/log.h"
#include "session/client_session.h"
#include "session/waiting_call.h"
#include "unit/session/link.h"

namespace nearcall::session::testing {

constexpr uint64_t kMethod = 1000;  // as in Header()

// The lines that a session logs. Thread-safe; a sink may outlive it, as a session does that the monitor still holds.
class LogLines {
 public:
  LogSink Sink() {
    return [lines = lines_](LogSeverity, absl::string_view line) {
      const std::lock_guard<std::mutex> lock(lines->mutex);
      lines->all.emplace_back(line);
    };
  }
  std::vector<std::string> all() const {
    const std::lock_guard<std::mutex> lock(lines_->mutex);
    return lines_->all;
  }

 private:
  struct Lines {
    std::mutex mutex;
    std::vector<std::string> all;
  };

  const std::shared_ptr<Lines> lines_ = std::make_shared<Lines>();
};

struct CallSpec {
  std::string request = "q";
  size_t lane = 1;
  base::SteadyNs deadline = Patience();
  bool fail_fast = false;
};

// A call as rpc makes one, without protobuf: what comes back is the reply's text.
inline absl::StatusOr<std::string> MakeCall(ClientSession& session, WaitingCall& call, const CallSpec& spec) {
  call.method_id = kMethod;
  call.lane = spec.lane;
  call.started = base::NowNs();
  call.deadline = spec.deadline;
  if (absl::Status begun = call.Begin(spec.fail_fast); !begun.ok()) return begun;
  wire::FrameHeader header = Header(wire::FrameKind::kRequest, call.id, spec.lane);
  const size_t size = spec.request.size();
  const auto write = [&](std::span<std::byte> to) { std::memcpy(to.data(), spec.request.data(), to.size()); };
  const bool whole = wire::kHeaderSize + size <= session.transport().max_frame_size();
  bool sent = whole && call.TrySend(header, size, write);
  if (!sent) {
    Outgoing message(header, size, session.transport().max_frame_size());
    size_t offset = 0;
    do {
      const size_t piece = std::min(size - offset, session.transport().max_frame_size() - wire::kHeaderSize);
      message.piece = AsBytes(spec.request).subspan(offset, piece);
      offset += piece;
      sent = call.Send(message, spec.fail_fast);
    } while (sent && offset < size);
  }
  if (sent) call.Wait();
  absl::StatusOr<std::string> outcome =
      call.failure.ok() ? absl::StatusOr<std::string>(AsText(std::as_const(call.reply.bytes).bytes()))
                        : absl::StatusOr<std::string>(call.failure);
  call.Release();
  return outcome;
}

// A call in a thread of its own.
class CallThread {
 public:
  CallThread(std::shared_ptr<ClientSession> session, CallSpec spec)
      : session_(std::move(session)), call_(*session_), thread_([this, spec = std::move(spec)] {
          outcome_ = MakeCall(*session_, call_, spec);
          ended_ = true;
        }) {}
  CallThread(const CallThread&) = delete;
  CallThread& operator=(const CallThread&) = delete;
  ~CallThread() { Join(); }

  // To be cancelled.
  WaitingCall& call() { return call_; }

  bool ended() const { return ended_; }

  const absl::StatusOr<std::string>& outcome() {
    Join();
    return outcome_;
  }

 private:
  void Join() {
    if (thread_.joinable()) thread_.join();
  }

  const std::shared_ptr<ClientSession> session_;
  WaitingCall call_;
  absl::StatusOr<std::string> outcome_ = absl::UnknownError("still running");
  std::atomic<bool> ended_{false};
  std::thread thread_;  // last: it uses the others
};

}  // namespace nearcall::session::testing
