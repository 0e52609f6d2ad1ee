#pragma once

namespace nearcall::rpc {

struct ServerCore;

// Marks that this thread runs a handler of a server, as long as it lives.
class InHandler {
 public:
  explicit InHandler(const ServerCore& core) : outer_(current) { current = &core; }
  ~InHandler() { current = outer_; }
  InHandler(const InHandler&) = delete;
  InHandler& operator=(const InHandler&) = delete;

  // Whether this thread is in a handler of that server.
  static bool Of(const ServerCore& core) { return current == &core; }

 private:
  static inline thread_local const ServerCore* current = nullptr;
  const ServerCore* const outer_;
};

}  // namespace nearcall::rpc
