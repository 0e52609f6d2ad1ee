// SPDX-License-Identifier: Apache-2.0
#include "rpc/attachments.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/buffer_memory.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "wire/attachments.h"

namespace nearcall::rpc {

absl::Status Attached::Seal(std::span<const Buffer> buffers, const char* whose) {
  if (buffers.size() > base::kMaxMessageAttachments) {
    return absl::InvalidArgumentError(
        absl::StrCat(whose, " are ", buffers.size(), ", at most ", base::kMaxMessageAttachments, " go with a message"));
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].sealed()) continue;
    absl::Status sealed = buffers[i].memory()->Seal();
    if (!sealed.ok()) return absl::Status(sealed.code(), absl::StrCat(whose, "[", i, "]: ", sealed.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Attached> Attached::Make(const session::SideLine& side, std::span<const Buffer> buffers,
                                        std::span<const int> descriptors, const char* whose) {
  if (absl::Status sealed = Seal(buffers, whose); !sealed.ok()) return sealed;
  if (buffers.size() > side.peer_takes_attachments()) {
    return absl::FailedPreconditionError(
        absl::StrCat(whose, ": the peer takes ", side.peer_takes_attachments(), " attachments with a message, and not ",
                     buffers.size(), "; it is of a version without them, or written in another language"));
  }
  auto made = std::make_unique<Made>();
  made->takes_attachments = side.peer_takes_attachments();
  made->takes_bytes = side.peer_takes_bytes();
  made->takes_lent = side.peer_takes_lent();
  made->buffers.assign(buffers.begin(), buffers.end());
  made->descriptors.assign(descriptors.begin(), descriptors.end());
  size_t may_pass = made->takes_bytes;
  for (const Buffer& buffer : buffers) {
    const size_t size = buffer.size();
    const bool may =
        size >= base::kPassedFrom && size <= may_pass && made->descriptors.size() < base::kMaxMessageDescriptors;
    if (may && made->Pass(*buffer.memory())) {
      may_pass -= size;
    } else {
      made->Copy(buffer.bytes());
    }
    made->total += size;
  }
  made->tail.push_back(std::as_bytes(std::span(made->table)));
  made->tail_size += made->tail.back().size();
  Attached attached;
  attached.made_ = std::move(made);
  return attached;
}

bool Attached::Made::Pass(Buffer::Memory& memory) {
  using Way = wire::Attachments::Way;
  Way way = Way::kPassed;
  int fd = memory.fd();
  if (takes_lent && fd < 0) {
    if (base::Fd lease = memory.Lease(); lease.valid()) {
      way = Way::kLent;
      fd = lease.get();
      leases.push_back(std::move(lease));
    }
  }
  if (fd < 0) {
    std::shared_ptr<Buffer::Memory> copy = memory.SealedCopy();
    if (copy == nullptr) return false;
    fd = copy->fd();
    in_place.push_back(std::move(copy));
  }
  descriptors.push_back(fd);
  ++passed;
  table.push_back(wire::EncodeAttachment(memory.bytes().size(), way));
  return true;
}

void Attached::Made::Copy(std::span<const std::byte> bytes) {
  if (!bytes.empty()) tail.push_back(bytes);
  tail_size += bytes.size();
  table.push_back(wire::EncodeAttachment(bytes.size(), wire::Attachments::Way::kCopied));
}

bool Attached::IsFor(const session::SideLine& side) const {
  return made_ != nullptr && side.peer_takes_bytes() == made_->takes_bytes &&
         side.peer_takes_attachments() == made_->takes_attachments && side.peer_takes_lent() == made_->takes_lent;
}

namespace {

using Opened = absl::StatusOr<std::shared_ptr<Buffer::Memory>>;

Opened OpenOne(const wire::Attachments::One& one, std::span<const std::byte> copied, base::Descriptors memory,
               const wire::AttachmentTerms& terms) {
  using Way = wire::Attachments::Way;
  if (one.way == Way::kCopied) return Buffer::Memory::Copy(copied, terms.account);
  if (memory.empty()) return absl::ResourceExhaustedError(base::kOverDescriptorBudget);
  if (one.way == Way::kLent) return Buffer::Memory::OpenLent(std::move(memory), one.size, *terms.lent);
  const auto sender = terms.of_own_user ? Buffer::Memory::Sender::kOwnUser : Buffer::Memory::Sender::kStranger;
  Opened opened = Buffer::Memory::Open(memory.fds().front(), one.size, sender, terms.account);
  // What is mapped needs no descriptor any more. To close what is known to be memory waits for nobody.
  if (opened.ok()) memory.Release();
  return opened;
}

}  // namespace

absl::StatusOr<std::vector<Buffer>> OpenAttachments(wire::Message& message) {
  std::vector<Buffer> opened;
  if (message.attachments.empty()) return opened;
  wire::Attachments::Found& found = message.attachments.found();
  if (absl::Status refused = message.descriptors.refusal(); !refused.ok()) return refused;
  std::span<const std::byte> copied = message.tail();
  copied = copied.first(copied.size() - found.list.size() * wire::kTableEntrySize);
  opened.resize(found.list.size());
  // The last one first, as descriptors are taken from the end.
  for (size_t i = found.list.size(); i-- != 0;) {
    const wire::Attachments::One& one = found.list[i];
    std::span<const std::byte> bytes;
    if (!one.has_descriptor()) {
      bytes = copied.last(one.size);
      copied = copied.first(copied.size() - one.size);
    }
    Opened next = OpenOne(one, bytes, found.memory.TakeLast(one.has_descriptor() ? 1 : 0), found.terms);
    if (!next.ok()) {
      return absl::Status(next.status().code(), absl::StrCat("attachment ", i, ": ", next.status().message()));
    }
    opened[i] = Buffer(*std::move(next));
  }
  return opened;
}

}  // namespace nearcall::rpc
