// SPDX-License-Identifier: Apache-2.0
#include "echo_service.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace nearcall::integration {

absl::Status EchoBack(ServerContext&, const Blob& request, Blob& reply) {
  reply = request;
  return absl::OkStatus();
}

Blob MakeBlob(std::string data) {
  Blob blob;
  blob.set_data(std::move(data));
  return blob;
}

absl::Status SecondService::Say(ServerContext&, const Blob& request, Blob& reply) {
  reply.set_data(absl::StrCat("second ", request.data()));
  return absl::OkStatus();
}

}  // namespace nearcall::integration
