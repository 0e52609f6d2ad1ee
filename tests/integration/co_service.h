// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "one_way.nearcall.pb.h"
#include "stream_service.h"

namespace nearcall::integration {

using CoChatStream = CoServerReaderWriter<Blob, Blob>;
using CoSayHandler = std::function<Task<absl::Status>(ServerContext&, const Blob&, Blob&)>;
using CoDownHandler = std::function<Task<absl::Status>(ServerContext&, const Blob&, CoServerWriter<Blob>&)>;
using CoUpHandler = std::function<Task<absl::Status>(ServerContext&, CoServerReader<Blob>&, Blob&)>;
using CoChatHandler = std::function<Task<absl::Status>(ServerContext&, CoChatStream&)>;

// What EchoBack, CountDown, CountUp and ChatBack do, by coroutines.
Task<absl::Status> CoEchoBack(ServerContext& context, const Blob& request, Blob& reply);
Task<absl::Status> CoCountDown(ServerContext& context, const Blob& request, CoServerWriter<Blob>& writer);
Task<absl::Status> CoCountUp(ServerContext& context, CoServerReader<Blob>& reader, Blob& reply);
Task<absl::Status> CoChatBack(ServerContext& context, CoChatStream& stream);

// Runs handlers that the test chooses before the server starts.
class CoStreamService final : public Streams::CoService {
 public:
  CoDownHandler down = CoCountDown;
  CoUpHandler up = CoCountUp;
  CoChatHandler chat = CoChatBack;

  Task<absl::Status> Down(ServerContext& context, const Blob& request, CoServerWriter<Blob>& writer) override {
    return down(context, request, writer);
  }
  Task<absl::Status> Up(ServerContext& context, CoServerReader<Blob>& reader, Blob& reply) override {
    return up(context, reader, reply);
  }
  Task<absl::Status> Chat(ServerContext& context, CoChatStream& stream) override { return chat(context, stream); }
};

class CoNotesService final : public Notes::CoService {
 public:
  std::function<Task<absl::Status>(const Blob&)> note;

  Task<absl::Status> Note(ServerContext&, const Blob& request) override { return note(request); }
};

class CoEchoService final : public Echo::CoService {
 public:
  CoSayHandler say = CoEchoBack;

  Task<absl::Status> Say(ServerContext& context, const Blob& request, Blob& reply) override {
    return say(context, request, reply);
  }
};

}  // namespace nearcall::integration
