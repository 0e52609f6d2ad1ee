// SPDX-License-Identifier: Apache-2.0
#include "rpc/protobuf_log.h"

#include <google/protobuf/stubs/common.h>

// Protocol Buffers 22 and newer log by Abseil, which has no handler that could keep a line from being written: there
// the program's settings count, and nothing is caught.
#if GOOGLE_PROTOBUF_VERSION >= 4022000

void nearcall::rpc::ProtobufLog::Install() {}

#else

#include <google/protobuf/stubs/logging.h>

#include <atomic>
#include <new>

namespace nearcall::rpc {

struct ProtobufLogHandler {
  // What was installed before; nullptr: nobody wants to know.
  static inline std::atomic<google::protobuf::LogHandler*> next{nullptr};

  static void Log(google::protobuf::LogLevel level, const char* file, int line, const std::string& text) {
    ProtobufLog* const here = ProtobufLog::current_;
    // A fatal one ends the process, and must say why.
    if (here == nullptr || level == google::protobuf::LOGLEVEL_FATAL) {
      if (google::protobuf::LogHandler* const outer = next.load(std::memory_order_acquire)) {
        outer(level, file, line, text);
      }
      return;
    }
    try {
      if (here->text_.empty()) here->text_ = text;
    } catch (const std::bad_alloc&) {
    }
  }
};

void ProtobufLog::Install() {
  [[maybe_unused]] static const bool installed = [] {
    ProtobufLogHandler::next.store(google::protobuf::SetLogHandler(&ProtobufLogHandler::Log),
                                   std::memory_order_release);
    return true;
  }();
}

}  // namespace nearcall::rpc

#endif
