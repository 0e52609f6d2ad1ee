// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/intrusive_list.h"
#include "session/stream.h"

namespace nearcall::session {

// A call that the server has read and that holds something of it still, as far as cancelling it, and telling of it,
// needs it.
class ActiveCall : public base::ListNode<ActiveCall> {
 public:
  explicit ActiveCall(uint64_t call_id = 0) : call_id_(call_id) {}
  uint64_t call_id() const { return call_id_; }
  uint64_t method_id() const { return method_id_; }
  // It goes on though its client has gone.
  bool one_way() const { return one_way_; }

  // If it streams. Guarded by the session's lock.
  Stream* stream() const { return stream_; }

  // Its reply is about to be sent, or never will be: the client may use its slot again. Any thread.
  void FreeSlot() { slot_is_free_.store(true, std::memory_order_release); }
  bool slot_is_free() const { return slot_is_free_.load(std::memory_order_acquire); }

  // For people. Any thread.
  enum class Stage { kWaiting, kInHandler, kDeferred, kSuspended };
  virtual Stage stage() const = 0;
  virtual const char* method_name() const = 0;  // "package.Service/Method"; nullptr: an unknown one
  virtual base::SteadyNs arrived() const = 0;

  // Nobody waits for the answer any more. Any thread, the monitor's too, under the session's lock: must not block, not
  // call the session, not allocate, and run no code of the user's.
  virtual void MarkCancelled() = 0;

  // Of a service that every server has: a server that ends does not wait for it. Under the session's lock.
  virtual bool is_standard() const { return false; }

 protected:
  ~ActiveCall() = default;
  void Begin(uint64_t call_id, uint64_t method_id, Stream* stream, bool one_way = false) {
    call_id_ = call_id;
    method_id_ = method_id;
    stream_ = stream;
    one_way_ = one_way;
    slot_is_free_.store(false, std::memory_order_relaxed);
  }

 private:
  uint64_t call_id_;
  uint64_t method_id_ = 0;
  Stream* stream_ = nullptr;
  bool one_way_ = false;
  std::atomic<bool> slot_is_free_{false};
};

}  // namespace nearcall::session
