// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "echo_service.h"
#include "stream.nearcall.pb.h"

namespace nearcall::integration {

using ChatStream = ServerReaderWriter<Blob, Blob>;
using DownHandler = std::function<absl::Status(ServerContext&, const Blob&, ServerWriter<Blob>&)>;
using UpHandler = std::function<absl::Status(ServerContext&, ServerReader<Blob>&, Blob&)>;
using ChatHandler = std::function<absl::Status(ServerContext&, ChatStream&)>;

// Writes as many elements as the request says in decimal: "0", "1" and so on.
absl::Status CountDown(ServerContext& context, const Blob& request, ServerWriter<Blob>& writer);

// The reply says how many elements have come, and how many bytes: "3 elements, 12 B".
absl::Status CountUp(ServerContext& context, ServerReader<Blob>& reader, Blob& reply);

// Writes what it reads.
absl::Status ChatBack(ServerContext& context, ChatStream& stream);

// The service of the tests of streams: each method runs a handler that the test chooses before the server starts.
class StreamService final : public Streams::Service {
 public:
  DownHandler down = CountDown;
  UpHandler up = CountUp;
  ChatHandler chat = ChatBack;

  absl::Status Down(ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) override {
    return down(context, request, writer);
  }
  absl::Status Up(ServerContext& context, ServerReader<Blob>& reader, Blob& reply) override {
    return up(context, reader, reply);
  }
  absl::Status Chat(ServerContext& context, ChatStream& stream) override { return chat(context, stream); }
};

}  // namespace nearcall::integration
