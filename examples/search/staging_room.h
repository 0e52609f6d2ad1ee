// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <mutex>

namespace search {

// How much all uploads together may have in memory before they are whole. Thread-safe.
class StagingRoom {
 public:
  explicit StagingRoom(size_t bytes) : bytes_(bytes), left_(bytes) {}
  StagingRoom(const StagingRoom&) = delete;
  StagingRoom& operator=(const StagingRoom&) = delete;

  size_t bytes() const { return bytes_; }

  // False, and nothing taken: there is not so much left.
  bool Take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }

  void GiveBack(size_t bytes) {
    const std::lock_guard lock(mutex_);
    left_ += bytes;
  }

 private:
  const size_t bytes_;
  std::mutex mutex_;
  size_t left_;  // guarded by mutex_
};

}  // namespace search
