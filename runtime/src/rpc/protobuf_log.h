// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace nearcall::rpc {

// Catches what protobuf would write to standard error by itself while it reads or writes a message on this thread: a
// peer's bytes make it do so, as fast as they come, and it blocks where standard error does.
//
//   const ProtobufLog log;
//   const bool parsed = message.ParsePartialFromArray(...);
//   ... log.text() ...
//
// On other threads, and outside of the life of such an object, everything goes where it went before. A program that
// calls google::protobuf::SetLogHandler() later than its first Start() or Connect() takes that away from us, and hears
// of these lines itself.
class ProtobufLog {
 public:
  // Once in a process, before messages are read or written.
  static void Install();

  ProtobufLog() : outer_(current_) { current_ = this; }
  ~ProtobufLog() { current_ = outer_; }
  ProtobufLog(const ProtobufLog&) = delete;
  ProtobufLog& operator=(const ProtobufLog&) = delete;

  // The first line; empty if there was none.
  const std::string& text() const { return text_; }

 private:
  friend struct ProtobufLogHandler;

  static inline thread_local ProtobufLog* current_ = nullptr;
  ProtobufLog* const outer_;
  std::string text_;
};

}  // namespace nearcall::rpc
