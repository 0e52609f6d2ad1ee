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
  if (taken) inbox_.Release();
  return taken;
}

void Receiver::TakeMessage(Inbox::Event event) try {
  switch (event) {
    case Inbox::Event::kMessage:
      Deliver();
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

// A reply that this side does not take.
void Receiver::Refuse(Inbox::Event why) {
  const size_t size = message_.header.message_size;
  const std::string text = why == Inbox::Event::kTooLarge
                               ? absl::StrCat("the reply has ", size, " B, more than ChannelOptions::max_message_size")
                               : absl::StrCat("no memory for a reply of ", size, " B");
  absl::Status failure = base::WithExecState(absl::ResourceExhaustedError(text), ExecState::kExecuted);
  ClientCall* call = TakeAnswered();
  if (call == nullptr) return;
  call->failure = std::move(failure);
  call->Complete();
}

// Takes out the call that message_ answers: nullptr if there is none, or message_ is no answer to it.
ClientCall* Receiver::TakeAnswered() {
  const wire::FrameHeader& header = message_.header;
  if (header.kind != wire::FrameKind::kReply) {
    violation_ =
        absl::InternalError(absl::StrCat("expected a reply, got a frame of kind ", static_cast<int>(header.kind)));
    return nullptr;
  }
  const absl::StatusOr<ClientCall*> call = callers_.TakeAnswered(header);
  if (!call.ok()) violation_ = call.status();
  return call.value_or(nullptr);
}

}  // namespace nearcall::session
