// SPDX-License-Identifier: Apache-2.0
#include "nearcall/topic.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/mutex.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/internal/continuation.h"
#include "nearcall/internal/stream.h"
#include "nearcall/serialized.pb.h"
#include "rpc/attachments.h"

namespace nearcall::internal {

namespace {

struct InTopic {};

// A message that knows no field writes all of them as they came: who serialises it copies.
absl::StatusOr<TopicCore::Message> Serialize(const google::protobuf::MessageLite& message) {
  if (!message.IsInitialized()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message to publish lacks required fields: ", message.InitializationErrorString()));
  }
  auto serialized = std::make_shared<wire::Serialized>();
  const std::string bytes = message.SerializeAsString();
  if (!serialized->ParseFromString(bytes) || serialized->ByteSizeLong() != bytes.size()) {
    return absl::InternalError("a message to publish cannot be serialised; does another thread change it?");
  }
  return TopicCore::Message(std::move(serialized));
}

absl::StatusOr<TopicCore::Attachments> Share(std::span<const Buffer> attachments) {
  if (attachments.empty()) return TopicCore::Attachments();
  return std::make_shared<const std::vector<Buffer>>(attachments.begin(), attachments.end());
}

}  // namespace

struct TopicCore::Subscription::Queue : base::ListNode<InTopic> {
  Queue(ServerStream& its_stream, const Limits& its_limits) : stream(its_stream), limits(its_limits) {
    if (limits.when_behind == WhenBehind::kLatestOnly) limits.messages = 1;
  }

  bool HasRoom(size_t size) const {
    return messages.empty() || (messages.size() < limits.messages && bytes + size <= limits.bytes);
  }

  // False: there is no memory.
  [[nodiscard]] bool Push(const Message& message, const Attachments& attachments, size_t size) try {
    messages.push_back({message, attachments, size, dropped_since});
    dropped_since = 0;
    bytes += size;
    if (messages.size() == 1) stream.TellNews();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }

  // What was dropped before it is missing before the next one.
  void DropOldest() {
    const uint64_t missing = messages.front().dropped_before + 1;
    bytes -= messages.front().size;
    messages.pop_front();
    ++dropped;
    (messages.empty() ? dropped_since : messages.front().dropped_before) += missing;
  }

  struct Entry {
    Message message;
    Attachments attachments;
    size_t size;
    uint64_t dropped_before;
  };

  ServerStream& stream;
  Limits limits;
  std::deque<Entry> messages;
  size_t bytes = 0;
  uint64_t dropped_since = 0;  // behind the last one that waits
  uint64_t dropped = 0;
  bool disconnected = false;
};

// Locks: this one, and within it that of a subscriber's session (TellNews).
struct TopicCore::State {
  using Queue = Subscription::Queue;

  mutable base::Mutex mutex;
  base::CondVar room;  // or a subscriber less
  base::List<Queue, InTopic> queues ABSL_GUARDED_BY(mutex);
  size_t subscribers ABSL_GUARDED_BY(mutex) = 0;
  std::optional<absl::Status> closed ABSL_GUARDED_BY(mutex);
  uint64_t published ABSL_GUARDED_BY(mutex) = 0;
  uint64_t dropped ABSL_GUARDED_BY(mutex) = 0;
  uint64_t disconnected ABSL_GUARDED_BY(mutex) = 0;

  void TellAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    queues.ForEachUntil([](Queue& queue) {
      queue.stream.TellNews();
      return false;
    });
  }

  void SendToAll(const Message& message, const Attachments& attachments, size_t size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    queues.ForEachUntil([&](Queue& queue) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      Send(queue, message, attachments, size);
      return false;
    });
  }

  // Somebody for whose sake a publisher waits.
  bool IsHeldUp(size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    bool held_up = false;
    queues.ForEachUntil([&](const Queue& queue) {
      return held_up = queue.limits.when_behind == WhenBehind::kBlockPublisher && !queue.HasRoom(size);
    });
    return held_up;
  }

  void Disconnect(Queue& queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    queue.disconnected = true;
    queue.stream.TellNews();
    ++disconnected;
  }

  void Send(Queue& queue, const Message& message, const Attachments& attachments, size_t size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (queue.disconnected) return;
    const WhenBehind when_behind = queue.limits.when_behind;
    if (when_behind == WhenBehind::kDisconnect && !queue.HasRoom(size)) return Disconnect(queue);
    for (; !queue.HasRoom(size); ++dropped) queue.DropOldest();
    if (queue.Push(message, attachments, size)) return;
    if (when_behind == WhenBehind::kDisconnect || when_behind == WhenBehind::kBlockPublisher) return Disconnect(queue);
    ++queue.dropped_since;
    ++queue.dropped;
    ++dropped;
  }
};

// --- who publishes ---

TopicCore::TopicCore() : state_(std::make_unique<State>()) {}

TopicCore::~TopicCore() {
  Require(subscribers() == 0, "a Topic outlives the handlers that serve it: destroy it after the server");
}

absl::Status TopicCore::Publish(const google::protobuf::MessageLite& message, std::span<const Buffer> attachments,
                                absl::Time deadline) {
  const base::CancelDisabled uncancelled;
  if (absl::Status sealed = rpc::Attached::Seal(attachments, "Topic::Publish: the attachments"); !sealed.ok()) {
    return sealed;
  }
  absl::StatusOr<Message> serialized = base::OrNoMemory([&] { return Serialize(message); });
  if (!serialized.ok()) return serialized.status();
  size_t size = (*serialized)->ByteSizeLong();
  for (const Buffer& buffer : attachments) size += buffer.size();
  absl::StatusOr<Attachments> shared = base::OrNoMemory([&] { return Share(attachments); });
  if (!shared.ok()) return shared.status();
  const base::SteadyNs until =
      deadline == absl::InfiniteFuture() ? base::kNever : base::AfterNow(deadline - absl::Now());
  base::MutexLock lock(state_->mutex);
  while (!state_->closed && state_->IsHeldUp(size)) {
    if (base::NowNs() >= until) {
      return absl::DeadlineExceededError("a subscriber with WhenBehind::kBlockPublisher has had no room until then");
    }
    state_->room.WaitUntil(state_->mutex, until);
  }
  if (state_->closed) return absl::FailedPreconditionError("the topic has been closed");
  ++state_->published;
  state_->SendToAll(*serialized, *shared, size);
  return absl::OkStatus();
}

void TopicCore::Close(absl::Status status) {
  base::MutexLock lock(state_->mutex);
  if (state_->closed) return;
  state_->closed = std::move(status);
  state_->TellAll();
  state_->room.NotifyAll();
}

size_t TopicCore::subscribers() const {
  base::MutexLock lock(state_->mutex);
  return state_->subscribers;
}

uint64_t TopicCore::published() const {
  base::MutexLock lock(state_->mutex);
  return state_->published;
}

uint64_t TopicCore::dropped() const {
  base::MutexLock lock(state_->mutex);
  return state_->dropped;
}

uint64_t TopicCore::disconnected() const {
  base::MutexLock lock(state_->mutex);
  return state_->disconnected;
}

// --- who is subscribed ---

TopicCore::Subscription::Subscription(TopicCore& topic, ServerStream& stream, const Limits& limits)
    : topic_(topic), queue_(std::make_unique<Queue>(stream, limits)) {
  base::MutexLock lock(topic_.state_->mutex);
  topic_.state_->queues.PushBack(*queue_);
  ++topic_.state_->subscribers;
}

TopicCore::Subscription::~Subscription() {
  base::MutexLock lock(topic_.state_->mutex);
  queue_->Unlink();
  --topic_.state_->subscribers;
  topic_.state_->room.NotifyAll();
}

void TopicCore::Subscription::Next::AttachTo(ServerStream& stream) const {
  if (attachments == nullptr) return;
  for (const Buffer& buffer : *attachments) stream.Attach(buffer);
}

TopicCore::Subscription::Next TopicCore::Subscription::Take() {
  base::MutexLock lock(topic_.state_->mutex);
  if (queue_->messages.empty()) return {};
  Queue::Entry& first = queue_->messages.front();
  Next next{.message = std::move(first.message),
            .attachments = std::move(first.attachments),
            .dropped = first.dropped_before};
  queue_->bytes -= first.size;
  queue_->messages.pop_front();
  if (queue_->limits.when_behind == WhenBehind::kBlockPublisher) topic_.state_->room.NotifyAll();
  return next;
}

std::optional<absl::Status> TopicCore::Subscription::ended() const {
  base::MutexLock lock(topic_.state_->mutex);
  if (!queue_->messages.empty()) return std::nullopt;
  if (queue_->disconnected) {
    return absl::ResourceExhaustedError(absl::StrCat("the subscriber does not keep up: its queue holds ",
                                                     queue_->limits.messages, " messages, ", queue_->limits.bytes,
                                                     " B; read faster, or subscribe again"));
  }
  return topic_.state_->closed;
}

uint64_t TopicCore::Subscription::dropped() const {
  base::MutexLock lock(topic_.state_->mutex);
  return queue_->dropped;
}

}  // namespace nearcall::internal
