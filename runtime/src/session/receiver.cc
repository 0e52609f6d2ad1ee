// SPDX-License-Identifier: Apache-2.0
#include "session/receiver.h"

#include <new>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/no_memory.h"

namespace nearcall::session {

namespace {

// Frames taken before the room is given back and the reader looks at its own call.
constexpr int kFramesPerTurn = 64;

}  // namespace

bool Receiver::TakeFrames(const base::Waiter& reader) {
  bool taken = false;
  for (int i = 0; i < kFramesPerTurn && !reader.finished() && violation_.ok(); ++i) {
    const Inbox::Event event = inbox_->Next(message_);
    if (event == Inbox::Event::kEmpty) break;
    taken = true;
    if ((message_.header.call_id & wire::kBegunByAcceptor) == 0 || event == Inbox::Event::kBroken) {
      TakeMessage(event, message_);
    } else if (event != Inbox::Event::kProgress) {
      TakeServed(event);
    }
    message_.descriptors.Clear();  // nobody waited for them
    message_.attachments.Clear();
  }
  if (!taken) return false;
  inbox_->Release();
  times_taken_.store(times_taken() + 1, std::memory_order_relaxed);
  return true;
}

// Of a call that the server has begun.
void Receiver::TakeServed(Inbox::Event event) {
  if (take_served_) {
    violation_ = base::OrNoMemory([&] { return take_served_(event, message_); });
  } else {
    violation_ = absl::InternalError(
        absl::StrCat("a frame of call ", message_.header.call_id, " of the server's, where it was granted none"));
  }
}

absl::Status Receiver::Take(Inbox::Event event, wire::Message& message) {
  TakeMessage(event, message);
  return violation_;
}

void Receiver::TakeMessage(Inbox::Event event, wire::Message& message) try {
  switch (event) {
    case Inbox::Event::kMessage:
      if (message.header.kind == wire::FrameKind::kReply) {
        Deliver(message);
      } else {
        violation_ = callers_.Deliver(message);
      }
      break;
    case Inbox::Event::kTooLarge:
    case Inbox::Event::kNoMemory:
    case Inbox::Event::kOverQuota:
      Refuse(event, message.header);
      break;
    case Inbox::Event::kBroken:
      violation_ = inbox_->error();
      break;
    default:
      break;
  }
} catch (const std::bad_alloc&) {
  // The message is lost, and with it a call's end, unless all calls end.
  violation_ = base::NoMemory();
}

void Receiver::Deliver(wire::Message& message) {
  ClientCall* call = TakeAnswered(message.header);
  if (call == nullptr) return;
  call->reply.charge.Release();  // for the call, which is over
  swap(call->reply, message);
  call->Complete();
}

// A reply, or an element, that this side does not take.
void Receiver::Refuse(Inbox::Event why, const wire::FrameHeader& header) {
  const bool is_reply = header.kind == wire::FrameKind::kReply;
  const absl::string_view what = is_reply ? "reply" : "element";
  const size_t size = header.message_size;
  std::string text;
  if (why == Inbox::Event::kTooLarge) {
    text = absl::StrCat("the ", what, " has ", size, " B, more than ", options_name_, "::max_message_size");
  } else if (why == Inbox::Event::kOverQuota) {
    text = absl::StrCat("the ", what, " has ", size, " B, for which the peer's user has no room left (", options_name_,
                        "::max_total_bytes)");
  } else {
    text = absl::StrCat("no memory for a reply or an element of ", size, " B");
  }
  absl::Status failure = base::WithExecState(absl::ResourceExhaustedError(text), ExecState::kExecuted);
  if (!is_reply) {
    violation_ = callers_.FailStream(header, std::move(failure));
    return;
  }
  ClientCall* call = TakeAnswered(header);
  if (call == nullptr) return;
  call->failure = std::move(failure);
  call->Complete();
}

// Takes out the call that is answered: nullptr if there is none, or this is no answer to it.
ClientCall* Receiver::TakeAnswered(const wire::FrameHeader& reply) {
  const absl::StatusOr<ClientCall*> call = callers_.TakeAnswered(reply);
  if (!call.ok()) violation_ = call.status();
  return call.value_or(nullptr);
}

}  // namespace nearcall::session
