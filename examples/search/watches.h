// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "index.h"
#include "search.nearcall.pb.h"

namespace search {

class Watches;

// The words that one client watches, and what it has not been told yet. One thread changes the words, one tells, and
// any thread may offer files.
class Watch {
 public:
  // `watches` outlives this, which belongs to it until its end.
  explicit Watch(Watches& watches);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();

  // Waits while the client has not been told of earlier changes: one that writes and does not read makes itself wait,
  // instead of filling our memory. INVALID_ARGUMENT, and nothing changed, if something is not one word;
  // RESOURCE_EXHAUSTED if they get too many; CANCELLED if nobody listens any more.
  absl::Status Change(const v1::WatchRequest& request);

  // Tells whatever there is to tell, and waits for more, until `stop` is requested and everything has been told, or
  // `tell` says that nobody listens.
  void Tell(const std::stop_token& stop, absl::FunctionRef<bool(const v1::WatchReply&)> tell);

  // The file at `path` has come into the index. Never waits: what the client does not read in time is dropped, so that
  // a slow one holds up nobody who adds files.
  void Offer(const Index& index, const std::string& path);

 private:
  // The next thing to tell. False: `stop` is requested, and there is none.
  bool Next(v1::WatchReply& reply, std::stop_token stop);

  Watches& watches_;

  std::mutex mutex_;  // guards the rest
  std::condition_variable_any changed_;
  std::set<std::string> words_;
  std::deque<v1::WatchReply> untold_;
  size_t untold_changes_ = 0;
  uint64_t missed_ = 0;
  bool nobody_listens_ = false;
};

// All that goes on. Thread-safe.
class Watches {
 public:
  void Offer(const Index& index, const std::string& path);

 private:
  friend class Watch;

  std::mutex mutex_;
  std::set<Watch*> watches_;  // guarded by mutex_
};

}  // namespace search
