// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/element_reader.h"

#include <memory>
#include <new>
#include <span>
#include <utility>

#include "base/no_memory.h"
#include "rpc/parse_message.h"
#include "session/outbox.h"
#include "session/outgoing.h"
#include "wire/header.h"

namespace nearcall::rpc {

using internal::Tried;

Tried ElementReader::Read(google::protobuf::MessageLite& message) {
  Tried tried = Tried::kOver;
  try {
    tried = ReadNext(message);
  } catch (const std::bad_alloc&) {
    stream_.Fail(base::NoMemory());
  }
  if (tried == Tried::kOver) message.Clear();
  return tried;
}

Tried ElementReader::ReadNext(google::protobuf::MessageLite& message) {
  if (stream_.context.IsCancelled()) return Tried::kOver;
  if (mine_.empty()) {
    bool over = false;
    const bool some = stream_.session().calls().Locked([&] {
      over = stream_.state.peer_is_done() || !stream_.state.failure().ok() || stream_.has_news;
      return stream_.state.TakeArrivals(mine_.arrivals());
    });
    if (!some) return over ? Tried::kOver : Tried::kNotYet;
  }
  return Parse(message) ? Tried::kDone : Tried::kOver;
}

bool ElementReader::Parse(google::protobuf::MessageLite& message) {
  const Request& request = stream_.request;
  const size_t size = mine_.arrivals().front().size();
  size_t cost;
  absl::Status parsed = mine_.Next(
      [&](auto bytes) {
        return ReadMessage("an element of", request.method_name(), request.generic(), bytes, message);
      },
      cost);
  if (!parsed.ok()) return stream_.Fail(std::move(parsed));
  stream_.tally.NoteElementRead(size);
  GiveCredit(cost);
  return true;
}

void ElementReader::GiveCredit(size_t element_size) {
  const uint32_t credit = read_.Read(element_size);
  if (credit == 0) return;
  session::ServerSession& session = stream_.session();
  const bool useful = session.calls().Locked([&] {
    stream_.state.OpenWindow(credit);
    return !stream_.state.peer_is_done();
  });
  if (!useful) return;
  wire::FrameHeader header = stream_.request.HeaderOf(wire::FrameKind::kCredit);
  header.message_size = credit;
  session::Outbox& outbox = session.outbox();
  if (!outbox.TrySend(header, 0, [](std::span<std::byte>) {})) {
    auto kept = std::make_unique<session::Outgoing>(header, 0, session.transport().max_frame_size());
    static_cast<void>(outbox.TryCharge(*kept, 0));  // so little is always kept
    outbox.Keep(std::move(kept));
  }
  stream_.request.NoteWritten();
}

}  // namespace nearcall::rpc
