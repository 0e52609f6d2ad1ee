// SPDX-License-Identifier: Apache-2.0
#include "attachments.h"

#include <google/protobuf/io/coded_stream.h>

#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"

namespace nearcall::grpc {

namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// https://protobuf.dev/programming-guides/encoding/
enum WireType : uint32_t { kVarint = 0, kEightBytes = 1, kBytes = 2, kGroupBegins = 3, kGroupEnds = 4, kFourBytes = 5 };
constexpr uint32_t kTag = kAttachmentField << 3 | kBytes;

// What stands before one of `size` bytes.
::grpc::Slice HeadOf(size_t size) {
  std::array<uint8_t, 10> head;
  uint8_t* end = CodedOutputStream::WriteVarint32ToArray(kTag, head.data());
  end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(size), end);
  return {head.data(), static_cast<size_t>(end - head.data())};
}

// It has a handle, which ends when gRPC has no reference any more.
::grpc::Slice SliceOf(const Buffer& buffer) {
  auto handle = std::make_unique<Buffer>(buffer);
  void* const bytes = const_cast<std::byte*>(buffer.bytes().data());
  return {bytes, buffer.size(), [](void* of) { delete static_cast<Buffer*>(of); }, handle.release()};
}

bool SkipBytes(CodedInputStream& input) {
  uint32_t size;
  return input.ReadVarint32(&size) && size <= INT32_MAX && input.Skip(static_cast<int>(size));
}

// What follows `tag`. Of a group the ends only, whose number is `depth`.
bool SkipField(CodedInputStream& input, uint32_t tag, int& depth) {
  uint64_t number;
  switch (tag & 7) {
    case kVarint:
      return input.ReadVarint64(&number);
    case kEightBytes:
      return input.Skip(8);
    case kBytes:
      return SkipBytes(input);
    case kGroupBegins:
      ++depth;
      return true;
    case kGroupEnds:
      return --depth >= 0;
    case kFourBytes:
      return input.Skip(4);
    default:
      return false;
  }
}

}  // namespace

::grpc::ByteBuffer WithAttachments(const std::string& message, std::span<const Buffer> attachments) {
  std::vector<::grpc::Slice> slices;
  slices.reserve(1 + 2 * attachments.size());
  slices.emplace_back(message);
  for (const Buffer& buffer : attachments) {
    slices.push_back(HeadOf(buffer.size()));
    if (!buffer.empty()) slices.push_back(SliceOf(buffer));
  }
  return {slices.data(), slices.size()};
}

absl::Status TakeAttachments(std::string& message, std::vector<Buffer>& attachments) {
  attachments.clear();
  std::string rest;
  size_t seen = 0;  // up to here what is the message's is in `rest`
  int depth = 0;
  CodedInputStream input(reinterpret_cast<const uint8_t*>(message.data()), static_cast<int>(message.size()));
  while (true) {
    const auto begin = static_cast<size_t>(input.CurrentPosition());
    const uint32_t tag = input.ReadTag();
    if (tag == 0) break;
    if (tag != kTag || depth != 0) {
      if (!SkipField(input, tag, depth)) break;
      continue;
    }
    uint32_t size;
    if (!input.ReadVarint32(&size)) break;
    const auto at = static_cast<size_t>(input.CurrentPosition());
    if (size > message.size() - at) break;
    absl::StatusOr<Buffer> buffer = Buffer::Allocate(size);
    if (!buffer.ok()) return buffer.status();
    if (size != 0) std::memcpy(buffer->mutable_bytes().data(), message.data() + at, size);
    attachments.push_back(*std::move(buffer));
    input.Skip(static_cast<int>(size));
    rest.append(message, seen, begin - seen);
    seen = at + size;
  }
  if (seen == 0) return absl::OkStatus();
  rest.append(message, seen);
  message = std::move(rest);
  return absl::OkStatus();
}

}  // namespace nearcall::grpc
