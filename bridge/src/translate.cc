// SPDX-License-Identifier: Apache-2.0
#include "translate.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "attachments.h"
#include "nearcall/bridge/rpc_status.pb.h"

namespace nearcall::grpc {

namespace {

// Payloads that mean something in this process only (see ExecStateOf) begin so.
constexpr absl::string_view kOurPayloads = "type.nearcall/";

}  // namespace

::grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return {};
  bridge::RpcStatus details;
  status.ForEachPayload([&](absl::string_view type_url, const absl::Cord& value) {
    if (absl::StartsWith(type_url, kOurPayloads)) return;
    bridge::Detail& detail = *details.add_details();
    detail.set_type_url(std::string(type_url));
    detail.set_value(std::string(value));
  });
  const std::string message(status.message());
  const auto code = static_cast<::grpc::StatusCode>(status.code());
  if (details.details().empty()) return {code, message};
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  return {code, message, details.SerializeAsString()};
}

absl::Status FromGrpc(const ::grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const bool is_known = status.error_code() > ::grpc::OK && status.error_code() <= ::grpc::UNAUTHENTICATED;
  absl::Status translated(is_known ? static_cast<absl::StatusCode>(status.error_code()) : absl::StatusCode::kUnknown,
                          status.error_message());
  bridge::RpcStatus details;
  if (!details.ParseFromString(status.error_details())) return translated;
  for (bridge::Detail& detail : *details.mutable_details()) {
    if (absl::StartsWith(detail.type_url(), kOurPayloads)) continue;
    translated.SetPayload(detail.type_url(), absl::Cord(std::move(*detail.mutable_value())));
  }
  return translated;
}

::grpc::ByteBuffer ToGrpc(const Bytes& message, std::span<const Buffer> attachments) {
  return WithAttachments(message.str(), attachments);
}

absl::Status FromGrpc(::grpc::ByteBuffer&& buffer, Parcel& parcel) {
  ::grpc::ByteBuffer taken;
  taken.Swap(&buffer);
  std::vector<::grpc::Slice> slices;
  if (!taken.Dump(&slices).ok()) return absl::InternalError("gRPC cannot read a message");
  std::string& bytes = parcel.message.str();
  bytes.clear();
  bytes.reserve(taken.Length());
  for (const ::grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return TakeAttachments(bytes, parcel.attachments);
}

std::optional<std::chrono::system_clock::time_point> ToGrpc(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return std::nullopt;
  return absl::ToChronoTime(deadline);
}

absl::Time FromGrpc(std::chrono::system_clock::time_point deadline) {
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

void ToGrpc(const Metadata& metadata, const std::function<void(const std::string&, const std::string&)>& add) {
  for (const auto& [key, value] : metadata) {
    if (!IsReserved(key)) add(key, value);
  }
}

bool IsReserved(absl::string_view key) {
  if (absl::StartsWith(key, "grpc-") || absl::StartsWith(key, ":")) return true;
  for (const absl::string_view reserved :
       {absl::string_view("user-agent"), absl::string_view("content-type"), absl::string_view("te"),
        absl::string_view("host"), absl::string_view("connection"), kPeerKey, kPeerIdentityKey, kWaitForReadyKey}) {
    if (key == reserved) return true;
  }
  return false;
}

}  // namespace nearcall::grpc
