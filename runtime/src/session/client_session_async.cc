// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "base/limits.h"
#include "session/client_session.h"

// ClientSession: the way of an asynchronous call.
namespace nearcall::session {

ClientSession::Begun ClientSession::TryBegin(ClientCall& call) {
  base::MutexLock lock(mutex_);
  if (!call.failure.ok()) return Begun::kEnded;
  if (!usable()) return Begun::kGone;
  if (line_.IsNext(*call.waiting, call.lane)) {
    calls_.Insert(call);
    // For the next one it stands behind the others.
    LeaveLine(*call.waiting);
    return Begun::kYes;
  }
  line_.Stand(*call.waiting, call.lane);
  return Begun::kFull;
}

void ClientSession::LeaveSlotQueue(CompletionQueue& queue) {
  base::MutexLock lock(mutex_);
  LeaveLine(queue.waiting());
}

void ClientSession::Post(const wire::FrameHeader& header, base::Buffer& bytes, Outbox::HandOver when) {
  const size_t size = bytes.size();
  const auto write = [&](std::span<std::byte> to) {
    if (size != 0) std::memcpy(to.data(), bytes.data(), size);
  };
  const bool small = size <= base::kInPlaceMax && wire::kHeaderSize + size <= max_frame_size();
  if (!small || !outbox_.TrySend(header, size, write, when)) {
    auto message = std::make_unique<Outgoing>(header, size, max_frame_size());
    message->kept = std::move(bytes);
    outbox_.Keep(std::move(message));
  }
  WakeReaderForRest();
}

void ClientSession::Publish() {
  Pump();
  WakeReaderForRest();
}

void ClientSession::Serve(CompletionQueue& queue, base::SteadyNs until) {
  Waiting& me = queue.waiting();
  me.Await(base::NowNs());
  WaitUntil(me, until, [&queue] { return queue.has_news(); });
}

void ClientSession::Wake(CompletionQueue& queue) {
  base::MutexLock lock(mutex_);
  role_.Tell(queue.waiting());
}

}  // namespace nearcall::session
