// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "nearcall/interceptor.h"

namespace nearcall::integration {

// What interceptors have seen, one line each: "A starts Say", "A ends Say OK, 1 sent, 1 received".
class Seen {
 public:
  void Add(std::string line) {
    base::MutexLock lock(mutex_);
    lines_.push_back(std::move(line));
  }
  std::vector<std::string> Take() {
    base::MutexLock lock(mutex_);
    return std::exchange(lines_, {});
  }
  size_t size() const {
    base::MutexLock lock(mutex_);
    return lines_.size();
  }

 private:
  mutable base::Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

inline std::string MethodOf(const CallInfo& call) {
  return std::string(call.method.substr(call.method.rfind('/') + 1));
}

// Notes what it sees, and does what the test says besides: `Call` is CallOptions, of a client, or ServerContext.
template <typename Base, typename Call>
class Recording final : public Base {
 public:
  using OnStart = std::function<absl::Status(Call& call)>;
  using OnEnd = std::function<void(const CallEnd& end)>;

  Recording(Seen& seen, std::string name, OnStart on_start = nullptr, OnEnd on_end = nullptr)
      : seen_(seen), name_(std::move(name)), on_start_(std::move(on_start)), on_end_(std::move(on_end)) {}

  absl::StatusOr<OnCallEnd> Start(const CallInfo& info, Call& call) override {
    seen_.Add(absl::StrCat(name_, " starts ", MethodOf(info)));
    if (on_start_) {
      if (absl::Status status = on_start_(call); !status.ok()) return status;
    }
    return [this](const CallEnd& end) {
      seen_.Add(absl::StrCat(name_, " ends ", MethodOf(end.call), " ", absl::StatusCodeToString(end.status.code()),
                             ", ", end.sent, " sent, ", end.received, " received"));
      if (on_end_) on_end_(end);
    };
  }

 private:
  Seen& seen_;
  const std::string name_;
  const OnStart on_start_;
  const OnEnd on_end_;
};

using RecordingClient = Recording<ClientInterceptor, CallOptions>;
using RecordingServer = Recording<ServerInterceptor, ServerContext>;

}  // namespace nearcall::integration
