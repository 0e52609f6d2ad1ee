// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/stuck_calls.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/standard_error.h"

namespace nearcall::rpc {

namespace {

using session::ActiveCall;

// Calls that one line names; the others are counted.
constexpr size_t kNamed = 5;

const char* WhatItDoes(ActiveCall::Stage stage) {
  switch (stage) {
    case ActiveCall::Stage::kWaiting:
      return "it waits for a handler's place";
    case ActiveCall::Stage::kInHandler:
      return "its handler has not returned";
    case ActiveCall::Stage::kSuspended:
      return "its handler, a coroutine, has not ended";
    case ActiveCall::Stage::kDeferred:
      return "its handler has returned, and whoever has its Done has neither called nor destroyed it";
  }
  return "";
}

std::string Seconds(int64_t ns) {
  return absl::FormatDuration(absl::Trunc(absl::Nanoseconds(ns), absl::Milliseconds(100)));
}

}  // namespace

void StuckCalls::Add(const std::shared_ptr<session::ServerSession>& session) {
  base::MutexLock lock(mutex_);
  if (sessions_.size() >= sweep_at_) {
    std::erase_if(sessions_, [](const auto& known) { return known.expired(); });
    sweep_at_ = std::max<size_t>(64, 2 * sessions_.size());
  }
  // One that is not known here is not hung up on at the end.
  base::Append(sessions_, session);
}

void StuckCalls::Watch() {
  const base::SteadyNs now = base::NowNs();
  {
    base::MutexLock lock(mutex_);
    if (since_ != 0 || stopped_) return;
    since_ = now;
  }
  HangUpOnAll();
  StartTimer(now);
}

void StuckCalls::HangUpOnAll() {
  std::vector<std::shared_ptr<session::ServerSession>> sessions;
  {
    base::MutexLock lock(mutex_);
    const size_t count = sessions_.size();
    base::UntilThereIsMemory([&] { sessions.reserve(count); });
    for (const auto& known : sessions_) {
      if (std::shared_ptr<session::ServerSession> session = known.lock()) sessions.push_back(std::move(session));
    }
  }
  for (const auto& session : sessions) session->HangUp();
}

// As long again as it has lasted, so that the log says it a few times and does not fill.
void StuckCalls::StartTimer(base::SteadyNs now) {
  base::MutexLock lock(mutex_);
  if (stopped_) return;
  const int64_t pause = std::clamp(now - since_, base::kStuckEndMinNs, base::kStuckEndMaxNs);
  const base::SteadyNs abort_at = base::AddNs(since_, absl::ToInt64Nanoseconds(core_.options.abort_after_grace));
  const base::SteadyNs when = now < abort_at ? std::min(base::AddNs(now, pause), abort_at) : now;
  auto timer = base::OrNoMemory([&] {
    return transport::StartTimer(
        when, [this] { OnTime(); }, core_.reactor());
  });
  if (timer.ok()) timer_ = *std::move(timer);
}

// On the monitor, or in the event queue.
void StuckCalls::OnTime() {
  const base::SteadyNs now = base::NowNs();
  if (core_.active_calls.load(std::memory_order_seq_cst) == 0) return;
  base::SteadyNs abort_at;
  {
    base::MutexLock lock(mutex_);
    abort_at = base::AddNs(since_, absl::ToInt64Nanoseconds(core_.options.abort_after_grace));
  }
  try {
    const std::string text = Describe(now);
    if (now >= abort_at) EndProcess(text);
    core_.logger->Log({}, LogSeverity::kError, text);
  } catch (const std::bad_alloc&) {
  }
  StartTimer(now);
}

std::string StuckCalls::Describe(base::SteadyNs now) {
  std::vector<std::string> named;
  base::MutexLock lock(mutex_);
  for (const auto& known : sessions_) {
    const std::shared_ptr<session::ServerSession> session = known.lock();
    if (session == nullptr || named.size() == kNamed) continue;
    const PeerIdentity& peer = session->client().peer();
    session->calls().ForEachUntil([&](ActiveCall& call) {
      const char* const method = call.method_name() == nullptr ? "a method that there is not" : call.method_name();
      named.push_back(absl::StrCat(method, " of pid ", peer.pid, " uid ", peer.uid, " (connection ", session->id(),
                                   "), which came ", Seconds(now - call.arrived()),
                                   " ago: ", WhatItDoes(call.stage())));
      return named.size() == kNamed;
    });
  }
  const size_t count = core_.active_calls.load(std::memory_order_relaxed);
  return absl::StrCat("the server cannot end: ", Seconds(now - since_), " after its grace ", count,
                      count == 1 ? " call has" : " calls have", " not ended: ", absl::StrJoin(named, "; "),
                      count > named.size() ? "; and others" : "",
                      ". A handler must return soon after ServerContext::IsCancelled() or its stop_token() says so; a "
                      "Done must be called or destroyed. ServerOptions::abort_after_grace ends such a process");
}

void StuckCalls::EndProcess(const std::string& text) {
  core_.logger->Log({}, LogSeverity::kError, text);
  core_.logger->Flush();
  // The user's sink may be what is stuck.
  base::StandardError::TryWrite(absl::StrCat("nearcall: abort: ", text, "\n"));
  std::abort();
}

void StuckCalls::Stop() {
  std::unique_ptr<transport::Timer> timer;  // destroyed without the lock, which its callback takes
  base::MutexLock lock(mutex_);
  stopped_ = true;
  timer = std::move(timer_);
}

}  // namespace nearcall::rpc
