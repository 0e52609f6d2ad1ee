// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <stop_token>
#include <string>

namespace search {

// Lines from a descriptor, until its end or a stop request: a thread that is in std::getline could not be stopped.
class Lines {
 public:
  // `fd` outlives this.
  Lines(int fd, const std::stop_token& stop);
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  // Waits for the next one, without its newline. False: there are no more.
  bool Next(std::string* line);

 private:
  // Readable once it is set.
  class Event {
   public:
    Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    ~Event();
    void Set() const;
    int fd() const { return fd_; }

   private:
    const int fd_;
  };

  bool ReadMore();

  const int fd_;
  const Event stopped_;
  std::string unread_;
  bool ended_ = false;
  std::stop_callback<std::function<void()>> on_stop_;  // last: it is over before what it uses is gone
};

}  // namespace search
