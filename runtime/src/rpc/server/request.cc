// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/request.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "transport/carries_descriptors.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

absl::Status Request::FindMethod(const ServiceTable& services) {
  const wire::FrameHeader& header = message.header;
  method = services.Find(header.method_id);
  name.clear();
  // (Of a request that was not taken there is only the header.)
  if (method != nullptr || services.generic() == nullptr || bytes().size() < header.envelope_size) {
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> named = wire::DecodeMethodName(envelope());
  if (!named.ok()) return named.status();
  if (named->empty()) return absl::OkStatus();
  if (internal::MethodId(named->c_str()) != header.method_id) {
    return absl::InternalError(absl::StrCat("call ", header.call_id, " is for the method ", *named,
                                            " and has the number ", absl::Hex(header.method_id), " of another one"));
  }
  name = *std::move(named);
  method = services.generic();
  return absl::OkStatus();
}

internal::MethodKind Request::kind() const {
  const bool client_streams = !message.header.has(wire::kEnd);
  const bool server_streams = message.header.has(wire::kElements);
  if (client_streams) {
    return server_streams ? internal::MethodKind::kBidiStreaming : internal::MethodKind::kClientStreaming;
  }
  return server_streams ? internal::MethodKind::kServerStreaming : internal::MethodKind::kUnary;
}

absl::Status Request::CheckDescriptors() const {
  if (message.descriptors.empty()) return absl::OkStatus();
  if (absl::Status refused = message.descriptors.refusal(); !refused.ok()) return refused;
  const size_t count = message.descriptors.fds().size();
  if (method == nullptr || generic() || count <= method->method->info.max_descriptors) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the request of ", method_name(), " brings ", count, " descriptors, and the server's .proto declares ",
      method->method->info.max_descriptors, " (option nearcall.descriptors)"));
}

absl::Status Request::MaySend(size_t count, const char* what) const {
  if (count > base::kMaxMessageDescriptors) {
    return absl::InternalError(absl::StrCat("the handler's ", what, ": ", count, " descriptors are more than ",
                                            base::kMaxMessageDescriptors, ", which go with a message"));
  }
  if (!generic() && count > method->method->info.max_descriptors) {
    return absl::InternalError(absl::StrCat("the handler's ", what, ": ", method_name(), " does not declare that its ",
                                            "messages bring ", count, " descriptors; in the .proto option ",
                                            "nearcall.descriptors is ", method->method->info.max_descriptors));
  }
  if (count <= session->side().peer_takes()) return absl::OkStatus();
  if (absl::Status carries = transport::CarriesDescriptors(session->transport().name()); !carries.ok()) return carries;
  return absl::FailedPreconditionError(absl::StrCat("the handler's ", what,
                                                    ": this client takes no descriptors; it is ",
                                                    "of an older version, or written in another language"));
}

wire::FrameHeader Request::HeaderOf(wire::FrameKind frame) const {
  wire::FrameHeader header;
  header.kind = frame;
  header.priority = static_cast<uint8_t>(priority);
  header.call_id = message.header.call_id;
  header.method_id = message.header.method_id;
  return header;
}

}  // namespace nearcall::rpc
