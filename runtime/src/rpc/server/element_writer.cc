// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/element_writer.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_memory.h"
#include "rpc/message_writer.h"
#include "wire/envelope.h"

namespace nearcall::rpc {

using internal::Tried;

Tried ElementWriter::Write(const google::protobuf::MessageLite& message) {
  try {
    return WriteNext(message);
  } catch (const std::bad_alloc&) {
    stream_.Fail(base::NoMemory());
    return Tried::kOver;
  }
}

absl::Status ElementWriter::CheckElement(size_t size, std::span<const int> descriptors) const {
  const size_t limit = std::min(stream_.core.options.max_message_size, stream_.session().client().max_message_size());
  if (size > limit) {
    return absl::ResourceExhaustedError(absl::StrCat("an element of ", stream_.request.method_name(), " has ", size,
                                                     " B, more than max_message_size (", limit, " B)"));
  }
  if (descriptors.empty()) return absl::OkStatus();
  absl::Status checked = stream_.request.MaySend(descriptors.size(), "element");
  return checked.ok() ? base::CheckDescriptors(descriptors, "the descriptors of an element") : checked;
}

Tried ElementWriter::WriteNext(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  const std::span<const int> lent = lent_;
  const absl::StatusOr<Attached> attached =
      Attached::To(stream_.session().side(), attach_, lent, "the attachments of an element");
  absl::Status checked = attached.ok() ? CheckElement(size + attached->tail_size(), lent) : attached.status();
  if (!checked.ok()) {
    stream_.Fail(std::move(checked));
    return Tried::kOver;
  }
  if (stream_.context.IsCancelled()) return Tried::kOver;
  bool failed = false;
  const bool begun = stream_.session().calls().Locked([&] {
    failed = !stream_.state.failure().ok();
    return !failed && stream_.state.BeginElement(size + attached->total());
  });
  if (!begun) return failed ? Tried::kOver : Tried::kNotYet;
  wire::FrameHeader header = stream_.request.HeaderOf(wire::FrameKind::kMessage);
  attached->Announce(header, lent);
  const absl::StatusOr<std::string> envelope = InitialEnvelope();
  const bool sent = envelope.ok()
                        ? Send(header, *envelope, &message, size, attached->DescriptorsBeside(lent), &*attached)
                        : FailBy(envelope.status());
  return sent ? Tried::kDone : Tried::kOver;
}

bool ElementWriter::SendInitialMetadata() {
  if (sent_initial_metadata_) return true;
  const absl::StatusOr<std::string> envelope = InitialEnvelope();
  if (!envelope.ok()) return FailBy(envelope.status());
  // A message without an element, which has one frame. What needs more goes with what is sent next.
  if (!session::GoesInPlace(envelope->size(), stream_.session().transport().max_frame_size())) return true;
  wire::FrameHeader header = stream_.request.HeaderOf(wire::FrameKind::kMessage);
  header.flags = wire::kPacked;
  return Send(header, *envelope, nullptr, 0, {}, nullptr);
}

// They are not tried again, with the answer.
bool ElementWriter::FailBy(const absl::Status& metadata) {
  sent_initial_metadata_ = true;
  return stream_.Fail(metadata);
}

// What has not been sent yet.
absl::StatusOr<std::string> ElementWriter::InitialEnvelope() const {
  const Metadata& metadata = stream_.context.initial_metadata();
  if (sent_initial_metadata_ || metadata.empty()) return std::string();
  if (absl::Status valid = metadata.Validate(); !valid.ok()) {
    return absl::InternalError(absl::StrCat("the handler's metadata: ", valid.message()));
  }
  return wire::EncodeMetadataEnvelope(metadata);
}

bool ElementWriter::Send(const wire::FrameHeader& header, const std::string& envelope,
                         const google::protobuf::MessageLite* message, size_t size, std::span<const int> descriptors,
                         const Attached* attached) {
  session::ServerSession& session = stream_.session();
  auto kept = base::Descriptors::Duplicate(descriptors, descriptors.empty() ? nullptr : session.side().budget());
  if (!kept.ok()) return stream_.Fail(kept.status());
  sent_initial_metadata_ = true;
  wire::FrameHeader complete = header;
  complete.envelope_size = static_cast<uint32_t>(envelope.size());
  if (!envelope.empty()) complete.flags |= wire::kEnvelope;
  const Written written =
      WriteMessage(session.outbox(), session.transport().max_frame_size(), complete, std::as_bytes(std::span(envelope)),
                   message, size, &flow_, Shared(*std::move(kept)), attached);
  stream_.request.NoteWritten();
  switch (written) {
    case Written::kAll:
      if (message != nullptr) stream_.tally.NoteElementWritten(size);
      return true;
    case Written::kChanged:
      return stream_.Fail(absl::InternalError("an element changed while it was serialised"));
    case Written::kOverQuota:
      break;
  }
  return stream_.Fail(session.client().account()->MemoryRefusal(size));
}

}  // namespace nearcall::rpc
