// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nearcall/buffer.h"
#include "nearcall/co_stream.h"
#include "nearcall/internal/call_awaiter.h"
#include "nearcall/internal/topic.h"
#include "nearcall/server_context.h"
#include "nearcall/stream.h"
#include "nearcall/task.h"

namespace nearcall {

// What becomes of a message for a subscriber whose queue is full, because its client does not keep up.
enum class WhenBehind : uint8_t {
  kDropOldest,      // the oldest one that waits is dropped for it, and counted
  kLatestOnly,      // it takes the place of whatever waits: the queue holds one
  kDisconnect,      // the subscription ends with RESOURCE_EXHAUSTED, after what waits
  kBlockPublisher,  // Publish() waits: no message is lost, and the slowest one is everybody's pace
};

// Every member has a default; name any subset.
template <typename T>
struct SubscriptionOptions {
  // The queue of this subscriber. A message that is larger than all of it has it for itself.
  size_t max_queued_messages = 64;
  size_t max_queued_bytes = size_t{1} << 20;

  WhenBehind when_behind = WhenBehind::kDropOldest;

  // Makes what tells the client, in place, that so many messages are missing there; unset: it is told by the trailing
  // metadata alone (`nearcall-dropped`, a number, if there were any). Called by the handler.
  std::function<T(uint64_t dropped)> notice = {};
};

// One to many: what is published goes to all who are subscribed, which are the clients of a method whose server
// streams. A message is serialised once, whatever their number, and each subscriber has a bounded queue: one that is
// slow takes its own share of memory, holds up nobody (but see kBlockPublisher), and is told what it has missed.
//
//   class NewsImpl final : public demo::News::CoService {
//    public:
//     nearcall::Task<absl::Status> Follow(nearcall::ServerContext& context, const demo::Empty&,
//                                         nearcall::CoServerWriter<demo::Item>& items) override {
//       return topic.Serve(context, items);
//     }
//     nearcall::Topic<demo::Item> topic;
//   };
//   news.topic.Publish(item);                                     // by any thread
//
// A subscriber gets what is published after its handler began, each message once and in order. Over shm, mq or pipe its
// client may be ahead by its stream window (ChannelOptions::stream_window_bytes) beside the queue.
//
// Thread-safe. It outlives the handlers that serve it. A handler of a Service has a thread each, as all that stream
// (ServerOptions::max_waiting_handlers); those of a CoService need none, and are the ones for many subscribers.
template <typename T>
class Topic {
 public:
  Topic() = default;

  // To all subscribers. Does not wait, but for those with kBlockPublisher, until `deadline`: DEADLINE_EXCEEDED then,
  // and nobody has got it. (In an event queue's Run() such a wait would hold up those it waits for.)
  // FAILED_PRECONDITION after Close(); RESOURCE_EXHAUSTED without memory.
  absl::Status Publish(const T& message, absl::Time deadline = absl::InfiniteFuture()) {
    return core_.Publish(message, {}, deadline);
  }
  // And memory with it, which all subscribers read in place (nearcall/buffer.h): it is made once, whatever their
  // number. It counts for their queues (max_queued_bytes) as the message does.
  absl::Status Publish(const T& message, std::span<const Buffer> attachments,
                       absl::Time deadline = absl::InfiniteFuture()) {
    return core_.Publish(message, attachments, deadline);
  }

  // No further messages: subscriptions, those that come later too, end with `status` once they have sent what waits.
  // For the end of a server, before its Shutdown(). The first status stays.
  void Close(absl::Status status = absl::OkStatus()) { core_.Close(std::move(status)); }

  size_t subscribers() const { return core_.subscribers(); }
  uint64_t published() const { return core_.published(); }        // messages
  uint64_t dropped() const { return core_.dropped(); }            // of all queues
  uint64_t disconnected() const { return core_.disconnected(); }  // subscribers, by kDisconnect

  // What a handler does, and returns: sends what is published until the topic is closed (its status), the subscriber is
  // too far behind (RESOURCE_EXHAUSTED), or the client has gone (CANCELLED).
  absl::Status Serve(ServerContext& context, ServerWriter<T>& writer, SubscriptionOptions<T> options = {}) {
    internal::ServerStream& stream = writer.stream_;
    Subscription subscription(core_, stream, LimitsOf(options));
    for (;;) {
      for (Next next = subscription.Take(); next.message != nullptr; next = subscription.Take()) {
        if (next.dropped != 0 && options.notice && !stream.Write(options.notice(next.dropped))) return Over();
        next.AttachTo(stream);
        if (!stream.Write(*next.message)) return Over();
      }
      if (const auto ended = subscription.ended()) return End(context, subscription, *ended);
      if (!stream.WaitForNews()) return Over();
    }
  }

  // The same as a coroutine, for a CoService.
  Task<absl::Status> Serve(ServerContext& context, CoServerWriter<T>& writer, SubscriptionOptions<T> options = {}) {
    internal::ServerStream& stream = writer.stream_;
    internal::CallSide writing;
    internal::CallSide waiting;
    Subscription subscription(core_, stream, LimitsOf(options));
    for (;;) {
      for (Next next = subscription.Take(); next.message != nullptr; next = subscription.Take()) {
        if (next.dropped != 0 && options.notice) {
          const T notice = options.notice(next.dropped);
          internal::ServerWriteAwaiter tells(stream, writing, notice);
          const bool told = co_await tells;
          if (!told) co_return Over();
        }
        next.AttachTo(stream);
        internal::ServerWriteAwaiter writes(stream, writing, *next.message);
        const bool written = co_await writes;
        if (!written) co_return Over();
      }
      if (const auto ended = subscription.ended()) co_return End(context, subscription, *ended);
      internal::NewsAwaiter news(stream, waiting);
      const bool goes_on = co_await news;
      if (!goes_on) co_return Over();
    }
  }

 private:
  using Subscription = internal::TopicCore::Subscription;
  using Next = Subscription::Next;

  static internal::TopicCore::Limits LimitsOf(const SubscriptionOptions<T>& options) {
    return {
        .messages = options.max_queued_messages, .bytes = options.max_queued_bytes, .when_behind = options.when_behind};
  }

  static absl::Status Over() { return absl::CancelledError("the subscriber has gone"); }

  static absl::Status End(ServerContext& context, const Subscription& subscription, const absl::Status& status) {
    const uint64_t dropped = subscription.dropped();
    if (dropped != 0) context.trailing_metadata().Add("nearcall-dropped", absl::StrCat(dropped));
    return status;
  }

  internal::TopicCore core_;
};

}  // namespace nearcall
