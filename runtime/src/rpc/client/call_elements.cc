// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/call_elements.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "rpc/client/call_descriptors.h"
#include "rpc/client/size_limit.h"
#include "rpc/parse_message.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

wire::FrameHeader CallElements::Header(uint64_t call_id) const {
  wire::FrameHeader header;
  header.kind = wire::FrameKind::kMessage;
  header.priority = priority_;
  header.call_id = call_id;
  header.method_id = method_.id;
  return header;
}

absl::StatusOr<Attached> CallElements::Enclose(size_t size, std::span<const Buffer> buffers,
                                               std::span<const int> descriptors,
                                               const session::ClientSession& session) const {
  absl::StatusOr<Attached> attached =
      Attached::To(session.side(), buffers, descriptors, "the attachments of an element");
  if (!attached.ok()) return attached;
  if (absl::Status checked = Check(size + attached->tail_size(), descriptors, session); !checked.ok()) return checked;
  return attached;
}

absl::Status CallElements::Check(size_t size, std::span<const int> descriptors,
                                 const session::ClientSession& session) const {
  if (!descriptors.empty()) {
    absl::Status checked = CheckDescriptors(method_, descriptors, "the descriptors of an element");
    checked.Update(CheckDescriptors(descriptors.size(), session));
    if (!checked.ok()) return checked;
  }
  const SizeLimit limit = SizeLimit::Of(max_message_size_, session);
  if (size <= limit.bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("an element of ", method_.full_name, " has ", size, " B, more than ", limit.Text()));
}

absl::Status CallElements::Changed() const {
  return absl::InternalError(absl::StrCat("an element of ", method_.full_name, " changed while it was serialised"));
}

absl::StatusOr<Metadata> CallElements::ParseInitial(const std::string& envelope) {
  if (envelope.empty()) return Metadata();
  absl::StatusOr<Metadata> metadata = wire::DecodeMetadataEnvelope(std::as_bytes(std::span(envelope)));
  if (!metadata.ok()) return base::WithExecState(metadata.status(), ExecState::kExecuted);
  return metadata;
}

absl::Status CallElements::Parse(std::span<const std::byte> bytes, google::protobuf::MessageLite& element) const {
  absl::Status parsed = ReadMessage("an element of", method_.full_name, method_.generic, bytes, element);
  return parsed.ok() ? parsed : base::WithExecState(std::move(parsed), ExecState::kExecuted);
}

}  // namespace nearcall::rpc
