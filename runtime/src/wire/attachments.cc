// SPDX-License-Identifier: Apache-2.0
#include "wire/attachments.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "wire/reassembler.h"

namespace nearcall::wire {

namespace {

constexpr uint64_t kPassed = uint64_t{1} << 63;
constexpr uint64_t kLent = uint64_t{1} << 62;  // of one that is passed

[[gnu::cold, gnu::noinline]] absl::Status BadAttachments(const FrameHeader& header, absl::string_view what) {
  return absl::InternalError(absl::StrCat("attachments of the message of call ", header.call_id, " in lane ",
                                          header.priority, " (frame ", header.sequence, "): ", what));
}

absl::Status CheckPassed(const FrameHeader& header, size_t count, uint64_t bytes, const AttachmentTerms& terms) {
  if (bytes > terms.max_passed) {
    return BadAttachments(header, absl::StrCat(bytes, " B are passed, granted were ", terms.max_passed, " B"));
  }
  if (count > header.fd_count) {
    return BadAttachments(header, absl::StrCat(count, " are passed with ", header.fd_count, " descriptors"));
  }
  if (header.fd_count - count > terms.max_descriptors) {
    return BadAttachments(header, absl::StrCat("beside them there are ", header.fd_count - count,
                                               " descriptors, granted were ", terms.max_descriptors));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t EncodeAttachment(size_t size, Attachments::Way way) {
  switch (way) {
    case Attachments::Way::kCopied:
      return size;
    case Attachments::Way::kPassed:
      return size | kPassed;
    case Attachments::Way::kLent:
      return size | kPassed | kLent;
  }
  return size;
}

absl::Status FindAttachments(Message& message, const AttachmentTerms& terms) {
  const FrameHeader& header = message.header;
  const std::span<const std::byte> body = std::as_const(message.bytes).bytes().subspan(header.envelope_size);
  const size_t table_size = header.attachment_count * kTableEntrySize;
  if (table_size > body.size()) return BadAttachments(header, "their table is larger than the message");
  const std::span<const std::byte> table = body.last(table_size);
  uint64_t copied = 0;
  uint64_t passed = 0;
  size_t passed_count = 0;
  Attachments::Found found;
  found.list.reserve(header.attachment_count);
  for (size_t i = 0; i < header.attachment_count; ++i) {
    uint64_t entry;
    std::memcpy(&entry, table.data() + i * kTableEntrySize, sizeof(entry));
    const bool has_descriptor = (entry & kPassed) != 0;
    const bool lent = has_descriptor && (entry & kLent) != 0;
    const Attachments::One one{.size = entry & ~(lent ? kPassed | kLent : kPassed),
                               .way = lent             ? Attachments::Way::kLent
                                      : has_descriptor ? Attachments::Way::kPassed
                                                       : Attachments::Way::kCopied};
    // So large that the sums below could not hold it, or what nobody can have granted.
    if (one.size > base::kMaxAttachmentBytes) return BadAttachments(header, absl::StrCat("one of ", one.size, " B"));
    if (lent && terms.lent == nullptr) return BadAttachments(header, "one is lent, which was not granted");
    if (has_descriptor && one.size < base::kMinPassed) {
      return BadAttachments(header,
                            absl::StrCat("one of ", one.size, " B is passed, expected at least ", base::kMinPassed));
    }
    (has_descriptor ? passed : copied) += one.size;
    if (has_descriptor) ++passed_count;
    found.list.push_back(one);
  }
  if (copied > body.size() - table_size) {
    return BadAttachments(header, absl::StrCat(copied, " B are copied in a message of ", body.size(), " B"));
  }
  if (absl::Status checked = CheckPassed(header, passed_count, passed, terms); !checked.ok()) return checked;
  found.tail_size = static_cast<size_t>(copied) + table_size;
  found.total = static_cast<size_t>(copied + passed);
  found.memory = message.descriptors.TakeLast(passed_count);
  found.terms = terms;
  message.attachments = Attachments(std::move(found));
  return absl::OkStatus();
}

}  // namespace nearcall::wire
