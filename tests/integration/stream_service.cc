// SPDX-License-Identifier: Apache-2.0
#include "stream_service.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace nearcall::integration {

absl::Status CountDown(ServerContext&, const Blob& request, ServerWriter<Blob>& writer) {
  size_t count = 0;
  if (!absl::SimpleAtoi(request.data(), &count)) return absl::InvalidArgumentError("not a number");
  for (size_t i = 0; i < count; ++i) {
    if (!writer.Write(MakeBlob(absl::StrCat(i)))) return absl::CancelledError("nobody waits");
  }
  return absl::OkStatus();
}

absl::Status CountUp(ServerContext&, ServerReader<Blob>& reader, Blob& reply) {
  size_t count = 0;
  size_t bytes = 0;
  for (const Blob& element : reader) {
    ++count;
    bytes += element.data().size();
  }
  reply.set_data(absl::StrCat(count, " elements, ", bytes, " B"));
  return absl::OkStatus();
}

absl::Status ChatBack(ServerContext&, ChatStream& stream) {
  for (const Blob& element : stream) {
    if (!stream.Write(element)) return absl::CancelledError("nobody waits");
  }
  return absl::OkStatus();
}

}  // namespace nearcall::integration
