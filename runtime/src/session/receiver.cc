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
    const Inbox::Event event = inbox_.Next(message_);
    if (event == Inbox::Event::kEmpty) break;
    taken = true;
    TakeMessage(event);
  }
  if (!taken) return false;
  inbox_.Release();
  times_taken_.store(times_taken() + 1, std::memory_order_relaxed);
  return true;
}

void Receiver::TakeMessage(Inbox::Event event) try {
  switch (event) {
    case Inbox::Event::kMessage:
      if (message_.header.kind == wire::FrameKind::kReply) {
        Deliver();
      } else {
        violation_ = callers_.Deliver(message_);
      }
      break;
    case Inbox::Event::kTooLarge:
    case Inbox::Event::kNoMemory:
      Refuse(event);
      break;
    case Inbox::Event::kBroken:
      violation_ = inbox_.error();
      break;
    default:
      break;
  }
} catch (const std::bad_alloc&) {
  // The message is lost, and with it a call's end, unless all calls end.
  violation_ = base::NoMemory();
}

void Receiver::Deliver() {
  ClientCall* call = TakeAnswered();
  if (call == nullptr) return;
  std::swap(call->reply, message_);
  call->Complete();
}

// A reply, or an element, that this side does not take.
void Receiver::Refuse(Inbox::Event why) {
  const bool is_reply = message_.header.kind == wire::FrameKind::kReply;
  const size_t size = message_.header.message_size;
  const std::string text = why == Inbox::Event::kTooLarge
                               ? absl::StrCat("the ", is_reply ? "reply" : "element", " has ", size,
                                              " B, more than ChannelOptions::max_message_size")
                               : absl::StrCat("no memory for a reply or an element of ", size, " B");
  absl::Status failure = base::WithExecState(absl::ResourceExhaustedError(text), ExecState::kExecuted);
  if (!is_reply) {
    violation_ = callers_.FailStream(message_.header, std::move(failure));
    return;
  }
  ClientCall* call = TakeAnswered();
  if (call == nullptr) return;
  call->failure = std::move(failure);
  call->Complete();
}

// Takes out the call that message_ answers: nullptr if there is none, or message_ is no answer to it.
ClientCall* Receiver::TakeAnswered() {
  const absl::StatusOr<ClientCall*> call = callers_.TakeAnswered(message_.header);
  if (!call.ok()) violation_ = call.status();
  return call.value_or(nullptr);
}

}  // namespace nearcall::session
