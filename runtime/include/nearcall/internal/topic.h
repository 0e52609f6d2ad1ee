// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nearcall/buffer.h"
#include "nearcall/export.h"

namespace google::protobuf {
class MessageLite;
}

namespace nearcall {

enum class WhenBehind : uint8_t;

namespace internal {

class ServerStream;

// A nearcall::Topic without its type. Used by nearcall/topic.h; not for programs to use by hand.
class NEARCALL_EXPORT TopicCore {
 public:
  // One message for all who write it: serialised, once; and the memory that goes with it, if there is some (else null).
  using Message = std::shared_ptr<const google::protobuf::MessageLite>;
  using Attachments = std::shared_ptr<const std::vector<Buffer>>;

  struct Limits {
    size_t messages;
    size_t bytes;
    WhenBehind when_behind;
  };

  TopicCore();
  TopicCore(const TopicCore&) = delete;
  TopicCore& operator=(const TopicCore&) = delete;
  ~TopicCore();

  absl::Status Publish(const google::protobuf::MessageLite& message, std::span<const Buffer> attachments,
                       absl::Time deadline);
  void Close(absl::Status status);
  size_t subscribers() const;
  uint64_t published() const;
  uint64_t dropped() const;
  uint64_t disconnected() const;

  // One who takes what is published, over `stream`, which is told of news (TellNews) as long as this lives. Used by the
  // handler of the stream.
  class NEARCALL_EXPORT Subscription {
   public:
    Subscription(TopicCore& topic, ServerStream& stream, const Limits& limits);
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription();

    struct Next {
      Message message;          // null: nothing now
      Attachments attachments;  // that go with it
      uint64_t dropped;         // before it, since the last one

      void AttachTo(ServerStream& stream) const;
    };
    Next Take();
    // Set when nothing further will come, and all has been taken.
    std::optional<absl::Status> ended() const;
    uint64_t dropped() const;

   private:
    friend class TopicCore;
    struct Queue;

    TopicCore& topic_;
    const std::unique_ptr<Queue> queue_;
  };

 private:
  struct State;

  const std::unique_ptr<State> state_;
};

}  // namespace internal
}  // namespace nearcall
