// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nearcall/buffer.h"
#include "nearcall/bytes.h"
#include "nearcall/metadata.h"

// The same thing in the words of both sides.
namespace nearcall::grpc {

// Metadata of ours: what the port says of its client, and what Connect() says of a call to the forwarder.
inline constexpr absl::string_view kPeerKey = "nearcall-peer";
inline constexpr absl::string_view kPeerIdentityKey = "nearcall-peer-identity";
inline constexpr absl::string_view kWaitForReadyKey = "nearcall-wait-for-ready";

// What both sides take of metadata and details, at most, in bytes.
inline constexpr int kMaxMetadataSize = 128 << 10;

::grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const ::grpc::Status& status);

// A message and its attachments.
struct Parcel {
  Bytes message = {};
  std::vector<Buffer> attachments = {};
};
::grpc::ByteBuffer ToGrpc(const Bytes& message, std::span<const Buffer> attachments = {});
// Leaves `buffer` empty. INTERNAL: gRPC has no bytes for it (they were compressed, and are wrong). RESOURCE_EXHAUSTED:
// there is no memory.
absl::Status FromGrpc(::grpc::ByteBuffer&& buffer, Parcel& parcel);

// Unset: there is none.
std::optional<std::chrono::system_clock::time_point> ToGrpc(absl::Time deadline);
absl::Time FromGrpc(std::chrono::system_clock::time_point deadline);

// `add` is given what may be sent: gRPC ends the process over keys that it keeps for itself.
void ToGrpc(const Metadata& metadata, const std::function<void(const std::string&, const std::string&)>& add);
// What gRPC has received, without what is its own; `Text` is a string_ref.
template <typename Text>
void FromGrpc(const std::multimap<Text, Text>& received, Metadata& metadata);

// Whether gRPC or this bridge keep the key for themselves.
bool IsReserved(absl::string_view key);

template <typename Text>
void FromGrpc(const std::multimap<Text, Text>& received, Metadata& metadata) {
  for (const auto& [key, value] : received) {
    const absl::string_view name(key.data(), key.size());
    if (!IsReserved(name)) metadata.Add(name, absl::string_view(value.data(), value.size()));
  }
}

}  // namespace nearcall::grpc
