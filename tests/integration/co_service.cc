// SPDX-License-Identifier: Apache-2.0
#include "co_service.h"

#include <cstddef>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace nearcall::integration {

Task<absl::Status> CoEchoBack(ServerContext&, const Blob& request, Blob& reply) {
  reply = request;
  co_return absl::OkStatus();
}

Task<absl::Status> CoCountDown(ServerContext&, const Blob& request, CoServerWriter<Blob>& writer) {
  size_t count = 0;
  if (!absl::SimpleAtoi(request.data(), &count)) co_return absl::InvalidArgumentError("not a number");
  for (size_t i = 0; i < count; ++i) {
    if (!co_await writer.Write(MakeBlob(absl::StrCat(i)))) co_return absl::CancelledError("nobody waits");
  }
  co_return absl::OkStatus();
}

Task<absl::Status> CoCountUp(ServerContext&, CoServerReader<Blob>& reader, Blob& reply) {
  size_t count = 0;
  size_t bytes = 0;
  while (const std::optional<Blob> element = co_await reader.Read()) {
    ++count;
    bytes += element->data().size();
  }
  reply.set_data(absl::StrCat(count, " elements, ", bytes, " B"));
  co_return absl::OkStatus();
}

Task<absl::Status> CoChatBack(ServerContext&, CoChatStream& stream) {
  Blob element;
  while (co_await stream.Read(&element)) {
    if (!co_await stream.Write(element)) co_return absl::CancelledError("nobody waits");
  }
  co_return absl::OkStatus();
}

}  // namespace nearcall::integration
