// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

// Not for programs to use by hand.
namespace nearcall::internal {

// A message for the length of one handler, empty, and with the memory that one of the calls before has left: each
// thread keeps one of each type and `Use`, for a handler may have a request and a reply of one type. Used by one
// thread, which has it on its stack.
//
//   WarmRequest<Request> request;
//   if (!call.ParseRequest(*request)) return;
//   ...
//   request.Keep(size);
template <typename M, typename Use>
class WarmMessage {
 public:
  WarmMessage() : message_(Kept().message != nullptr ? std::move(Kept().message) : std::make_unique<M>()) {}
  WarmMessage(const WarmMessage&) = delete;
  WarmMessage& operator=(const WarmMessage&) = delete;

  M& operator*() const { return *message_; }

  // Its memory may be kept, now that nobody needs the message: without this it is freed. `size`: of the message as it
  // travels.
  void Keep(size_t size) {
    OfThread& kept = Kept();
    kept.used += size + kLeast;
    if (kept.used > kMostUsed) {
      kept.used = 0;
      message_.reset();
      return;
    }
    message_->Clear();
    kept.message = std::move(message_);
  }

 private:
  // In memory a message can be many times as large as on its way, and what it holds adds up from call to call: after so
  // many bytes a new one is begun. (Message::SpaceUsedLong() would need the descriptors.)
  static constexpr size_t kMostUsed = size_t{16} << 10;
  static constexpr size_t kLeast = 16;

  struct OfThread {
    std::unique_ptr<M> message;
    size_t used = 0;  // by those that had its memory
  };

  static OfThread& Kept() {
    thread_local OfThread kept;
    return kept;
  }

  std::unique_ptr<M> message_;
};

template <typename M>
using WarmRequest = WarmMessage<M, struct OfRequests>;
template <typename M>
using WarmReply = WarmMessage<M, struct OfReplies>;

}  // namespace nearcall::internal
