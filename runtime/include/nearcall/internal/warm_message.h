// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <utility>

#include "google/protobuf/message.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/export.h"

// Not for programs to use by hand.
namespace nearcall::internal {

// Messages that hold much memory, of the whole process: bounded, and given back when nobody needs them. `prototype`
// tells which they are like. nullptr: there is none.
NEARCALL_EXPORT std::unique_ptr<google::protobuf::MessageLite> TakeLargeMessage(
    const google::protobuf::MessageLite& prototype);
NEARCALL_EXPORT void KeepLargeMessage(const google::protobuf::MessageLite& prototype,
                                      std::unique_ptr<google::protobuf::MessageLite> message, size_t bytes);

// A message for the length of one handler, empty, and with the memory that one of the calls before has left: each
// thread keeps a small one of each type, the process some large ones. Used by one thread, which has it on its stack.
//
//   WarmMessage<Request> request;
//   if (!call.ParseRequest(*request)) return;
//   ...
//   request.Keep(size);
template <typename M>
class WarmMessage {
 public:
  WarmMessage() : message_(Take()) {}
  WarmMessage(const WarmMessage&) = delete;
  WarmMessage& operator=(const WarmMessage&) = delete;

  M& operator*() const { return *message_; }

  // Its memory may be kept, now that nobody needs the message: without this it is freed. `size`: of the message as it
  // travels.
  void Keep(size_t size) {
    Of& mine = Mine();
    mine.since_measured += size + kLeast;
    if (mine.since_measured > kMeasureAfter) {
      mine.since_measured = 0;
      const size_t space = SpaceUsed(*message_);
      if (space > kSmall) {
        message_->Clear();
        mine.large = true;
        return KeepLargeMessage(M::default_instance(), std::move(message_), space);
      }
    }
    message_->Clear();
    mine.small = std::move(message_);
  }

 private:
  // What a thread keeps of each type, at most; a message can take many times the bytes in which it came, and its memory
  // adds up from call to call, so after so many bytes it is measured.
  static constexpr size_t kSmall = size_t{4} << 10;
  static constexpr size_t kMeasureAfter = size_t{4} << 10;
  static constexpr size_t kLeast = 16;

  struct Of {
    std::unique_ptr<M> small;
    size_t since_measured = 0;
    bool large = false;  // the last one was
  };

  static Of& Mine() {
    thread_local Of mine;
    return mine;
  }

  static std::unique_ptr<M> Take() {
    Of& mine = Mine();
    if (mine.large) {
      if (auto kept = TakeLargeMessage(M::default_instance())) {
        return std::unique_ptr<M>(static_cast<M*>(kept.release()));
      }
      mine.large = false;
    }
    return mine.small != nullptr ? std::move(mine.small) : std::make_unique<M>();
  }

  // What cannot be measured is taken for large, and for as large as can be.
  static size_t SpaceUsed(const M& message) {
    if constexpr (std::derived_from<M, google::protobuf::Message>) {
      return message.SpaceUsedLong();
    } else {
      return static_cast<size_t>(-1);
    }
  }

  std::unique_ptr<M> message_;
};

}  // namespace nearcall::internal
